//! What happens because its time has come, with two workers that share the work.

use crate::harness::{SOON, School, at, face, towards};
use anyhow::Result;
use chrono::TimeDelta;
use rollcall_attendance_worker::consumer;
use rollcall_bus::{Bus, BusConfig, ConsumerSpec, Delivery, HandleError, Handler, Limit, StreamLimits};
use rollcall_schemas::{
    code::Code,
    fact::{AttendanceStatus::*, Evidence, Fact, FactEvent, SessionState},
    id::SessionId,
    outcome::{Outcome, OutcomeResult, Refusal},
    request::{SessionCommand, SessionPlan},
    subject::{Stream, frames_consumer},
};
use rollcall_store::{
    looks,
    outbox::{self, OutboxMessage},
    session_views,
};
use rollcall_test_support::{Obstacle, eventually};
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

const DAY: i64 = 86_400;

async fn facts(school: &School, name: &str, wanted: usize) -> Result<Vec<Fact>> {
    eventually(&format!("{wanted} facts {name}"), SOON, || async {
        let told = school.fact_counts().await.ok()?;
        (told.get(name).copied().unwrap_or_default() >= wanted).then_some(())
    })
    .await;
    Ok(school.facts().await?.into_iter().filter(|fact| fact.event.name() == name).collect())
}

async fn state(school: &School, session: SessionId) -> Result<SessionState> {
    let mut connection = school.pool.acquire().await?;
    Ok(session_views::find(&mut connection, session).await?.expect("it exists").state)
}

#[tokio::test]
async fn two_workers_replace_a_code_once_and_on_time() -> Result<()> {
    let school = School::open(1).await?;
    let workers = [school.work(), school.work()];
    let session = school.lesson().await?;
    let first = school.token(session, 0).await?;
    for (now, due, wanted) in [(299, 298, 2), (700, 598, 3)] {
        school.clock.set(at(now));
        let told = facts(&school, "qr.rotated", wanted).await?;
        assert_eq!(told.last().map(|fact| fact.at), Some(at(due)));
    }
    // Whoever scans the old code in its last moments is served, and so is whoever scans the new one.
    assert_ne!(school.token(session, 299).await?, first);
    assert_eq!(school.scan(school.students[0], first, 299).await?, Ok(Present));
    for worker in workers {
        worker.stop(SOON).await?;
    }
    assert_eq!(school.fact_counts().await?["qr.rotated"], 3);
    Ok(())
}

#[tokio::test]
async fn two_workers_end_a_session_once_and_at_its_planned_end() -> Result<()> {
    let school = School::open(20).await?;
    let workers = [school.work(), school.work()];
    let session = school.lesson().await?;
    school.clock.set(at(3_600 + 1_000));
    let ended = facts(&school, "session.ended", 1).await?;
    assert_eq!(ended[0].at, at(3_600));
    assert!(matches!(ended[0].event, FactEvent::SessionEnded { absent: 20, .. }));
    assert_eq!(state(&school, session).await?, SessionState::Completed);
    let records = school.records(session).await?;
    assert!(records.values().all(|record| *record == (Absent, 3_600, Evidence::None)));
    for worker in workers {
        worker.stop(SOON).await?;
    }
    let counts = school.fact_counts().await?;
    assert_eq!((counts["session.ended"], counts["attendance.recorded"]), (1, 20));
    // Once it was over, no further codes were shown.
    assert!(
        school.facts().await?.iter().all(|fact| fact.event.name() != "qr.rotated" || fact.at < at(3_600))
    );
    Ok(())
}

#[tokio::test]
async fn a_session_that_cannot_be_ended_keeps_no_other_open() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let first = school.lesson().await?;
    let plan = SessionPlan::between(at(3_600), at(7_200));
    let create = SessionCommand::Create { class_id: school.other_class().await?, plan };
    let second = school.command(0, create).await?.session_id;
    school.command(3_600, SessionCommand::Start { session_id: second }).await?;
    let is_first = format!("NEW.id = '{first}'");
    let obstacle = Obstacle::put(&school.pool, ("UPDATE", "sessions"), &is_first).await;
    school.clock.set(at(7_200));
    let ended = facts(&school, "session.ended", 1).await?;
    assert_eq!(ended[0].scope.session_id, Some(second));
    assert_eq!(state(&school, first).await?, SessionState::Active);
    obstacle.remove().await;
    let ended = facts(&school, "session.ended", 2).await?;
    assert_eq!((ended[1].scope.session_id, ended[1].at), (Some(first), at(3_600)));
    Ok(worker.stop(SOON).await?)
}

/// A scan of the first student that cannot be recorded, in a session that is over by now.
async fn scan_in_vain(school: &School, session: SessionId) -> Result<Obstacle> {
    let token = school.token(session, 10).await?;
    let obstacle = Obstacle::put(&school.pool, ("INSERT", "attendance"), "NEW.scan_id IS NOT NULL").await;
    school.clock.set(at(3_599));
    let scan = school.scan_of(school.students[0], token, 20);
    school.publish_scan(&scan, &scan.scan_id.to_string()).await?;
    school.clock.set(at(3_600 + 10));
    Ok(obstacle)
}

#[tokio::test]
async fn a_session_ends_when_the_scans_from_before_its_end_are_decided() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let obstacle = scan_in_vain(&school, session).await?;
    eventually("the scan to be taken up", SOON, || async {
        let state = school.bus.consumer(Stream::Scans, consumer::SCANS).await.ok()??;
        (state.in_flight > 0).then_some(())
    })
    .await;
    all_timers(&school).await?;
    assert_eq!(state(&school, session).await?, SessionState::Active);
    obstacle.remove().await;
    facts(&school, "session.ended", 1).await?;
    let records = school.records(session).await?;
    assert_eq!(records[&school.students[0]], (Present, 20, Evidence::Qr));
    assert_eq!(records[&school.students[1]], (Absent, 3_600, Evidence::None));
    // Nobody was told of an absence that none was.
    assert_eq!(school.fact_counts().await?.get("attendance.corrected"), None);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_scan_that_cannot_be_decided_keeps_no_session_open_for_ever() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let obstacle = scan_in_vain(&school, session).await?;
    all_timers(&school).await?;
    assert_eq!(state(&school, session).await?, SessionState::Active);
    school.clock.advance(TimeDelta::minutes(11));
    facts(&school, "session.ended", 1).await?;
    assert_eq!(school.records(session).await?[&school.students[0]], (Absent, 3_600, Evidence::None));
    obstacle.remove().await;
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_session_is_pending_shortly_before_it_begins() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    school.clock.set(at(-301));
    let session = school.plan().await?;
    assert_eq!(state(&school, session).await?, SessionState::Scheduled);
    school.clock.set(at(-300));
    eventually("the session to be pending", SOON, || async {
        (state(&school, session).await.ok()? == SessionState::Pending).then_some(())
    })
    .await;
    school.command(0, SessionCommand::Start { session_id: session }).await?;
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn what_is_too_old_to_come_again_is_forgotten() -> Result<()> {
    let school = School::open(1).await?;
    let [old, young] = [(); 2].map(|()| school.entropy.uuid_v4());
    let mut tx = school.pool.begin().await?;
    outbox::begin_handling(&mut tx, old, at(0)).await?;
    outbox::begin_handling(&mut tx, young, at(2 * DAY)).await?;
    tx.commit().await?;
    school.clock.set(at(36 * DAY));
    let worker = school.work();
    // Asked within transactions that are given up.
    eventually("the old one to be forgotten", SOON, || async {
        let mut tx = school.pool.begin().await.ok()?;
        outbox::begin_handling(&mut tx, old, at(0)).await.ok()?.then_some(())
    })
    .await;
    let mut tx = school.pool.begin().await?;
    assert!(!outbox::begin_handling(&mut tx, young, at(0)).await?);
    drop(tx);
    Ok(worker.stop(SOON).await?)
}

/// Leaves an outcome in the outbox, as a crash would.
async fn leave_behind(school: &School) -> Result<Outcome> {
    let refusal = Refusal { code: Code::Conflict, message: "No.".into(), details: Value::Null };
    let outcome = Outcome {
        request_id: school.entropy.uuid_v4().into(),
        caller: school.teacher,
        decided_at: at(0),
        result: OutcomeResult::Failed(refusal),
    };
    let mut tx = school.pool.begin().await?;
    let cause = school.entropy.uuid_v4();
    outbox::enqueue(&mut tx, cause, at(0), &[OutboxMessage::outcome(&outcome)]).await?;
    tx.commit().await?;
    Ok(outcome)
}

async fn told(school: &School, outcome: &Outcome) -> Outcome {
    eventually("the outcome to be told", SOON, || async {
        school.bus.outcome(outcome.request_id).await.ok().flatten()
    })
    .await
}

#[tokio::test]
async fn what_a_crash_left_in_the_outbox_is_published_once() -> Result<()> {
    let school = School::open(1).await?;
    let outcome = leave_behind(&school).await?;
    school.clock.set(at(60));
    let workers = [school.work(), school.work()];
    assert_eq!(told(&school, &outcome).await, outcome);
    for worker in workers {
        worker.stop(SOON).await?;
    }
    assert_eq!(school.bus.stream(Stream::Outcomes).await?.last_sequence, 1);
    Ok(())
}

#[tokio::test]
async fn a_request_to_end_that_comes_after_the_timer_moves_the_end() -> Result<()> {
    let school = School::open(3).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    let [anna, bert, carla] = [0, 1, 2].map(|n| school.students[n]);
    school.scan(anna, token, 100).await?.expect("a good code");
    school.scan(bert, token, 250).await?.expect("a good code");
    school.clock.set(at(3_700));
    facts(&school, "session.ended", 1).await?;
    assert_eq!(school.records(session).await?[&carla], (Absent, 3_600, Evidence::None));

    school.end(session, 200).await?;
    let records = school.records(session).await?;
    assert_eq!(records[&anna], (Present, 100, Evidence::Qr));
    assert_eq!(records[&bert], (Absent, 200, Evidence::None));
    assert_eq!(records[&carla], (Absent, 200, Evidence::None));
    let ended = facts(&school, "session.ended", 2).await?;
    assert_eq!(ended[1].at, at(200));
    assert!(matches!(ended[1].event, FactEvent::SessionEnded { present: 1, absent: 2, .. }));
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_session_that_ends_by_itself_for_the_second_time_is_told_again() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let session_id = school.lesson().await?;
    school.clock.set(at(3_700));
    facts(&school, "session.ended", 1).await?;
    // It turns out to have been ended, and opened again, before that: it ends at the same time once more.
    school.end(session_id, 1_800).await?;
    let reopen = SessionCommand::Reopen { session_id, ends_at: None, reason: "too early".into() };
    school.command(1_900, reopen).await?;
    let ended = facts(&school, "session.ended", 3).await?;
    assert_eq!(ended.iter().map(|fact| fact.at).collect::<Vec<_>>(), [at(3_600), at(1_800), at(3_600)]);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn votes_for_a_session_that_nobody_opened_are_forgotten() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let session = school.plan().await?;
    school.enrol(school.students[0], towards(0, 1.0)).await?;
    school.see(20, vec![face(0, 0.99)]).await?;
    let mut connection = school.pool.acquire().await?;
    assert_eq!(looks::votes(&mut connection, session, None).await?.len(), 1);
    school.clock.set(at(36 * DAY));
    eventually("the vote to be forgotten", SOON, || async {
        let mut connection = school.pool.acquire().await.ok()?;
        looks::votes(&mut connection, session, None).await.ok()?.is_empty().then_some(())
    })
    .await;
    Ok(worker.stop(SOON).await?)
}

/// A face worker that comes as far as it is let.
struct Until(Arc<AtomicU64>);

impl Handler for Until {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        if delivery.sequence <= self.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(HandleError::Unavailable { after: Duration::from_millis(10), reason: "not yet".into() })
    }
}

/// Waits until the slower timers have all acted since: what is left behind is told at the beginning of their turn.
async fn all_timers(school: &School) -> Result<()> {
    for _ in 0..2 {
        told(school, &leave_behind(school).await?).await;
    }
    Ok(())
}

async fn first_frame(school: &School) -> Option<u64> {
    Some(school.bus.stream(Stream::Frames).await.ok()?.first_sequence)
}

#[tokio::test]
async fn frames_make_room_once_both_the_ledger_and_the_face_worker_have_settled_them() -> Result<()> {
    let school = School::open(1).await?;
    let frames = Limit { max_bytes: Some(1_000_000), ..Limit::default() };
    let limits = StreamLimits { frames, ..StreamLimits::default() };
    let small = BusConfig { limits, ..school.broker.config() };
    Bus::connect(&small, "test").await?.ensure_streams().await?;
    school.clock.set(at(60));
    let worker = school.work();
    // Two more than fit into four fifths.
    for seconds in 1..=9 {
        school.frame(seconds, &[0; 100_000]).await?;
    }
    school.settled(Stream::Frames, consumer::LEDGER).await;
    all_timers(&school).await?;
    assert_eq!(first_frame(&school).await, Some(1), "no face worker has ever been there");

    let (settled, stop) = (Arc::new(AtomicU64::new(1)), CancellationToken::new());
    let faces = tokio::spawn({
        let (bus, stop, handler) = (school.bus.clone(), stop.clone(), Until(settled.clone()));
        let spec = ConsumerSpec::new(Stream::Frames, frames_consumer::FACES);
        async move { bus.consume(spec, Arc::new(handler), stop).await }
    });
    let first_to_be = |sequence: u64| {
        let school = &school;
        eventually("room to be made", SOON, move || async move {
            (first_frame(school).await? == sequence).then_some(())
        })
    };
    first_to_be(2).await;
    all_timers(&school).await?;
    assert_eq!(first_frame(&school).await, Some(2), "the second is still to be looked at");
    settled.store(9, Ordering::Relaxed);
    first_to_be(3).await;
    all_timers(&school).await?;
    assert_eq!(first_frame(&school).await, Some(3), "there is room enough");
    stop.cancel();
    faces.await??;
    Ok(worker.stop(SOON).await?)
}
