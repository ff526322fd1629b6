//! A whole school scans at once, and in the middle of it the worker that records and the api that shows are killed.
//! Whoever was let in at the door is recorded once, and whatever anybody was told is true.

use crate::harness::{
    Deployment, Load, Scan, ScanAnswer, School, Service, facts, read_all, records, scan, wait_until,
};
use reqwest::StatusCode;
use rollcall_schemas::{
    fact::{AttendanceStatus, Evidence, FactEvent},
    id::{RequestId, UserId},
    outcome::{Outcome, OutcomeResult},
    subject::Stream,
};
use std::collections::{BTreeMap, BTreeSet};

const STUDENTS: usize = 1_500;
/// Phones that are being served at a time.
const CLIENTS: usize = 48;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_is_recorded_whole_though_worker_and_api_die_in_it() {
    let services = [Service::Api, Service::Ingest, Service::AttendanceWorker];
    // Whoever scans while nobody records is sent away with a place to look, and not kept for long.
    let settings = [("ROLLCALL_INGEST__SCAN_DEADLINE_MS", "500")];
    let mut deployment = Deployment::with(&services, &settings).await;
    let school = School::open(&deployment).await;
    let session = school.start_session().await;
    let students = school.students(&deployment, STUDENTS).await;
    let door = deployment.visitor(Service::Ingest);
    let scans = students.iter().map(|student| Scan {
        student: student.clone(),
        door: door.clone(),
        qr_token: session.qr_token.clone(),
        key: "tap".to_owned(),
    });

    let load = Load::new(CLIENTS, scans.collect(), scan);
    load.release(STUDENTS);
    load.until("a third is answered", |counts| counts.answered > STUDENTS / 3).await;
    deployment.kill(Service::AttendanceWorker).await;
    deployment.kill(Service::Api).await;
    load.until("the door stays open", |counts| counts.answered > STUDENTS * 2 / 3).await;
    deployment.restart(Service::AttendanceWorker).await;
    deployment.restart(Service::Api).await;
    let answers = load.finish().await;

    let answered: BTreeSet<UserId> = answers.iter().map(|answer| answer.student.id).collect();
    assert_eq!((answers.len(), answered.len()), (STUDENTS, STUDENTS), "everybody was let in");
    assert!(answers.iter().any(|answer| answer.code.is_none()), "somebody was answered later");
    let outcomes = outcomes(&deployment, &answers).await;
    assert_eq!(
        read_all(&deployment.bus, Stream::Scans).await.len(),
        STUDENTS,
        "each scan is in the log once"
    );
    each_answer_was_true(&deployment, &answers, &outcomes).await;

    let records = records(&deployment, session.id).await;
    let recorded: BTreeSet<UserId> = records.iter().map(|record| record.student_id).collect();
    assert_eq!((records.len(), recorded), (STUDENTS, answered.clone()), "everybody is recorded once");
    for record in &records {
        assert_eq!((record.status, record.evidence), (AttendanceStatus::Present, Evidence::Qr), "{record:?}");
    }
    let mut told = BTreeSet::new();
    for fact in facts(&deployment.bus).await {
        if let FactEvent::AttendanceRecorded { student_id, .. } = fact.event {
            assert!(told.insert(student_id), "{student_id} was told twice");
        }
    }
    assert_eq!(told, answered, "everybody was told of");
    assert_eq!(read_all(&deployment.bus, Stream::Dead).await.len(), 0);
}

/// What came of each scan, once all of them are decided.
async fn outcomes(deployment: &Deployment, answers: &[ScanAnswer]) -> BTreeMap<RequestId, Outcome> {
    let mut outcomes = BTreeMap::new();
    wait_until("every scan is decided", async || {
        outcomes = read_all(&deployment.bus, Stream::Outcomes)
            .await
            .iter()
            .filter_map(|message| serde_json::from_slice::<Outcome>(&message.payload).ok())
            .map(|outcome| (outcome.request_id, outcome))
            .collect();
        answers.iter().all(|answer| outcomes.contains_key(&answer.request_id))
    })
    .await;
    outcomes
}

/// Whoever was answered at once was told what came of it; whoever was not finds it where they were sent.
async fn each_answer_was_true(
    deployment: &Deployment,
    answers: &[ScanAnswer],
    outcomes: &BTreeMap<RequestId, Outcome>,
) {
    let api = deployment.visitor(Service::Api);
    for answer in answers {
        let outcome = &outcomes[&answer.request_id];
        assert!(matches!(outcome.result, OutcomeResult::Succeeded { .. }), "{outcome:?}");
        match &answer.code {
            Some(code) => assert_eq!(code, "OK", "{answer:?}"),
            None => {
                let path = format!("/api/v1/requests/{}", answer.request_id);
                let later = api.with_token(&answer.student.token).get(&path).await;
                assert_eq!((later.status, &later.data()["status"]), (StatusCode::OK, &"succeeded".into()));
            }
        }
    }
}
