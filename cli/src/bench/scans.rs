//! Scans: QR marks over HTTP all the way to the committed row and the answer, beside pgbench committing the same insert
//! from as many clients. What is lost is the way through the log and the decision.

use super::{
    Scope,
    deployment::{self, Deployment},
    latency::{Delays, median},
    postgres::{self, Pgbench},
    process::{Service, cpu_seconds},
    report::{Figure, Report},
    school::{School, Session},
};
use crate::{client::Client, config::Config};
use anyhow::ensure;
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::StatusCode;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

const NAME: &str = "scans";
/// A few phones at a time, and a class that scans at once.
const CLIENTS: [usize; 2] = [16, 64];
const AIM: f64 = 0.5;
const PACED_PER_SECOND: u32 = 200;
const P99_LIMIT_MS: f64 = 50.0;
/// A whole school at the door.
const SCHOOL: usize = 1_500;

/// Runs it.
pub async fn run(scope: Scope, config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let (rounds, students, paced_s) = if scope.quick { (1, 1_000, 5) } else { (3, 6_000, 30) };
    let duration = Duration::from_secs(if scope.quick { 2 } else { 5 });
    deployment::with(config, &[Service::Ingest, Service::AttendanceWorker], async |deployment| {
        let school = School::found(deployment, students).await?;
        prepare_peer(deployment, students).await?;
        // A first round for connections, plans and caches.
        let session = school.open_session().await?;
        burst(&school.students[..students / 4], &session, CLIENTS[0]).await?;
        school.close_session(session).await?;

        for clients in CLIENTS {
            let variables = vec![("mark", 0), ("clients", clients), ("students", students)];
            let peer = Pgbench { script: INSERT, variables, clients, duration };
            report.add(against_peer(deployment, &school, &peer, rounds).await?);
        }

        let session = school.open_session().await?;
        let wanted = (PACED_PER_SECOND * paced_s) as usize;
        let delays = paced(&school.students[..wanted.min(students)], &session).await?;
        let at = format!("at {PACED_PER_SECOND} marks/s");
        report.add(Figure::new(NAME, format!("scan to answer, p50 {at}"), delays.percentile_ms(50.0), "ms"));
        let p99 = Figure::new(NAME, format!("scan to answer, p99 {at}"), delays.percentile_ms(99.0), "ms");
        report.add(p99.at_most(P99_LIMIT_MS).note(format!(
            "{} marks, longest {:.1} ms",
            delays.count(),
            delays.max_ms()
        )));
        school.close_session(session).await?;

        let session = school.open_session().await?;
        let everybody = &school.students[..SCHOOL.min(students)];
        let (rate, delays) = burst(everybody, &session, everybody.len()).await?;
        let who = format!("{} students at once", delays.count());
        report.add(Figure::new(NAME, format!("marks committed and answered, {who}"), rate, "/s"));
        for (name, percentile) in [("p50", 50.0), ("p99", 99.0)] {
            let delay = delays.percentile_ms(percentile);
            report.add(Figure::new(NAME, format!("scan to answer, {name}, {who}"), delay, "ms"));
        }
        Ok(())
    })
    .await
}

/// Rounds of the peer and of every student scanning once, in turn.
async fn against_peer(
    deployment: &Deployment,
    school: &School,
    peer: &Pgbench,
    rounds: usize,
) -> anyhow::Result<Figure> {
    let services = [Service::Ingest, Service::AttendanceWorker].map(|service| deployment.pid(service));
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    let (mut delays, mut used) = (Delays::new(), [0.0; 2]);
    for _ in 0..rounds {
        postgres::query(deployment, "TRUNCATE bench_attendance").await?;
        peers.push(peer.run(deployment).await?);
        let session = school.open_session().await?;
        let before = services.map(cpu_seconds);
        let (rate, round) = burst(&school.students, &session, peer.clients).await?;
        for ((used, before), pid) in used.iter_mut().zip(before).zip(services) {
            *used += cpu_seconds(pid)? - before?;
        }
        ours.push(rate);
        delays.0.add(round.0)?;
        school.close_session(session).await?;
    }
    let [ingest, worker] = used.map(|used| used / delays.count() as f64 * 1e6);
    let (p50, p99) = (delays.percentile_ms(50.0), delays.percentile_ms(99.0));
    let note = format!(
        "p50 {p50:.1} ms, p99 {p99:.1} ms; processor each: ingest {ingest:.0} us, attendance-worker {worker:.0} us"
    );
    let name = format!("marks committed and answered, {} clients", peer.clients);
    let rate = Figure::new(NAME, name, median(ours), "/s");
    Ok(rate.beside("pgbench, same insert", median(peers), Some(AIM)).note(note))
}

/// The row that a mark leaves, with nothing decided: every student of one session after the other, as in a burst.
const INSERT: &str = "\\set mark :mark + 1
\\set number :mark * :clients + :client_id
\\set session :number / :students
\\set student :number % :students
INSERT INTO bench_attendance (id, session_id, student_id, status, marked_at, evidence, scan_id, scanned_at, ip, user_agent, \
     trace_id, recorded_at) VALUES (gen_random_uuid(), lpad(to_hex(:session::bigint), 32, '0')::uuid, \
     lpad(to_hex(:student::bigint), 32, '0')::uuid, 'present', now(), 'qr', gen_random_uuid(), now(), '127.0.0.1', 'bench', \
     md5('bench'), now());\n";
/// More than any round of the peer fills.
const PEER_SESSIONS: usize = 1_000;

/// A table like `attendance`, with its keys, checks and indexes, and sessions and students that it points to.
async fn prepare_peer(deployment: &Deployment, students: usize) -> anyhow::Result<()> {
    let ids =
        |count| format!("SELECT lpad(to_hex(n), 32, '0')::uuid AS id FROM generate_series(0, {count} - 1) n");
    let tables = format!(
        "CREATE TABLE bench_sessions AS {};
         CREATE TABLE bench_students AS {};
         ALTER TABLE bench_sessions ADD PRIMARY KEY (id);
         ALTER TABLE bench_students ADD PRIMARY KEY (id);
         CREATE TABLE bench_attendance (LIKE attendance INCLUDING ALL,
             FOREIGN KEY (session_id) REFERENCES bench_sessions, FOREIGN KEY (student_id) REFERENCES bench_students);",
        ids(PEER_SESSIONS),
        ids(students),
    );
    postgres::query(deployment, &tables).await?;
    let commit = postgres::query(deployment, "SHOW synchronous_commit").await?;
    ensure!(commit.trim() == "on", "synchronous_commit is {commit}, so nobody's commits would be durable");
    Ok(())
}

/// Every student scans once, as fast as so many clients can. Returns marks a second and the delays.
async fn burst(students: &[Client], session: &Session, clients: usize) -> anyhow::Result<(f64, Delays)> {
    let begun = Instant::now();
    let marks = stream::iter(students).map(|student| async {
        let begun = Instant::now();
        mark(student, &session.code).await.map(|()| begun.elapsed())
    });
    let took: Vec<_> = marks.buffer_unordered(clients).try_collect().await?;
    let rate = students.len() as f64 / begun.elapsed().as_secs_f64();
    let mut delays = Delays::new();
    took.into_iter().for_each(|delay| delays.record(delay));
    Ok((rate, delays))
}

/// Students scan at a steady pace, whether or not those before them are answered. A delay counts from when the scan
/// was due, so that a stall is not told by one scan only.
async fn paced(students: &[Client], session: &Session) -> anyhow::Result<Delays> {
    let mut due = interval(Duration::from_secs(1) / PACED_PER_SECOND);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut marks = JoinSet::new();
    for student in students {
        let begun = due.tick().await;
        let (student, code) = (student.clone(), session.code.clone());
        marks.spawn(async move { mark(&student, &code).await.map(|()| begun.elapsed()) });
    }
    let mut delays = Delays::new();
    while let Some(mark) = marks.join_next().await {
        delays.record(mark??);
    }
    Ok(delays)
}

/// One scan; anything but a record is an error.
///
/// # Errors
/// When the answer is not a record.
pub async fn mark(student: &Client, code: &str) -> anyhow::Result<()> {
    let answer = student.post("/api/v1/attendance/mark", &json!({ "qrToken": code })).await?;
    ensure!(answer.status == StatusCode::OK, "a scan was not recorded: {} {}", answer.status, answer.body);
    Ok(())
}
