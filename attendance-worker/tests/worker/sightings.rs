//! Sightings: votes, certainty, doubt, late frames, and what the live feed is told.

use crate::harness::{SOON, School, TRACE_ID, at, face, face_with, towards};
use anyhow::Result;
use rollcall_attendance_worker::consumer;
use rollcall_bus::Message;
use rollcall_schemas::{
    code::Code,
    fact::{AttendanceStatus::*, Evidence, FactEvent},
    id::AttendanceId,
    request::{SessionCommand, SessionPlan},
    sighting::{Candidate, Verdict},
    subject::{self, RequestKind, Stream},
};
use rollcall_store::{
    attendance,
    classes::{self, ClassSettings},
    enrolments,
    looks::{self, Vote},
    sessions,
};
use rollcall_test_support::{eventually, waiting_for_locks};

#[tokio::test]
async fn three_confident_looks_in_different_frames_make_a_record() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    school.enrol(school.students[0], towards(0, 1.0)).await?;
    school.see(30, vec![face(0, 0.96)]).await?;
    school.see(20, vec![face(0, 0.97)]).await?;
    assert_eq!(school.rows(session).await?, []);
    school.see(40, vec![face(0, 0.96)]).await?;
    let rows = school.rows(session).await?;
    assert_eq!(rows.len(), 1);
    // From the earliest look, whatever the order in which they came.
    assert_eq!((rows[0].marked_at, rows[0].status, rows[0].evidence), (at(20), Present, Evidence::Face));
    assert!((rows[0].similarity.expect("it is a face") - 0.97).abs() < 1e-3);
    assert_eq!(rows[0].trace_id.as_deref(), Some(TRACE_ID));
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn one_certain_look_is_enough_unless_the_class_says_otherwise() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    school.enrol(school.students[0], towards(0, 1.0)).await?;
    school.see(700, vec![face(0, 0.99)]).await?;
    assert_eq!(school.records(session).await?[&school.students[0]], (Late, 700, Evidence::Face));
    school.end(session, 1_000).await?;

    let careful = ClassSettings { certain_is_enough: false, votes_wanted: 2, ..ClassSettings::default() };
    classes::set_settings(&mut *school.pool.acquire().await?, school.class, careful, at(2_000)).await?;
    let create =
        SessionCommand::Create { class_id: school.class, plan: SessionPlan::between(at(2_000), at(3_000)) };
    let session_id = school.command(1_500, create).await?.session_id;
    school.command(2_000, SessionCommand::Start { session_id }).await?;
    school.see(2_010, vec![face(0, 0.99)]).await?;
    assert_eq!(school.rows(session_id).await?, []);
    school.see(2_020, vec![face(0, 0.99)]).await?;
    assert_eq!(school.records(session_id).await?[&school.students[0]], (Present, 10 + 2_000, Evidence::Face));
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn doubt_is_for_a_person_to_decide() -> Result<()> {
    let school = School::open(4).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let [uncertain, twin, other_twin, known] = [0, 1, 2, 3].map(|n| school.students[n]);
    school.enrol(uncertain, towards(0, 1.0)).await?;
    school.enrol(twin, towards(1, 1.0)).await?;
    school.enrol(other_twin, towards(1, 0.995)).await?;
    school.enrol(known, towards(3, 1.0)).await?;
    let stranger = Candidate { user_id: school.outsider, similarity: 0.99 };
    let outside = face_with(towards(3, 0.96), vec![stranger], Verdict::Confident);
    school.see(10, vec![face(0, 0.92), face(1, 0.99), outside]).await?;
    school.see(20, vec![face(0, 0.93)]).await?;
    assert_eq!(school.rows(session).await?, []);
    let mut reviews: Vec<_> = school
        .reviews(session)
        .await?
        .into_iter()
        .map(|review| (review.reason, review.captured_at))
        .collect();
    reviews.sort();
    let expected = ["look_alike", "outside_class", "uncertain"].map(|reason| (reason.to_owned(), at(10)));
    assert_eq!(reviews, expected);
    let told = school.fact_counts().await?;
    assert_eq!(told["review.opened"], 3);
    assert!(!told.contains_key("person.seen") && !told.contains_key("stranger.seen"), "{told:?}");
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_frame_that_arrives_after_the_end_corrects_an_absence() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    school.enrol(school.students[0], towards(0, 1.0)).await?;
    school.end(session, 1_000).await?;
    let absent = (Absent, 1_000, Evidence::None);
    assert_eq!(school.records(session).await?[&school.students[0]], absent);
    school.see(1_000, vec![face(0, 0.99)]).await?;
    assert_eq!(school.records(session).await?[&school.students[0]], absent);
    school.see(999, vec![face(0, 0.99)]).await?;
    let records = school.records(session).await?;
    assert_eq!(records[&school.students[0]], (Late, 999, Evidence::Face));
    assert_eq!(records[&school.students[1]], absent);
    let corrected = school.facts().await?.into_iter().find_map(|fact| match fact.event {
        FactEvent::AttendanceCorrected { student_id, from, to, .. } => Some((student_id, from, to)),
        _ => None,
    });
    assert_eq!(corrected, Some((school.students[0], Absent, Late)));
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn scan_and_face_meet_in_one_record_of_the_earlier() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    let [anna, bert] = [school.students[0], school.students[1]];
    school.enrol(anna, towards(0, 1.0)).await?;
    school.enrol(bert, towards(1, 1.0)).await?;
    school.see(50, vec![face(0, 0.99)]).await?;
    assert_eq!(school.scan(anna, token, 40).await?, Err(Code::AlreadyMarkedAttendance));
    assert_eq!(school.scan(bert, token, 60).await?, Ok(Present));
    school.see(55, vec![face(1, 0.99)]).await?;
    let records = school.records(session).await?;
    assert_eq!(records[&anna], (Present, 40, Evidence::Qr));
    assert_eq!(records[&bert], (Present, 55, Evidence::Face));
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn votes_before_the_request_to_start_is_handled_count_from_the_start() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    let session_id = school.plan().await?;
    school.enrol(school.students[0], towards(0, 1.0)).await?;
    school.enrol(school.students[1], towards(1, 1.0)).await?;
    school.see(20, vec![face(0, 0.99)]).await?;
    school.see(9, vec![face(1, 0.99)]).await?;
    assert_eq!(school.rows(session_id).await?, []);
    school.command(10, SessionCommand::Start { session_id }).await?;
    let records = school.records(session_id).await?;
    assert_eq!(records.len(), 1);
    assert_eq!(records[&school.students[0]], (Present, 20, Evidence::Face));
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn only_those_who_were_in_the_class_are_marked() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    school.enrol(school.students[0], towards(0, 1.0)).await?;
    school.enrol(school.outsider, towards(1, 1.0)).await?;
    enrolments::end(&mut *school.pool.acquire().await?, school.students[0], Some(school.class), at(100))
        .await?;
    school.see(100, vec![face(0, 0.99), face(1, 0.99)]).await?;
    assert_eq!(school.rows(session).await?, []);
    school.see(99, vec![face(0, 0.99)]).await?;
    assert_eq!(school.records(session).await?.len(), 1);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn who_is_seen_is_told_once_a_minute() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let known = Candidate { user_id: school.outsider, similarity: 0.97 };
    let faces =
        || vec![face_with(towards(1, 0.97), vec![known], Verdict::Confident), face(2, 0.3), face(3, 0.3)];
    for seconds in [0, 30, 59, 60] {
        school.see(seconds, faces()).await?;
    }
    let told = school.fact_counts().await?;
    assert_eq!((told["person.seen"], told["stranger.seen"]), (2, 2));
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn looks_that_are_counted_at_the_same_time_are_all_counted() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let anna = school.students[0];
    school.enrol(anna, towards(0, 1.0)).await?;
    school.see(10, vec![face(0, 0.96)]).await?;
    let mut sightings = Vec::new();
    for seconds in [20, 30] {
        let sequence = school.frame(seconds, format!("{seconds}").as_bytes()).await?;
        sightings.push(school.sighting(seconds, sequence, vec![face(0, 0.96)]));
    }
    school.settled(Stream::Frames, consumer::LEDGER).await;
    // Both begin before either has ended: they wait for the mark together.
    let mut tx = school.pool.begin().await?;
    attendance::hold_marks(&mut tx, &[AttendanceId::of(session, anna)]).await?;
    for sighting in &sightings {
        school.send_sighting(sighting).await?;
    }
    eventually("both sightings to wait", SOON, || async {
        (waiting_for_locks(&school.pool).await == 2).then_some(())
    })
    .await;
    tx.rollback().await?;
    school.settled(Stream::Sightings, consumer::SIGHTINGS).await;
    assert_eq!(school.records(session).await?[&anna], (Present, 10, Evidence::Face));
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn the_end_counts_every_vote_once_more() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let vote = |seconds: i64| {
        let sighting = school.sighting(seconds, 1, vec![]);
        Vote {
            student_id: school.students[0],
            sighting_id: sighting.sighting_id,
            frame_id: sighting.frame_id,
            captured_at: at(seconds),
            similarity: 0.96,
            certain: false,
            camera_id: Some(school.camera),
            evidence_sequence: None,
        }
    };
    let votes = [10, 20, 30].map(vote);
    looks::add_votes(&mut *school.pool.acquire().await?, session, &votes).await?;
    school.end(session, 100).await?;
    assert_eq!(school.records(session).await?[&school.students[0]], (Present, 10, Evidence::Face));
    assert_eq!(school.fact_counts().await?["attendance.recorded"], 1);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_scan_counts_where_the_end_takes_the_earlier_face_back() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    let anna = school.students[0];
    school.enrol(anna, towards(0, 1.0)).await?;
    assert_eq!(school.scan(anna, token, 100).await?, Ok(Present));
    for seconds in [10, 20, 250] {
        school.see(seconds, vec![face(0, 0.96)]).await?;
    }
    assert_eq!(school.records(session).await?[&anna], (Present, 10, Evidence::Face));
    school.end(session, 200).await?;
    assert_eq!(school.records(session).await?[&anna], (Present, 100, Evidence::Qr));
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn nobody_is_asked_about_somebody_who_is_known_to_be_there() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    let [anna, bert] = [school.students[0], school.students[1]];
    school.enrol(anna, towards(0, 1.0)).await?;
    school.enrol(bert, towards(1, 1.0)).await?;
    school.see(10, vec![face(0, 0.92), face(1, 0.92)]).await?;
    assert_eq!(school.reviews(session).await?.len(), 2);
    assert_eq!(school.scan(anna, token, 20).await?, Ok(Present));
    assert_eq!(school.reviews(session).await?.len(), 1);
    school.see(30, vec![face(1, 0.99)]).await?;
    assert_eq!(school.reviews(session).await?.len(), 0);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_look_waits_for_an_earlier_request_that_may_open_its_session() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    school.enrol(school.students[0], towards(0, 1.0)).await?;
    let create =
        SessionCommand::Create { class_id: school.class, plan: SessionPlan::between(at(3_600), at(9_000)) };
    let session_id = school.command(-600, create).await?.session_id;
    // Opened an hour early, by a request that somebody holds up.
    let mut tx = school.pool.begin().await?;
    sessions::lock(&mut tx, session_id).await?;
    let start = school.request(0, SessionCommand::Start { session_id });
    school
        .bus
        .publish(Message::json(subject::request(RequestKind::Session), start.request_id, &start)?)
        .await?;
    let sequence = school.frame(20, b"20").await?;
    school.send_sighting(&school.sighting(20, sequence, vec![face(0, 0.99)])).await?;
    eventually("the look to be in hand while the request waits", SOON, || async {
        let state = school.bus.consumer(Stream::Sightings, consumer::SIGHTINGS).await.ok()??;
        (state.in_flight == 1 && waiting_for_locks(&school.pool).await == 1).then_some(())
    })
    .await;
    tx.rollback().await?;
    school.settled(Stream::Sightings, consumer::SIGHTINGS).await;
    assert_eq!(school.records(session_id).await?[&school.students[0]], (Present, 20, Evidence::Face));
    Ok(worker.stop(SOON).await?)
}
