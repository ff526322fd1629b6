//! Rules of a class against codes that are passed on, with what is kept of each scan.

use crate::harness::{SOON, School, at, verdict};
use anyhow::{Context, Result};
use futures::future::try_join_all;
use rollcall_attendance_worker::consumer;
use rollcall_bus::Message;
use rollcall_schemas::{
    code::Code,
    fact::{AttendanceStatus::*, Evidence},
    id::{DeviceId, SessionId},
    outcome::{Answer, OutcomeResult},
    request::{AttendanceCommand, SessionCommand, SessionPlan, Verdict},
    scan::{OnDoubt, Position, Scan},
    subject::{self, Stream},
};
use rollcall_store::{
    configuration::{self, Revision, Scope},
    pages::Page,
    protections::{self, Protections, RoomPosition},
};
use serde_json::{Value, json};

const ROOM: RoomPosition = RoomPosition { latitude: 48.2082, longitude: 16.3738, radius_m: 30 };

async fn protect(school: &School, rules: Protections, seconds: i64) -> Result<()> {
    let mut tx = school.pool.begin().await?;
    protections::set(&mut tx, school.class, &rules, at(seconds)).await?;
    Ok(tx.commit().await?)
}

async fn answer(school: &School, scan: &Scan) -> Result<Option<Code>> {
    let message = Message::json(subject::scan_captured(), scan.scan_id, scan)?;
    let outcome = school.bus.ask(message, scan.request_id, SOON).await?;
    Ok(verdict(&outcome)?.err())
}

async fn found(school: &School, session: SessionId, scan: &Scan) -> Result<Option<Value>> {
    let all = Page { limit: 100, offset: 0 };
    let found = protections::of_session(&mut *school.pool.acquire().await?, session, all).await?;
    Ok(found.rows.into_iter().find(|found| found.scan_id == scan.scan_id).map(|found| found.found))
}

#[tokio::test]
async fn a_scan_from_elsewhere_is_refused_from_when_the_class_says_so() -> Result<()> {
    let school = School::open(3).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    let allowed_networks = vec!["10.20.0.0/16".parse()?];
    let rules = Protections { allowed_networks, room: Some(ROOM), ..Protections::default() };
    protect(&school, rules, 100).await?;
    let [anna, bert, carla] = [0, 1, 2].map(|n| school.students[n]);

    // Before that, nobody asks, and nothing is kept.
    let before = school.scan_of(anna, token, 99);
    assert_eq!(answer(&school, &before).await?, None);
    assert_eq!(found(&school, session, &before).await?, None);

    let elsewhere = school.scan_of(bert, token, 100);
    assert_eq!(answer(&school, &elsewhere).await?, Some(Code::NetworkNotAllowed));
    let expected = json!({ "codeAgeMs": 100_000, "codeLifeMs": 300_000, "networkAllowed": false });
    assert_eq!(found(&school, session, &elsewhere).await?, Some(expected), "a refusal is kept, too");
    let in_net = |scan: Scan| Scan { ip: Some([10, 20, 0, 1].into()), ..scan };
    let far = Position { latitude: 48.3, longitude: 16.3738, accuracy_m: Some(10.0) };
    let far = Scan { position: Some(far), ..in_net(school.scan_of(bert, token, 101)) };
    assert_eq!(answer(&school, &far).await?, Some(Code::TooFarFromRoom));
    let near = Position { latitude: 48.2082, longitude: 16.3738, accuracy_m: Some(10.0) };
    let near = Scan { position: Some(near), ..in_net(school.scan_of(bert, token, 102)) };
    assert_eq!(answer(&school, &near).await?, None);
    let kept = found(&school, session, &near).await?.context("it is kept")?;
    assert_eq!((&kept["inRoom"], &kept["distanceM"]), (&json!(true), &json!(0.0)));
    // Nobody asks for a position that is not given, unless the class does.
    assert_eq!(answer(&school, &in_net(school.scan_of(carla, token, 103))).await?, None);

    let records = school.records(session).await?;
    assert_eq!([anna, bert, carla].map(|student| records[&student].1), [99, 102, 103]);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn whoever_may_not_scan_at_all_is_told_so_first() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    let allowed_networks = vec!["10.20.0.0/16".parse()?];
    protect(&school, Protections { allowed_networks, ..Protections::default() }, 50).await?;
    let anna = school.students[0];
    assert_eq!(answer(&school, &school.scan_of(anna, token, 40)).await?, None);
    for (student, seconds, code) in [
        (school.outsider, 60, Code::NotEnrolled),
        (anna, 300, Code::QrTokenExpired),
        // Even somebody who is recorded is told where scans must come from.
        (anna, 60, Code::NetworkNotAllowed),
    ] {
        let scan = school.scan_of(student, token, seconds);
        assert_eq!(answer(&school, &scan).await?, Some(code));
        let is_kept = found(&school, session, &scan).await?.is_some();
        assert_eq!(is_kept, code == Code::NetworkNotAllowed, "{code}");
    }
    assert_eq!(school.records(session).await?[&anna].0, Present);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_scan_in_doubt_waits_for_a_person_with_what_was_found_beside_it() -> Result<()> {
    let school = School::open(3).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    let rules = Protections {
        room: Some(ROOM),
        too_far: OnDoubt::Review,
        shared_device: OnDoubt::Review,
        ..Protections::default()
    };
    protect(&school, rules, 0).await?;
    let [anna, bert, carla] = [0, 1, 2].map(|n| school.students[n]);
    let far = Position { latitude: 48.3, longitude: 16.3738, accuracy_m: Some(10.0) };
    for student in [anna, bert, carla] {
        let scan = Scan { position: Some(far), ..school.scan_of(student, token, 20) };
        let OutcomeResult::Succeeded { answer: Answer::ScanKept(kept) } =
            school.ask_scan(&scan).await?.result
        else {
            anyhow::bail!("it is kept");
        };
        assert!(kept.in_review);
    }
    school.settled(Stream::Scans, consumer::SCANS).await;
    assert_eq!(school.rows(session).await?, [], "it counts once somebody says so");
    let asked = school.reviews(session).await?;
    assert_eq!(asked.len(), 3);
    for review in &asked {
        let found = review.found.as_ref().context("what was found is beside it")?;
        assert_eq!((review.reason.as_str(), &found["inRoom"]), ("too_far", &json!(false)));
    }
    // A scan that is in order settles the question; a word does, too.
    let near = Position { latitude: 48.2082, longitude: 16.3738, accuracy_m: Some(10.0) };
    let near = Scan { position: Some(near), ..school.scan_of(bert, token, 60) };
    assert_eq!(answer(&school, &near).await?, None);
    let of_anna = asked.iter().find(|review| review.student_id == anna).context("anna is asked about")?.id;
    let accept = |id| AttendanceCommand::Resolve { review_id: id, verdict: Verdict::Accept, reason: None };
    school.say(90, accept(of_anna)).await?;
    let left: Vec<_> = school.reviews(session).await?.iter().map(|review| review.student_id).collect();
    assert_eq!(left, [carla]);
    school.end(session, 1_000).await?;
    let records = school.records(session).await?;
    assert_eq!(records[&anna], (Present, 20, Evidence::Manual));
    assert_eq!(records[&bert], (Present, 60, Evidence::Qr));
    assert_eq!(records[&carla].0, Absent);
    // Once the word is taken back, the scan is in doubt again, and no record rests on it.
    school
        .say(1_100, AttendanceCommand::Withdraw { session_id: session, student_id: anna, reason: None })
        .await?;
    assert_eq!(school.records(session).await?[&anna], (Absent, 1_000, Evidence::None));
    assert_eq!(school.reviews(session).await?.len(), 2);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn the_position_of_the_room_goes_before_that_of_the_class() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    protect(&school, Protections { room: Some(ROOM), ..Protections::default() }, -3_600).await?;
    let revision = Revision {
        revision: 1,
        settings: json!({ "roomPositions": { "Gym": { "latitude": 48.3, "longitude": 16.4, "radiusM": 50 } } }),
        valid_from: at(20),
        changed_by: school.teacher,
    };
    configuration::add(&mut *school.pool.acquire().await?, Scope::Organisation, &revision).await?;
    let plan = SessionPlan { room: Some("gym".into()), ..SessionPlan::between(at(0), at(3_600)) };
    let create = SessionCommand::Create { class_id: school.class, plan };
    let session_id = school.command(-600, create).await?.session_id;
    school.command(0, SessionCommand::Start { session_id }).await?;
    let token = school.token(session_id, 10).await?;
    let from = |student: usize, latitude, longitude, seconds| {
        let position = Some(Position { latitude, longitude, accuracy_m: None });
        Scan { position, ..school.scan_of(school.students[student], token, seconds) }
    };
    let (in_class, in_gym) = ((ROOM.latitude, ROOM.longitude), (48.3, 16.4));
    assert_eq!(answer(&school, &from(0, in_gym.0, in_gym.1, 19)).await?, Some(Code::TooFarFromRoom));
    assert_eq!(answer(&school, &from(0, in_class.0, in_class.1, 19)).await?, None, "as of the scan");
    assert_eq!(answer(&school, &from(1, in_class.0, in_class.1, 20)).await?, Some(Code::TooFarFromRoom));
    assert_eq!(answer(&school, &from(1, in_gym.0, in_gym.1, 20)).await?, None);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn one_device_marks_one_student_in_a_session_however_many_try_at_once() -> Result<()> {
    let school = School::open(12).await?;
    let workers = [school.work(), school.work()];
    protect(&school, Protections { shared_device: OnDoubt::Refuse, ..Protections::default() }, -60).await?;
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    let from = |student: usize, device: &str, seconds| Scan {
        device_id: Some(DeviceId::of(device)),
        ..school.scan_of(school.students[student], token, seconds)
    };
    let rush: Vec<Scan> = (0..10).map(|student| from(student, "phone", 20)).collect();
    let codes = try_join_all(rush.iter().map(|scan| answer(&school, scan))).await?;
    assert_eq!(codes.iter().filter(|code| code.is_none()).count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == Some(Code::DeviceAlreadyUsed)).count(), 9, "{codes:?}");
    assert_eq!(school.rows(session).await?.len(), 1);

    // The same student again is told what is so; a device of one's own is nobody's business.
    let winner = codes.iter().position(Option::is_none).context("somebody was the first")?;
    assert_eq!(answer(&school, &from(winner, "phone", 30)).await?, Some(Code::AlreadyMarkedAttendance));
    assert_eq!(answer(&school, &from(10, "tablet", 30)).await?, None);
    let loser = (winner + 1) % 10;
    assert_eq!(answer(&school, &from(loser, "own phone", 31)).await?, None);
    // A scan that did not count does not use the device up.
    let outsider =
        Scan { device_id: Some(DeviceId::of("fresh")), ..school.scan_of(school.outsider, token, 32) };
    assert_eq!(answer(&school, &outsider).await?, Some(Code::NotEnrolled));
    assert_eq!(answer(&school, &from(11, "fresh", 33)).await?, None);
    for worker in workers {
        worker.stop(SOON).await?;
    }
    Ok(())
}
