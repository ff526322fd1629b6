//! Rooms of Socket.IO: what ten thousand clients that do nothing cost one api process, and how long after a mark was
//! committed the last of them knows, when all of them are in its room.

use super::{
    Scope,
    crowd::Crowd,
    deployment,
    latency::Delays,
    live::commit_times,
    postgres,
    process::{Service, own_mb},
    report::{Figure, Report},
    scans::mark,
    school::School,
};
use crate::{config::Config, open_files};
use anyhow::{Context, bail};
use std::time::Duration;
use tokio::time::{interval, sleep};

const NAME: &str = "live";
const WATCHERS: usize = 10_000;
/// Processes that the watchers are in.
const PROCESSES: u8 = 4;
const EVERY: Duration = Duration::from_secs(1);
/// What connecting leaves behind for a moment, it has let go of then.
const SETTLING: Duration = Duration::from_secs(5);
const PER_WATCHER_LIMIT_KB: f64 = 64.0;
const P99_LIMIT_MS: f64 = 1_000.0;
/// Descriptors besides those of the watchers.
const OTHER_FILES: u64 = 1_000;

/// Runs it.
pub async fn run(scope: Scope, config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let (watchers, marks) = if scope.quick { (200, 5) } else { (WATCHERS, 60) };
    // The service and the clients inherit it.
    let files = open_files::raise_limit().context("allowing enough open files")?;
    let needed = watchers as u64 + OTHER_FILES;
    if let Some(files) = files.filter(|files| *files < needed) {
        bail!("{needed} open files are needed, and the system allows {files}: raise `ulimit -Hn`");
    }
    let services = [Service::AttendanceWorker, Service::Api, Service::Ingest];
    deployment::with(config, &services, async |deployment| {
        postgres::query(deployment, "ALTER SYSTEM SET track_commit_timestamp = on").await?;
        deployment.restart_database().await?;
        let school = School::found(deployment, marks + 1).await?;
        let session = school.open_session().await?;
        let (pid, address) = (deployment.pid(Service::Api), deployment.address(Service::Api));
        let address = address.strip_prefix("http://").context("an address")?;
        let alone_mb = own_mb(pid)?;
        let who = (&*session.id.to_string(), &*school.admin_token);
        let mut crowd = Crowd::gather(address, who, (watchers, PROCESSES)).await?;
        sleep(SETTLING).await;
        let each_kb = (own_mb(pid)? - alone_mb) * 1_000.0 / crowd.connected as f64;

        let (first, others) = school.students.split_first().context("students")?;
        // A first mark, after which every client is known to hear.
        mark(first, &session.code).await?;
        crowd.heard(1).await?;
        let mut due = interval(EVERY);
        for student in others {
            due.tick().await;
            mark(student, &session.code).await?;
        }
        let heard = crowd.heard(marks).await?;
        let committed = commit_times(deployment, &session).await?;
        let mut last = Delays::new();
        for (student, at) in heard {
            let committed = committed.get(&student).context("an event without a record")?;
            last.record(Duration::from_micros((at - committed).max(0).unsigned_abs()));
        }
        let connected =
            Figure::new(NAME, "Socket.IO: watchers of one room", crowd.connected as f64, "clients");
        report.add(connected.note(format!("of {watchers}, in {PROCESSES} processes")));
        let connecting =
            Figure::new(NAME, "Socket.IO: until all of them watch", crowd.took.as_secs_f64(), "s");
        report.add(
            connecting.note(format!("{:.0} a second", crowd.connected as f64 / crowd.took.as_secs_f64())),
        );
        let memory = Figure::new(NAME, "Socket.IO: memory of the api for each watcher", each_kb, "kB");
        let note = format!("its own memory; {alone_mb:.0} MB without watchers");
        report.add(memory.at_most(PER_WATCHER_LIMIT_KB).note(note));
        let p50 = Figure::new(NAME, "Socket.IO: commit to last watcher, p50", last.percentile_ms(50.0), "ms");
        report.add(p50.note(format!("{marks} marks, one each {} s", EVERY.as_secs())));
        let p99 = Figure::new(NAME, "Socket.IO: commit to last watcher, p99", last.percentile_ms(99.0), "ms");
        report.add(p99.at_most(P99_LIMIT_MS).note(format!("longest {:.1} ms", last.max_ms())));
        Ok(())
    })
    .await
}
