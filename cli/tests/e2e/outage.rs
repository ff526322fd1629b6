//! PostgreSQL is away for a while under load. The doors stay open, and once it is back everything is recorded as of the
//! time at which it happened.

use crate::harness::{
    Deployment, Frame, Load, Pictures, Scan, School, Service, Student, assert_ledger, facts, push, read_all,
    records, scan, settled, wait_until,
};
use chrono::TimeDelta;
use rollcall_schemas::{
    fact::{AttendanceStatus, Evidence, FactEvent},
    id::UserId,
    scan::Scan as ScanMessage,
    subject::Stream,
};
use rollcall_service::clock::Clock;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};

const FRAMES: usize = 60;
const SCANS: usize = 40;
/// Long enough for the first half of the scans, short enough to wait for.
const GRACE_S: i64 = 10;
const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_database_closes_no_door_and_changes_no_time() {
    let mut deployment = Deployment::start().await;
    let school = School::open(&deployment).await;
    school.enrol_face().await;
    let rules = json!({ "lateAfterSeconds": GRACE_S });
    school.people.teacher.put(&format!("/api/v1/classes/{}/settings", school.class), &rules).await.data();
    let students = school.students(&deployment, SCANS).await;
    let session = school.start_session().await;
    let grace_ends = session.started_at + TimeDelta::seconds(GRACE_S);

    deployment.postgres.stop().await;
    let captured_at = |number: usize| session.started_at + TimeDelta::milliseconds(number as i64);
    let pictures = Pictures::get();
    let frame = |number: usize| Frame {
        camera: school.camera.clone(),
        captured_at: captured_at(number),
        picture: if number % 10 == 5 { pictures.known.clone() } else { pictures.empty.clone() },
    };
    let frames = Load::new(CLIENTS, (0..FRAMES).map(frame).collect(), push);
    let door = deployment.visitor(Service::Ingest);
    let calls = |students: &[Student]| {
        let scan = |student: &Student| Scan {
            student: student.clone(),
            door: door.clone(),
            qr_token: session.qr_token.clone(),
            key: "scan".into(),
        };
        students.iter().map(scan).collect::<Vec<_>>()
    };
    let (in_time, late) = students.split_at(SCANS / 2);
    let mut answers = Load::new(CLIENTS, calls(in_time), scan).finish().await;
    let frames = frames.finish().await;
    wait_until("the grace is over", async || Clock::real().now() > grace_ends).await;
    answers.extend(Load::new(CLIENTS, calls(late), scan).finish().await);
    assert_eq!((frames.len(), answers.len()), (FRAMES, SCANS));
    assert!(answers.iter().all(|answer| answer.code.is_none()), "nobody can have decided: {answers:?}");

    deployment.postgres.restart().await.expect("the database starts on its data");
    settled(&deployment, FRAMES as u64).await;
    wait_until("everybody is recorded", async || records(&deployment, session.id).await.len() == SCANS + 1)
        .await;
    assert_ledger(&deployment, &BTreeMap::from([(school.camera.id, FRAMES as u64)])).await;

    let scanned_at: HashMap<UserId, _> = read_all(&deployment.bus, Stream::Scans)
        .await
        .iter()
        .map(|message| serde_json::from_slice::<ScanMessage>(&message.payload).unwrap())
        .map(|scan| (scan.student_id, scan.scanned_at))
        .collect();
    let mut statuses = HashMap::new();
    for record in records(&deployment, session.id).await {
        let (at, evidence) = match scanned_at.get(&record.student_id) {
            Some(at) => (*at, Evidence::Qr),
            None => (captured_at(5), Evidence::Face),
        };
        let status = if at > grace_ends { AttendanceStatus::Late } else { AttendanceStatus::Present };
        assert_eq!((record.marked_at, record.evidence, record.status), (at, evidence, status), "{record:?}");
        *statuses.entry(record.status).or_insert(0) += 1;
    }
    assert_eq!(statuses[&AttendanceStatus::Late], late.len(), "who scanned after the grace is late");
    assert_eq!(
        statuses[&AttendanceStatus::Present],
        in_time.len() + 1,
        "who scanned before is not, whenever decided"
    );

    let told = facts(&deployment.bus).await;
    let told = told.iter().filter(|fact| matches!(fact.event, FactEvent::AttendanceRecorded { .. }));
    assert_eq!(told.count(), SCANS + 1);
    for answer in &answers {
        let path = format!("/api/v1/requests/{}", answer.request_id);
        let caller = deployment.visitor(Service::Api).with_token(&answer.student.token);
        let outcome = caller.get(&path).await;
        assert_eq!((outcome.status.as_u16(), &outcome.data()["status"]), (200, &json!("succeeded")));
    }
}
