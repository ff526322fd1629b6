//! Live events: many watchers of one session, and how long after a mark was committed the last of them knows. The time
//! of the commit is the database's own (`track_commit_timestamp`).

use super::{
    Scope,
    deployment::{self, Deployment},
    latency::Delays,
    postgres,
    process::Service,
    report::{Figure, Report},
    scans::mark,
    school::{School, Session},
};
use crate::{client::Client, config::Config, open_files, watch};
use anyhow::{Context, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::{Method, RequestBuilder};
use rollcall_service::clock::Clock;
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::{interval, timeout},
};

const NAME: &str = "live";
const MARKS_PER_SECOND: u32 = 4;
const P99_LIMIT_MS: f64 = 250.0;
/// How many connect at the same time.
const CONNECTING: usize = 50;
const SILENCE: Duration = Duration::from_secs(30);

/// Runs it.
pub async fn run(scope: Scope, config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let (watchers, marks) = if scope.quick { (100, 20) } else { (1_000, 240) };
    // The services inherit it. Both sides of each socket, and room for everything else.
    let files = open_files::raise_limit().context("allowing enough open files")?;
    let needed = 4 * watchers as u64;
    if let Some(files) = files.filter(|files| *files < needed) {
        bail!("{needed} open files are needed, and the system allows {files}: raise `ulimit -Hn`");
    }
    let services = [Service::AttendanceWorker, Service::Api, Service::Ingest];
    deployment::with(config, &services, async |deployment| {
        postgres::query(deployment, "ALTER SYSTEM SET track_commit_timestamp = on").await?;
        deployment.restart_database().await?;
        let school = School::found(deployment, marks + 1).await?;
        let session = school.open_session().await?;
        let mut crowd = Watchers::connect(watchers, &school, &session, &deployment.clock).await?;
        let (first, others) = school.students.split_first().context("students")?;
        // A first mark, after which every watcher is known to watch.
        mark(first, &session.code).await?;
        crowd.arrivals(1).await?;

        let mut due = interval(Duration::from_secs(1) / MARKS_PER_SECOND);
        for student in others {
            due.tick().await;
            mark(student, &session.code).await?;
        }
        let arrivals = crowd.arrivals(marks).await?;
        let committed = commit_times(deployment, &session).await?;
        let (mut last, mut each) = (Delays::new(), Delays::new());
        for Arrival { student, times } in arrivals {
            let committed = committed.get(&student).context("an event without a record")?;
            let delay = |time: i64| Duration::from_micros((time - committed).max(0).unsigned_abs());
            times.iter().for_each(|time| each.record(delay(*time)));
            last.record(delay(*times.iter().max().context("an event that nobody saw")?));
        }
        let note =
            format!("{watchers} watchers, {marks} marks; any watcher p50 {:.1} ms", each.percentile_ms(50.0));
        report
            .add(Figure::new(NAME, "commit to last watcher, p50", last.percentile_ms(50.0), "ms").note(note));
        let p99 = Figure::new(NAME, "commit to last watcher, p99", last.percentile_ms(99.0), "ms");
        report.add(p99.at_most(P99_LIMIT_MS).note(format!("longest {:.1} ms", last.max_ms())));
        Ok(())
    })
    .await
}

/// One event, as all watchers saw it.
struct Arrival {
    student: String,
    /// When it reached each, in microseconds since 1970.
    times: Vec<i64>,
}

/// Everybody who watches.
struct Watchers {
    count: usize,
    /// Event id and time, from everybody.
    seen: UnboundedReceiver<(String, i64)>,
    /// Event id and student, from one who reads what the events say.
    told: UnboundedReceiver<(String, String)>,
    _tasks: JoinSet<()>,
}

impl Watchers {
    async fn connect(
        count: usize,
        school: &School,
        session: &Session,
        clock: &Clock,
    ) -> anyhow::Result<Self> {
        let teacher = school.admin.as_ref().context("an api")?;
        let request = || request(teacher, session);
        let (sender, seen) = unbounded_channel();
        let (teller, told) = unbounded_channel();
        let mut tasks = JoinSet::new();
        let mut reader = watch::events(request()).await?;
        let (reader_sender, reader_clock) = (sender.clone(), clock.clone());
        tasks.spawn(async move {
            while let Some(Ok(event)) = reader.next().await {
                let student = event.fact["data"]["studentId"].as_str().unwrap_or_default().to_owned();
                // Nobody listens any more once the benchmark is over.
                let _ = reader_sender.send((event.id.clone(), reader_clock.now().timestamp_micros()));
                let _ = teller.send((event.id, student));
            }
        });
        let opening = stream::iter(1..count).map(|_| async {
            let response = request().send().await.context("a watcher cannot connect")?;
            anyhow::Ok(response.error_for_status()?)
        });
        let streams: Vec<_> = opening.buffer_unordered(CONNECTING).try_collect().await?;
        for response in streams {
            tasks.spawn(note_ids(response, sender.clone(), clock.clone()));
        }
        Ok(Self { count, seen, told, _tasks: tasks })
    }

    /// Waits until every watcher has seen `count` events more.
    async fn arrivals(&mut self, count: usize) -> anyhow::Result<Vec<Arrival>> {
        let mut times = BTreeMap::<String, Vec<i64>>::new();
        for _ in 0..count * self.count {
            let (id, time) = timeout(SILENCE, self.seen.recv())
                .await
                .context("events are missing")?
                .context("watchers")?;
            times.entry(id).or_default().push(time);
        }
        ensure!(
            times.values().all(|times| times.len() == self.count),
            "a watcher saw an event twice, or not at all"
        );
        let mut arrivals = Vec::with_capacity(count);
        for _ in 0..count {
            let (id, student) = timeout(SILENCE, self.told.recv())
                .await
                .context("events are missing")?
                .context("watchers")?;
            let times = times.remove(&id).context("an event that the others did not see")?;
            arrivals.push(Arrival { student, times });
        }
        Ok(arrivals)
    }
}

fn request(teacher: &Client, session: &Session) -> RequestBuilder {
    let path = format!("/api/v1/events?session={}&type=attendance.recorded", session.id);
    teacher.request(Method::GET, &path).timeout(Duration::from_secs(86_400))
}

/// Reads no more of the events than their ids: a thousand watchers share our cores with the services. An id without
/// data is a sign of life.
async fn note_ids(response: reqwest::Response, seen: UnboundedSender<(String, i64)>, clock: Clock) {
    let mut chunks = response.bytes_stream();
    let (mut rest, mut id) = (Vec::new(), String::new());
    while let Some(Ok(chunk)) = chunks.next().await {
        rest.extend_from_slice(&chunk);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            if let Some(text) = line.strip_prefix(b"id:") {
                id = String::from_utf8_lossy(text).trim().to_owned();
            } else if line.starts_with(b"data:") {
                // Nobody listens any more once the benchmark is over.
                let _ = seen.send((id.clone(), clock.now().timestamp_micros()));
            }
        }
    }
}

/// When each student's record was committed, in microseconds since 1970.
///
/// # Errors
/// When the database does not say.
pub async fn commit_times(
    deployment: &Deployment,
    session: &Session,
) -> anyhow::Result<HashMap<String, i64>> {
    let sql = format!(
        "SELECT student_id, (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint \
         FROM attendance WHERE session_id = '{}'",
        session.id
    );
    let rows = postgres::query(deployment, &sql).await?;
    let parse =
        |line: &str| Some((line.split_once('|')?.0.to_owned(), line.split_once('|')?.1.trim().parse().ok()?));
    rows.lines()
        .filter(|line| !line.is_empty())
        .map(|line| parse(line).context("an unreadable row"))
        .collect()
}
