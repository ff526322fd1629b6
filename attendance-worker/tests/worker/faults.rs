//! Things go wrong: the database goes away, the broker forgets how far a consumer was, messages are poison.

use crate::harness::{SOON, School, at, face, towards};
use anyhow::{Context, Result};
use rollcall_attendance_worker::{AttendanceConfig, consumer};
use rollcall_bus::Message;
use rollcall_schemas::{
    code::Code,
    fact::{AttendanceStatus::*, Evidence},
    header::{self, HeaderSource},
    id::RequestId,
    outcome::OutcomeResult,
    request::SessionCommand,
    subject::{self, RequestKind, Stream},
};
use rollcall_store::{
    ledger::balance,
    outbox::{self, OutboxMessage},
};
use rollcall_test_support::{TestBroker, eventually, own_postgres};
use serde_json::json;
use uuid::Uuid;

#[tokio::test]
async fn what_comes_while_the_database_is_away_is_recorded_when_it_happened() -> Result<()> {
    let mut postgres = own_postgres().await;
    let pool = rollcall_store::open(&postgres.url(), AttendanceConfig::default().connections())?;
    let school = School::on(pool, TestBroker::start().await, 20).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    school.enrol(school.students[0], towards(0, 1.0)).await?;

    postgres.stop().await;
    let mut scans = Vec::new();
    for (seconds, student) in school.students.iter().enumerate().skip(1) {
        let scan = school.scan_of(*student, token, 20 + i64::try_from(seconds)?);
        school.publish_scan(&scan, &scan.scan_id.to_string()).await?;
        scans.push(scan);
    }
    let sequence = school.frame(15, b"15").await?;
    let sighting = school.sighting(15, sequence, vec![face(0, 0.99)]);
    let message = Message::json(subject::sighting(school.camera), sighting.sighting_id, &sighting)?;
    school.bus.publish(message).await?;
    let end = school.request(60, SessionCommand::End { session_id: session });
    let message = Message::json(subject::request(RequestKind::Session), end.request_id, &end)?;
    school.bus.publish(message).await?;
    // The worker has begun with a scan and cannot finish it.
    eventually("a scan in hand", SOON, || async {
        let state = school.bus.consumer(Stream::Scans, consumer::SCANS).await.ok()??;
        (state.in_flight > 0).then_some(())
    })
    .await;
    postgres.restart().await?;

    for (stream, durable) in [
        (Stream::Scans, consumer::SCANS),
        (Stream::Sightings, consumer::SIGHTINGS),
        (Stream::Frames, consumer::LEDGER),
        (Stream::Requests, consumer::SESSIONS),
    ] {
        school.settled(stream, durable).await;
    }
    let records = school.records(session).await?;
    assert_eq!(records.len(), 20);
    assert_eq!(records[&school.students[0]], (Present, 15, Evidence::Face));
    for scan in &scans {
        let seconds = (scan.scanned_at - at(0)).num_seconds();
        assert_eq!(records[&scan.student_id], (Present, seconds, Evidence::Qr));
        assert!(school.bus.outcome(scan.request_id).await?.is_some());
    }
    // The end waited for the scans from before it.
    assert_eq!(school.fact_counts().await?.get("attendance.corrected"), None);
    assert_eq!(school.bus.stream(Stream::Dead).await?.last_sequence, 0);
    assert_eq!(balance(&school.pool).await?[&school.camera].processed, 1);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_rewound_consumer_changes_nothing() -> Result<()> {
    let school = School::open(3).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    school.enrol(school.students[0], towards(0, 1.0)).await?;
    school.scan(school.students[1], token, 10).await?.expect("a good code");
    assert_eq!(school.scan(school.outsider, token, 10).await?, Err(Code::NotEnrolled));
    school.see(10, vec![face(0, 0.99), face(1, 0.2)]).await?;
    school.end(session, 100).await?;
    worker.stop(SOON).await?;
    let before = (school.rows(session).await?, school.facts().await?, balance(&school.pool).await?);

    let places = [
        (Stream::Scans, consumer::SCANS),
        (Stream::Sightings, consumer::SIGHTINGS),
        (Stream::Requests, consumer::PHOTOS),
        (Stream::Requests, consumer::SESSIONS),
        (Stream::Frames, consumer::LEDGER),
    ];
    for (stream, durable) in places {
        school.broker.forget_place(stream, durable).await;
        assert_eq!(school.bus.consumer(stream, durable).await?, None);
    }
    let worker = school.work();
    for (stream, durable) in places {
        school.settled(stream, durable).await;
    }
    let after = (school.rows(session).await?, school.facts().await?, balance(&school.pool).await?);
    assert_eq!(after, before);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn poison_is_put_aside_with_its_reason_and_the_rest_goes_on() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    school.bus.publish(Message::new(subject::scan_captured(), "garbage", b"{".to_vec())).await?;
    // Readable enough to know who waits for an answer.
    let mut scan = serde_json::to_value(school.scan_of(school.students[0], token, 10))?;
    scan["scanned_at"] = json!("yesterday");
    let request_id = scan["request_id"].as_str().context("it has one")?.parse()?;
    let message = Message::json(subject::scan_captured(), "half", &scan)?;
    let outcome = school.bus.ask(message, request_id, SOON).await?;
    let OutcomeResult::Failed(refusal) = outcome.result else { panic!("{outcome:?}") };
    assert_eq!((refusal.code, outcome.caller), (Code::InternalServerError, school.students[0]));

    assert_eq!(school.scan(school.students[0], token, 10).await?, Ok(Present));
    school.settled(Stream::Scans, consumer::SCANS).await;
    school.settled(Stream::Dead, consumer::DEAD).await;
    assert_eq!(school.bus.stream(Stream::Dead).await?.last_sequence, 2);
    let dead = school.bus.get(Stream::Dead, 1).await?.context("it is kept")?;
    let reason = dead.header(header::DEAD_REASON).context("it has a reason")?;
    assert!(reason.contains("unreadable"), "{reason}");
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn what_the_log_took_is_not_given_to_it_again_because_it_refused_the_next() -> Result<()> {
    let school = School::open(1).await?;
    let cause = Uuid::from_u128(1);
    let messages: Vec<_> = (1..=3)
        .map(|number| {
            OutboxMessage::request(RequestKind::Session, RequestId(Uuid::from_u128(number)), &number)
        })
        .collect();
    outbox::enqueue(&mut *school.pool.acquire().await?, cause, at(0), &messages).await?;
    let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
    let mut taken = Vec::new();
    let delivered = outbox::deliver(&school.pool, cause, async |message| {
        if message.id == ids[2] {
            return Err("the log is full");
        }
        taken.push(message.id);
        Ok(())
    });
    assert!(delivered.await.is_err());
    let delivered = outbox::deliver(&school.pool, cause, async |message| {
        taken.push(message.id);
        Ok::<_, &str>(())
    });
    assert_eq!(delivered.await.ok(), Some(1));
    assert_eq!(taken, ids);
    Ok(())
}
