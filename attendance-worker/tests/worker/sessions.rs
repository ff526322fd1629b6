//! The life of a session, as asked by requests.

use crate::harness::{SOON, School, at};
use anyhow::Result;
use rollcall_schemas::{
    code::Code,
    fact::{AttendanceStatus::*, Evidence, FactEvent, SessionState},
    id::SessionId,
    outcome::OutcomeResult,
    request::SessionCommand,
};

async fn refused(school: &School, seconds: i64, command: SessionCommand) -> Result<Code> {
    match school.ask(&school.request(seconds, command)).await?.result {
        OutcomeResult::Failed(refusal) => Ok(refusal.code),
        OutcomeResult::Succeeded { answer } => anyhow::bail!("{answer:?}"),
    }
}

#[tokio::test]
async fn a_session_is_planned_opened_shown_and_closed() -> Result<()> {
    let school = School::open(3).await?;
    let worker = school.work();
    let session_id = school.plan().await?;
    let started = school.command(5, SessionCommand::Start { session_id }).await?;
    assert_eq!(started.state, SessionState::Active);
    assert_eq!(started.qr_expires_at, Some(at(305)));
    let first = school.token(session_id, 5).await?;
    let rotated = school.command(50, SessionCommand::RotateQr { session_id }).await?;
    assert_ne!(rotated.qr_token_id, started.qr_token_id);
    let second = school.token(session_id, 50).await?;
    assert_ne!(first, second);
    school.scan(school.students[0], second, 60).await?.expect("it is a good code");
    let ended = school.end(session_id, 1_000).await?;
    assert_eq!((ended.state, ended.attendance_count), (SessionState::Completed, Some(3)));
    let records = school.records(session_id).await?;
    assert_eq!(records[&school.students[0]], (Present, 60, Evidence::Qr));
    assert_eq!(records[&school.students[1]], (Absent, 1_000, Evidence::None));
    let told = school.facts().await?;
    let ended = told.iter().find_map(|fact| match fact.event {
        FactEvent::SessionEnded { present, late, absent, excused, .. } => {
            Some((present, late, absent, excused))
        }
        _ => None,
    });
    assert_eq!(ended, Some((1, 0, 2, 0)));
    let counts = school.fact_counts().await?;
    assert_eq!((counts["session.started"], counts["qr.rotated"], counts["attendance.recorded"]), (1, 2, 3));
    let token = first.0.to_string();
    assert!(told.iter().all(|fact| !serde_json::to_string(fact).unwrap().contains(&token)));
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn illegal_moves_are_conflicts() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let session_id = school.plan().await?;
    let (start, end, rotate) = (
        SessionCommand::Start { session_id },
        SessionCommand::End { session_id },
        SessionCommand::RotateQr { session_id },
    );
    assert_eq!(refused(&school, 0, end.clone()).await?, Code::Conflict);
    assert_eq!(refused(&school, 0, rotate.clone()).await?, Code::Conflict);
    assert_eq!(refused(&school, 3_600, start.clone()).await?, Code::Conflict);
    school.command(0, start.clone()).await?;
    assert_eq!(refused(&school, 1, start.clone()).await?, Code::Conflict);
    school.end(session_id, 10).await?;
    for command in [start, end, rotate] {
        assert_eq!(refused(&school, 20, command).await?, Code::Conflict);
    }
    let nowhere = SessionId(school.entropy.uuid_v4());
    assert_eq!(refused(&school, 20, SessionCommand::End { session_id: nowhere }).await?, Code::NotFound);
    let (starts_at, ends_at) = (at(10), at(10));
    let empty = SessionCommand::Create { class_id: school.class, starts_at, ends_at };
    assert_eq!(refused(&school, 0, empty).await?, Code::ValidationFailed);
    let endless = SessionCommand::Create { class_id: school.class, starts_at, ends_at: at(100_000) };
    assert_eq!(refused(&school, 0, endless).await?, Code::ValidationFailed);
    let class_id = school.entropy.uuid_v4().into();
    let no_class = SessionCommand::Create { class_id, starts_at, ends_at: at(20) };
    assert_eq!(refused(&school, 0, no_class).await?, Code::NotFound);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_start_that_comes_twice_draws_one_code() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let session_id = school.plan().await?;
    let request = school.request(0, SessionCommand::Start { session_id });
    let first = school.ask(&request).await?;
    let token = school.token(session_id, 10).await?;
    assert_eq!(school.ask(&request).await?, first);
    assert_eq!(school.token(session_id, 10).await?, token);
    assert_eq!(school.fact_counts().await?["qr.rotated"], 1);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn an_end_that_is_handled_after_later_scans_takes_them_back() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    school.scan(school.students[0], token, 99).await?.expect("in time");
    school.scan(school.students[1], token, 100).await?.expect("the end is not known yet");
    school.end(session, 100).await?;
    let records = school.records(session).await?;
    assert_eq!(records[&school.students[0]], (Present, 99, Evidence::Qr));
    assert_eq!(records[&school.students[1]], (Absent, 100, Evidence::None));
    assert_eq!(school.fact_counts().await?["attendance.corrected"], 1);
    Ok(worker.stop(SOON).await?)
}
