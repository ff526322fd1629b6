//! Scans: every refusal, the success, and what happens to those that come together or again.

use crate::harness::{School, TRACE_ID, at, verdict};
use anyhow::Result;
use futures::future::try_join_all;
use rollcall_attendance_worker::consumer;
use rollcall_schemas::{
    code::Code,
    fact::{AttendanceStatus::*, Evidence, FactEvent},
    id::EnrolmentId,
    request::SessionCommand,
    scan::QrToken,
    subject::Stream,
};
use rollcall_store::{classes, classes::ClassSettings, enrolments};
use rollcall_test_support::eventually;

#[tokio::test]
async fn a_scan_is_recorded_with_its_origin_and_its_trace() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    assert_eq!(school.scan(school.students[0], token, 10).await?, Ok(Present));
    let rows = school.rows(session).await?;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].marked_at, rows[0].evidence), (at(10), Evidence::Qr));
    assert_eq!(rows[0].trace_id.as_deref(), Some(TRACE_ID));
    school.settled(Stream::Scans, consumer::SCANS).await;
    let recorded = school.facts().await?.into_iter().find(|fact| fact.event.name() == "attendance.recorded");
    let recorded = recorded.expect("it is told");
    assert_eq!(recorded.scope.session_id, Some(session));
    assert_eq!(recorded.scope.class_id, Some(school.class));
    assert_eq!(recorded.at, at(10));
    Ok(worker.stop(crate::harness::SOON).await?)
}

#[tokio::test]
async fn every_refusal_has_its_name_and_is_told() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let first = school.token(session, 0).await?;
    school.command(100, SessionCommand::RotateQr { session_id: session }).await?;
    let second = school.token(session, 100).await?;
    let [anna, bert] = [school.students[0], school.students[1]];
    let unknown = QrToken(school.entropy.uuid_v4());
    assert_eq!(school.scan(anna, unknown, 110).await?, Err(Code::QrTokenInvalid));
    assert_eq!(school.scan(anna, first, 100).await?, Err(Code::QrTokenExpired));
    assert_eq!(school.scan(school.outsider, second, 110).await?, Err(Code::NotEnrolled));
    assert_eq!(school.scan(anna, second, 110).await?, Ok(Present));
    assert_eq!(school.scan(anna, second, 120).await?, Err(Code::AlreadyMarkedAttendance));
    school.end(session, 200).await?;
    assert_eq!(school.scan(bert, second, 200).await?, Err(Code::SessionNotActive));
    // Handled after the end, but received before it and while the code was good.
    assert_eq!(school.scan(bert, second, 199).await?, Ok(Present));
    school.settled(Stream::Scans, consumer::SCANS).await;
    let refusals: Vec<Code> = school
        .facts()
        .await?
        .into_iter()
        .filter_map(|fact| match fact.event {
            FactEvent::ScanRefused { code, .. } => Some(code),
            _ => None,
        })
        .collect();
    let expected = [
        Code::QrTokenInvalid,
        Code::QrTokenExpired,
        Code::NotEnrolled,
        Code::AlreadyMarkedAttendance,
        Code::SessionNotActive,
    ];
    assert_eq!(refusals, expected);
    let records = school.records(session).await?;
    assert_eq!(records[&anna], (Present, 110, Evidence::Qr));
    assert_eq!(records[&bert], (Present, 199, Evidence::Qr));
    Ok(worker.stop(crate::harness::SOON).await?)
}

#[tokio::test]
async fn lateness_follows_the_rules_the_session_began_with() -> Result<()> {
    let school = School::open(3).await?;
    let worker = school.work();
    let strict = ClassSettings { late_after_seconds: 60, ..ClassSettings::default() };
    let mut connection = school.pool.acquire().await?;
    classes::set_settings(&mut connection, school.class, strict, at(-60)).await?;
    let session = school.lesson().await?;
    classes::set_settings(&mut connection, school.class, ClassSettings::default(), at(30)).await?;
    let token = school.token(session, 10).await?;
    assert_eq!(school.scan(school.students[0], token, 60).await?, Ok(Present));
    assert_eq!(school.scan(school.students[1], token, 61).await?, Ok(Late));
    Ok(worker.stop(crate::harness::SOON).await?)
}

#[tokio::test]
async fn whether_somebody_is_enrolled_is_asked_for_the_moment_of_the_scan() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    let mut connection = school.pool.acquire().await?;
    let id: EnrolmentId = school.entropy.uuid_v4().into();
    enrolments::create(&mut connection, id, (school.class, school.outsider), at(50)).await?;
    enrolments::end(&mut connection, school.students[0], Some(school.class), at(50)).await?;
    assert_eq!(school.scan(school.outsider, token, 49).await?, Err(Code::NotEnrolled));
    assert_eq!(school.scan(school.outsider, token, 50).await?, Ok(Present));
    assert_eq!(school.scan(school.students[0], token, 50).await?, Err(Code::NotEnrolled));
    assert_eq!(school.scan(school.students[0], token, 49).await?, Ok(Present));
    Ok(worker.stop(crate::harness::SOON).await?)
}

#[tokio::test]
async fn a_burst_in_which_everybody_scans_twice_gives_everybody_one_record() -> Result<()> {
    let school = School::open(150).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    let twice = school.students.iter().chain(&school.students);
    let verdicts = try_join_all(twice.map(|student| school.scan(*student, token, 10))).await?;
    let recorded = verdicts.iter().filter(|verdict| **verdict == Ok(Present)).count();
    let refused = verdicts.iter().filter(|verdict| **verdict == Err(Code::AlreadyMarkedAttendance)).count();
    assert_eq!((recorded, refused), (150, 150));
    assert_eq!(school.rows(session).await?.len(), 150);
    school.settled(Stream::Scans, consumer::SCANS).await;
    let counts = school.fact_counts().await?;
    assert_eq!((counts["attendance.recorded"], counts["scan.refused"]), (150, 150));
    Ok(worker.stop(crate::harness::SOON).await?)
}

#[tokio::test]
async fn the_same_scan_again_changes_nothing_and_keeps_its_outcome() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    let scan = school.scan_of(school.students[0], token, 10);
    school.publish_scan(&scan, "first").await?;
    school.settled(Stream::Scans, consumer::SCANS).await;
    let outcome = school.bus.outcome(scan.request_id).await?.expect("it is answered");
    assert_eq!(verdict(&outcome)?, Ok(Present));
    let before = (school.rows(session).await?, school.facts().await?);
    // Under another message id, as after the broker's memory of ids is over.
    school.publish_scan(&scan, "again").await?;
    school.settled(Stream::Scans, consumer::SCANS).await;
    assert_eq!((school.rows(session).await?, school.facts().await?), before);
    assert_eq!(school.bus.outcome(scan.request_id).await?, Some(outcome));
    Ok(worker.stop(crate::harness::SOON).await?)
}

#[tokio::test]
async fn a_scan_that_was_let_in_in_time_counts_though_it_is_decided_an_hour_after_the_end() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    worker.stop(crate::harness::SOON).await?;
    // Nobody decides for two hours: the code has expired and the session is over when somebody does.
    let scan = school.scan_of(school.students[0], token, 100);
    school.publish_scan(&scan, "in time").await?;
    school.clock.set(at(7_200));
    let workers = [school.work(), school.work()];
    eventually("everybody has a record", crate::harness::SOON, || async {
        (school.rows(session).await.ok()?.len() == 2).then_some(())
    })
    .await;
    school.settled(Stream::Scans, consumer::SCANS).await;
    let outcome = school.bus.outcome(scan.request_id).await?.expect("it is answered");
    assert_eq!(verdict(&outcome)?, Ok(Present));
    let records = school.records(session).await?;
    assert_eq!(records[&school.students[0]], (Present, 100, Evidence::Qr));
    assert_eq!(records[&school.students[1]], (Absent, 3_600, Evidence::None));
    for worker in workers {
        worker.stop(crate::harness::SOON).await?;
    }
    Ok(())
}
