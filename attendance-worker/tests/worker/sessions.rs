//! The life of a session, as asked by requests.

use crate::harness::{SOON, School, at, face, towards};
use anyhow::Result;
use futures::future::try_join_all;
use rollcall_schemas::{
    code::Code,
    fact::{AttendanceStatus::*, Evidence, Fact, FactEvent, SessionState},
    id::SessionId,
    outcome::{Answer, OutcomeResult},
    request::{SessionCommand, SessionPlan, SessionRequest},
};
use rollcall_store::configuration::{self, Revision, Scope};
use serde_json::json;

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
    assert_eq!((ended.state, ended.attendance_count), (SessionState::Completed, Some(1)));
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
    let empty =
        SessionCommand::Create { class_id: school.class, plan: SessionPlan::between(starts_at, ends_at) };
    assert_eq!(refused(&school, 0, empty).await?, Code::ValidationFailed);
    let endless =
        SessionCommand::Create { class_id: school.class, plan: SessionPlan::between(starts_at, at(100_000)) };
    assert_eq!(refused(&school, 0, endless).await?, Code::ValidationFailed);
    let class_id = school.entropy.uuid_v4().into();
    let no_class = SessionCommand::Create { class_id, plan: SessionPlan::between(starts_at, at(20)) };
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

/// A plan from then to then, in seconds after the beginning of the lesson.
fn from_to(from: i64, to: i64) -> SessionPlan {
    SessionPlan::between(at(from), at(to))
}

#[tokio::test]
async fn of_many_plans_for_the_same_time_one_is_kept() -> Result<()> {
    let school = School::open(1).await?;
    let workers = [school.work(), school.work()];
    let requests: Vec<SessionRequest> = (0..12)
        .map(|n| SessionCommand::Create { class_id: school.class, plan: from_to(60 * n, 3_600) })
        .map(|create| school.request(-600, create))
        .collect();
    let outcomes = try_join_all(requests.iter().map(|request| school.ask(request))).await?;
    let (kept, refused): (Vec<_>, Vec<_>) =
        outcomes.iter().partition(|outcome| matches!(outcome.result, OutcomeResult::Succeeded { .. }));
    assert_eq!((kept.len(), refused.len()), (1, 11));
    let OutcomeResult::Succeeded { answer: Answer::Session(kept) } = &kept[0].result else { unreachable!() };
    for outcome in refused {
        let OutcomeResult::Failed(refusal) = &outcome.result else { unreachable!() };
        assert_eq!(refusal.code, Code::Conflict);
        assert_eq!(refusal.details["sessionId"], kept.session_id.to_string(), "the other one is named");
    }
    for worker in workers {
        worker.stop(SOON).await?;
    }
    Ok(())
}

#[tokio::test]
async fn whether_two_sessions_overlap() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let create = |plan: SessionPlan| SessionCommand::Create { class_id: school.class, plan };
    let nine = school.command(-600, create(from_to(0, 3_600))).await?.session_id;
    for (from, to) in [(0, 3_600), (3_599, 7_200), (-600, 1), (60, 120), (-600, 7_200)] {
        assert_eq!(
            refused(&school, -600, create(from_to(from, to))).await?,
            Code::Conflict,
            "{from} to {to}"
        );
    }
    let after = school.command(-600, create(from_to(3_600, 7_200))).await?.session_id;
    school.command(-600, create(from_to(-600, 0))).await?;
    let allowed = SessionPlan { allow_overlap: true, ..from_to(0, 3_600) };
    school.command(-600, create(allowed)).await?;

    // Over early, it makes room at once; and then it cannot be opened again for as long as before.
    school.command(0, SessionCommand::Start { session_id: nine }).await?;
    school.end(nine, 1_800).await?;
    let sooner = SessionCommand::Change { session_id: after, plan: from_to(1_800, 5_400) };
    school.command(1_800, sooner).await?;
    let reopen = |ends_at| SessionCommand::Reopen { session_id: nine, ends_at, reason: "too early".into() };
    assert_eq!(refused(&school, 1_900, reopen(None)).await?, Code::Conflict);
    school.command(1_900, SessionCommand::Cancel { session_id: after }).await?;
    school.command(1_900, reopen(None)).await?;
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_session_is_opened_again_for_as_long_as_the_organisation_allows() -> Result<()> {
    const DAY: i64 = 86_400;
    let school = School::open(1).await?;
    let worker = school.work();
    let [first, second] = [school.plan().await?, {
        let plan = SessionPlan::between(at(7_200), at(10_800));
        school.command(-600, SessionCommand::Create { class_id: school.class, plan }).await?.session_id
    }];
    for (session_id, from) in [(first, 0), (second, 7_200)] {
        school.command(from, SessionCommand::Start { session_id }).await?;
        school.end(session_id, from + 1_800).await?;
    }
    let reopen = |session_id, until: i64| SessionCommand::Reopen {
        session_id,
        ends_at: Some(at(until)),
        reason: "a list on paper was found".into(),
    };
    assert_eq!(refused(&school, 1_801 + DAY, reopen(first, 2_000 + DAY)).await?, Code::Conflict);
    // The other session took place in between, and is in nobody's way; where it would be, it is.
    school.command(1_800 + DAY, reopen(first, 2_000 + DAY)).await?;
    assert_eq!(refused(&school, 1_900 + DAY, reopen(second, 2_100 + DAY)).await?, Code::Conflict);
    school.command(1_950 + DAY, SessionCommand::End { session_id: first }).await?;
    school.command(1_960 + DAY, reopen(second, 2_100 + DAY)).await?;
    let allowed = Revision {
        revision: 1,
        settings: json!({ "reopenWithinHours": 48 }),
        valid_from: at(2 * DAY),
        changed_by: school.teacher,
    };
    school.command(2_000 + DAY, SessionCommand::End { session_id: second }).await?;
    configuration::add(&mut *school.pool.acquire().await?, Scope::Organisation, &allowed).await?;
    school.command(2_000 + 3 * DAY, reopen(second, 2_100 + 3 * DAY)).await?;
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn what_happened_while_a_session_was_closed_does_not_count() -> Result<()> {
    let school = School::open(4).await?;
    let worker = school.work();
    let [anna, bert, carla, dora] = [0, 1, 2, 3].map(|n| school.students[n]);
    school.enrol(carla, towards(0, 1.0)).await?;
    school.enrol(dora, towards(1, 1.0)).await?;
    let session_id = school.lesson().await?;
    let old = school.token(session_id, 10).await?;
    assert_eq!(school.scan(anna, old, 20).await?, Ok(Present));
    // The camera saw somebody after the end, before anybody knew of the end.
    school.see(110, vec![face(0, 0.99)]).await?;
    school.end(session_id, 100).await?;
    assert_eq!(school.records(session_id).await?[&carla], (Absent, 100, Evidence::None));
    let reopen = SessionCommand::Reopen { session_id, ends_at: None, reason: "too early".into() };
    let reopened = school.command(200, reopen).await?;
    assert_eq!((reopened.state, reopened.qr_expires_at), (SessionState::Active, Some(at(500))));
    assert_eq!(school.records(session_id).await?.keys().collect::<Vec<_>>(), [&anna]);

    let new = school.token(session_id, 210).await?;
    assert_ne!(old, new);
    // The old code is over where the session was closed, whenever the scan is handled.
    assert_eq!(school.scan(bert, old, 99).await?, Ok(Present));
    assert_eq!(school.scan(dora, old, 150).await?, Err(Code::QrTokenExpired));
    school.see(150, vec![face(1, 0.99)]).await?;
    assert_eq!(school.records(session_id).await?.len(), 2);
    school.see(210, vec![face(0, 0.99)]).await?;
    school.end(session_id, 900).await?;
    let records = school.records(session_id).await?;
    assert_eq!(records[&anna], (Present, 20, Evidence::Qr));
    assert_eq!(records[&bert], (Present, 99, Evidence::Qr));
    assert_eq!(records[&carla], (Present, 210, Evidence::Face));
    assert_eq!(records[&dora], (Absent, 900, Evidence::None));

    let counts = school.fact_counts().await?;
    assert_eq!((counts["session.ended"], counts["session.reopened"]), (2, 1));
    assert_eq!(counts["attendance.withdrawn"], 3, "whoever was told of an absence is told that it is none");
    let told = school.facts().await?;
    let withdrawn = told.iter().find_map(|fact| match fact.event {
        FactEvent::SessionReopened { absences_withdrawn, .. } => Some(absences_withdrawn),
        _ => None,
    });
    assert_eq!(withdrawn, Some(3));
    let absences = |wanted| {
        let is_absence = |fact: &&Fact| matches!(fact.event, FactEvent::AttendanceRecorded { student_id, status: Absent, .. } if student_id == wanted);
        told.iter().filter(is_absence).count()
    };
    // Of carla it was first told that she was there, and then that she was not.
    assert_eq!([anna, bert, carla, dora].map(absences), [0, 1, 0, 2]);
    Ok(worker.stop(SOON).await?)
}
