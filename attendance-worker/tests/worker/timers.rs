//! What happens because its time has come, with two workers that share the work.

use crate::harness::{SOON, School, at};
use anyhow::Result;
use rollcall_schemas::{
    code::Code,
    fact::{AttendanceStatus::*, Evidence, Fact, FactEvent, SessionState},
    id::SessionId,
    outcome::{Outcome, OutcomeResult, Refusal},
    request::SessionCommand,
    subject::Stream,
};
use rollcall_store::{
    outbox::{self, OutboxMessage},
    session_views,
};
use rollcall_test_support::eventually;
use serde_json::Value;

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

#[tokio::test]
async fn what_a_crash_left_in_the_outbox_is_published_once() -> Result<()> {
    let school = School::open(1).await?;
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
    school.clock.set(at(60));
    let workers = [school.work(), school.work()];
    let found = eventually("the outcome to be told", SOON, || async {
        school.bus.outcome(outcome.request_id).await.ok().flatten()
    });
    assert_eq!(found.await, outcome);
    for worker in workers {
        worker.stop(SOON).await?;
    }
    assert_eq!(school.bus.stream(Stream::Outcomes).await?.last_sequence, 1);
    Ok(())
}
