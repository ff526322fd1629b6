//! Every part is killed under load, one after the other, and started again. Nothing that was accepted is lost, and
//! nothing is there twice.

use crate::harness::{
    Camera, Deployment, Frame, FrameAnswer, Load, Pictures, Scan, ScanAnswer, School, Service, Session,
    Student, assert_ledger, facts, push, read_all, records, scan, settled, wait_until,
};
use chrono::TimeDelta;
use reqwest::StatusCode;
use rollcall_schemas::{
    code::Code,
    fact::{AttendanceStatus, Evidence, FactEvent},
    id::UserId,
    outcome::OutcomeResult,
    sighting::Sighting,
    subject::Stream,
};
use std::collections::{BTreeSet, HashMap, HashSet};

const FRAMES: usize = 500;
const SCANS: usize = 500;
/// Of the scans, so many are a second scan by somebody who has scanned already, and so many by somebody of another class.
const REPEATED: usize = 50;
const OUTSIDERS: usize = 50;
const CLIENTS: usize = 8;
/// So many that none of them comes near its limit of frames a second.
const CAMERAS: usize = 10;

#[derive(Clone, Copy, Debug)]
enum Victim {
    Service(Service),
    Broker,
}

const VICTIMS: [Victim; 5] = [
    Victim::Service(Service::FaceWorker),
    Victim::Service(Service::AttendanceWorker),
    Victim::Service(Service::Ingest),
    Victim::Service(Service::Api),
    Victim::Broker,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_doubled_whoever_is_killed() {
    let mut deployment = Deployment::start().await;
    let school = School::open(&deployment).await;
    school.enrol_face().await;
    let session = school.start_session().await;
    let students = school.students(&deployment, SCANS - REPEATED - OUTSIDERS).await;
    let outsiders = school.outsiders(&deployment, OUTSIDERS).await;

    let mut cameras = vec![school.camera.clone()];
    for number in 1..CAMERAS {
        cameras.push(school.people.camera(&deployment, school.class, &format!("Camera {number}")).await);
    }

    let frames = Load::new(CLIENTS, frames(&cameras, &session), push);
    let scans = Load::new(CLIENTS, scans(&deployment, &session, &students, &outsiders), scan);
    for (turn, victim) in VICTIMS.into_iter().enumerate() {
        kill_under_load(&mut deployment, victim, turn, &frames, &scans).await;
    }
    let (frames, scans) = (frames.finish().await, scans.finish().await);
    assert_eq!((frames.len(), scans.len()), (FRAMES, SCANS));

    settled(&deployment, FRAMES as u64).await;
    each_frame_ended_in_one_sighting(&deployment, &frames).await;
    assert_ledger(
        &deployment,
        &cameras.iter().map(|camera| (camera.id, (FRAMES / CAMERAS) as u64)).collect(),
    )
    .await;
    each_scan_ended_in_one_outcome(&deployment, &scans, &outsiders).await;
    each_student_has_one_record(&deployment, &school, &session, &students).await;
    assert_eq!(read_all(&deployment.bus, Stream::Dead).await.len(), 0);
}

/// Every tenth frame shows the known student.
fn frames(cameras: &[Camera], session: &Session) -> Vec<Frame> {
    let pictures = Pictures::get();
    let picture = |number: usize| match number % 10 {
        0 => &pictures.known,
        5 => &pictures.stranger,
        _ => &pictures.empty,
    };
    let frame = |number: usize| Frame {
        camera: cameras[number / 10 % CAMERAS].clone(),
        captured_at: session.started_at + TimeDelta::milliseconds(number as i64),
        picture: picture(number).clone(),
    };
    (0..FRAMES).map(frame).collect()
}

/// Each student scans once, the first of them again at once, and outsiders in between.
fn scans(
    deployment: &Deployment,
    session: &Session,
    students: &[Student],
    outsiders: &[Student],
) -> Vec<Scan> {
    let door = deployment.visitor(Service::Ingest);
    let scan = |student: &Student, key: &str| Scan {
        student: student.clone(),
        door: door.clone(),
        qr_token: session.qr_token.clone(),
        key: key.to_owned(),
    };
    let mut scans = Vec::with_capacity(SCANS);
    for (number, student) in students.iter().enumerate() {
        scans.push(scan(student, "first"));
        let eighth = number / 8;
        if number % 8 == 0 && eighth < REPEATED {
            scans.push(scan(student, "second"));
            scans.push(scan(&outsiders[eighth], "first"));
        }
    }
    scans
}

async fn kill_under_load(
    deployment: &mut Deployment,
    victim: Victim,
    turn: usize,
    frames: &Load<FrameAnswer>,
    scans: &Load<ScanAnswer>,
) {
    const SHARE: usize = FRAMES / VICTIMS.len();
    let so_far = turn * SHARE;
    frames.release(SHARE / 2);
    scans.release(SHARE / 2);
    tokio::join!(
        frames.until("frames come in", |counts| counts.answered > so_far + SHARE / 10),
        scans.until("scans come in", |counts| counts.answered > so_far + SHARE / 10),
    );
    // The rest of the first half is on its way.
    match victim {
        Victim::Service(service) => deployment.kill(service).await,
        Victim::Broker => deployment.nats.kill().await,
    }
    let at_kill = frames.counts();
    frames.release(SHARE / 2);
    scans.release(SHARE / 2);
    match victim {
        Victim::Service(Service::Ingest) | Victim::Broker => {
            let turned_away = at_kill.turned_away + CLIENTS;
            frames.until("the door is found closed", |counts| counts.turned_away > turned_away).await;
        }
        // Behind the door somebody is missing, and nobody in front of it notices.
        Victim::Service(_) => {
            frames.until("frames are accepted", |counts| counts.answered == so_far + SHARE).await;
            scans.until("scans are accepted", |counts| counts.answered == so_far + SHARE).await;
        }
    }
    match victim {
        Victim::Service(service) => deployment.restart(service).await,
        Victim::Broker => deployment.nats.restart().await.expect("the broker starts on its data"),
    }
}

async fn each_frame_ended_in_one_sighting(deployment: &Deployment, accepted: &[FrameAnswer]) {
    let sequences: BTreeSet<u64> = accepted.iter().map(|frame| frame.sequence).collect();
    let ids: HashSet<_> = accepted.iter().map(|frame| frame.frame_id).collect();
    assert_eq!((sequences.len(), ids.len()), (FRAMES, FRAMES));
    let in_log: BTreeSet<u64> =
        read_all(&deployment.bus, Stream::Frames).await.iter().map(|frame| frame.sequence).collect();
    assert_eq!(in_log, sequences, "FRAMES holds what was accepted and nothing else");

    let sightings = read_all(&deployment.bus, Stream::Sightings).await;
    let sightings: Vec<Sighting> = sightings
        .iter()
        .map(|message| serde_json::from_slice(&message.payload).expect("a sighting is JSON"))
        .collect();
    let seen: BTreeSet<u64> = sightings.iter().map(|sighting| sighting.frame_sequence).collect();
    assert_eq!(seen, sequences, "each frame has its sighting");
    assert_eq!(sightings.len(), FRAMES, "and one only");
}

async fn each_scan_ended_in_one_outcome(
    deployment: &Deployment,
    scans: &[ScanAnswer],
    outsiders: &[Student],
) {
    let requests: HashSet<_> = scans.iter().map(|scan| scan.request_id).collect();
    assert_eq!(read_all(&deployment.bus, Stream::Scans).await.len(), SCANS, "each scan is in the log once");
    let outsiders: HashSet<UserId> = outsiders.iter().map(|student| student.id).collect();
    let mut successes: HashMap<UserId, usize> = HashMap::new();
    for scan in scans {
        let mut code = None;
        wait_until("the outcome of a scan", async || {
            let outcome = deployment.bus.outcome(scan.request_id).await.ok().flatten();
            code = outcome.map(|outcome| match outcome.result {
                OutcomeResult::Succeeded { .. } => "OK".to_owned(),
                OutcomeResult::Failed(refusal) => refusal.code.to_string(),
            });
            code.is_some()
        })
        .await;
        let code = code.unwrap_or_default();
        assert!(
            scan.code.as_ref().is_none_or(|answered| *answered == code),
            "answered {scan:?}, stored {code}"
        );
        if outsiders.contains(&scan.student.id) {
            assert_eq!(code, Code::NotEnrolled.as_str());
        } else if code == "OK" {
            *successes.entry(scan.student.id).or_default() += 1;
        } else {
            assert_eq!(code, Code::AlreadyMarkedAttendance.as_str());
        }
    }
    assert_eq!(successes.len(), SCANS - REPEATED - OUTSIDERS);
    assert!(successes.values().all(|count| *count == 1), "somebody was recorded more than once");

    let api = deployment.visitor(Service::Api);
    for scan in scans.iter().filter(|scan| scan.code.is_none()) {
        let path = format!("/api/v1/requests/{}", scan.request_id);
        let outcome = api.with_token(&scan.student.token).get(&path).await;
        assert_eq!(outcome.status, StatusCode::OK, "who was sent away finds the answer: {}", outcome.body);
    }

    let outcomes = read_all(&deployment.bus, Stream::Outcomes).await;
    let answered = outcomes.iter().filter(|outcome| {
        outcome.subject.last_token().parse().is_ok_and(|request| requests.contains(&request))
    });
    assert_eq!(answered.count(), SCANS, "each scan has one outcome");
}

async fn each_student_has_one_record(
    deployment: &Deployment,
    school: &School,
    session: &Session,
    students: &[Student],
) {
    let wanted: BTreeSet<UserId> = students.iter().chain([&school.known]).map(|student| student.id).collect();
    let records = records(deployment, session.id).await;
    assert_eq!(records.len(), wanted.len());
    assert_eq!(records.iter().map(|record| record.student_id).collect::<BTreeSet<_>>(), wanted);
    for record in &records {
        let by = if record.student_id == school.known.id { Evidence::Face } else { Evidence::Qr };
        assert_eq!((record.status, record.evidence), (AttendanceStatus::Present, by), "{record:?}");
    }

    let mut told: HashMap<UserId, usize> = HashMap::new();
    let mut refusals = 0;
    for fact in facts(&deployment.bus).await {
        match fact.event {
            FactEvent::AttendanceRecorded { student_id, .. } => *told.entry(student_id).or_default() += 1,
            FactEvent::ScanRefused { .. } => refusals += 1,
            _ => {}
        }
    }
    assert_eq!(told.keys().copied().collect::<BTreeSet<_>>(), wanted, "each record is told");
    assert!(told.values().all(|count| *count == 1), "and told once");
    assert_eq!(refusals, REPEATED + OUTSIDERS, "each refusal is told once");
}
