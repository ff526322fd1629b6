//! Classes that want more than one kind of evidence, and memberships that begin and end in mid-term.

use crate::harness::{SOON, School, at, face, towards};
use anyhow::Result;
use rollcall_attendance_worker::consumer;
use rollcall_schemas::{
    fact::{
        AttendanceStatus::{self, *},
        Evidence, EvidenceRule, FactEvent,
    },
    id::{EnrolmentId, SessionId, UserId},
    outcome::{Answer, OutcomeResult},
    scan::QrToken,
    subject::Stream,
};
use rollcall_store::{
    classes::{self, ClassSettings},
    configuration::{self, Revision, Scope},
    enrolments,
};
use rollcall_test_support::eventually;
use serde_json::json;

/// A lesson of a class with that rule, of which everybody is known by face.
async fn lesson(school: &School, evidence_rule: EvidenceRule) -> Result<(SessionId, QrToken)> {
    let settings = ClassSettings { evidence_rule, face_within_minutes: 5, ..ClassSettings::default() };
    classes::set_settings(&mut *school.pool.acquire().await?, school.class, settings, at(-3_600)).await?;
    let session = school.lesson().await?;
    for (axis, student) in school.students.iter().enumerate() {
        school.enrol(*student, towards(axis, 1.0)).await?;
    }
    Ok((session, school.token(session, 10).await?))
}

/// Scans, and says whether that made a record.
async fn scan(school: &School, student: UserId, token: QrToken, seconds: i64) -> Result<bool> {
    let scan = school.scan_of(student, token, seconds);
    let outcome = school.ask_scan(&scan).await?;
    match outcome.result {
        OutcomeResult::Succeeded { answer: Answer::Attendance(_) } => Ok(true),
        OutcomeResult::Succeeded { answer: Answer::ScanKept(kept) } => {
            assert_eq!((kept.student_id, kept.scanned_at), (student, at(seconds)));
            Ok(false)
        }
        other => anyhow::bail!("{other:?}"),
    }
}

#[tokio::test]
async fn both_are_needed_in_whatever_order_they_come() -> Result<()> {
    let school = School::open(4).await?;
    let worker = school.work();
    let (session, token) = lesson(&school, EvidenceRule::Both).await?;
    let [anna, bert, carla, dora] = [0, 1, 2, 3].map(|n| school.students[n]);
    assert!(!scan(&school, anna, token, 30).await?);
    school.see(40, vec![face(0, 0.99)]).await?;
    school.see(50, vec![face(1, 0.99)]).await?;
    assert!(scan(&school, bert, token, 60).await?);
    assert!(!scan(&school, carla, token, 70).await?);
    assert_eq!(school.records(session).await?.len(), 2);
    school.end(session, 1_000).await?;
    let absent = (Absent, 1_000, Evidence::None);
    assert_eq!(
        (school.records(session).await?[&carla], school.records(session).await?[&dora]),
        (absent, absent)
    );
    // What is known after the end counts by when it happened.
    school.see(80, vec![face(2, 0.99)]).await?;
    school.see(85, vec![face(3, 0.99)]).await?;
    assert!(scan(&school, dora, token, 75).await?);
    let records = school.records(session).await?;
    assert_eq!(records[&anna], (Present, 40, Evidence::Face));
    assert_eq!(records[&bert], (Present, 60, Evidence::Qr));
    assert_eq!(records[&carla], (Present, 80, Evidence::Face));
    assert_eq!(records[&dora], (Present, 85, Evidence::Face));
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_session_goes_by_what_the_organisation_said_when_it_began() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    let mut db = school.pool.acquire().await?;
    for (revision, rule, from) in [(1, "both", -600), (2, "either", 20)] {
        let revision = Revision {
            revision,
            settings: json!({ "evidenceRule": rule }),
            valid_from: at(from),
            changed_by: school.teacher,
        };
        configuration::add(&mut db, Scope::Organisation, &revision).await?;
    }
    drop(db);
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    let [anna, bert] = [school.students[0], school.students[1]];
    assert!(!scan(&school, anna, token, 30).await?, "both are wanted: the session began before that changed");
    let own = ClassSettings { evidence_rule: EvidenceRule::Either, ..ClassSettings::default() };
    classes::set_settings(&mut *school.pool.acquire().await?, school.class, own, at(-60)).await?;
    assert!(scan(&school, bert, token, 40).await?, "what the class says goes before it");
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_scan_without_a_face_near_it_is_asked_about_at_the_end() -> Result<()> {
    let school = School::open(3).await?;
    let worker = school.work();
    let (session, token) = lesson(&school, EvidenceRule::QrNeedsFace).await?;
    let [anna, bert, carla] = [0, 1, 2].map(|n| school.students[n]);
    for student in [anna, bert, carla] {
        assert!(!scan(&school, student, token, 30).await?);
    }
    school.see(100, vec![face(0, 0.99)]).await?;
    school.see(900, vec![face(1, 0.99)]).await?;
    assert_eq!(school.reviews(session).await?, [], "a face may still be seen");
    school.end(session, 1_000).await?;
    let records = school.records(session).await?;
    assert_eq!(records[&anna], (Present, 30, Evidence::Qr));
    assert_eq!((records[&bert].0, records[&carla].0), (Absent, Absent));
    let asked: Vec<_> = school.reviews(session).await?;
    assert!(asked.iter().all(|review| review.reason == "no_face" && review.sighting_id.is_none()));
    assert_eq!(asked.len(), 2);
    // A frame that comes late answers for one of them.
    school.see(45, vec![face(1, 0.99)]).await?;
    assert_eq!(school.records(session).await?[&bert], (Present, 30, Evidence::Qr));
    let left: Vec<_> = school.reviews(session).await?.iter().map(|review| review.student_id).collect();
    assert_eq!(left, [carla]);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_missing_face_is_asked_about_when_its_minutes_are_over() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    let (session, token) = lesson(&school, EvidenceRule::QrNeedsFace).await?;
    let [anna, bert] = [school.students[0], school.students[1]];
    for student in [anna, bert] {
        assert!(!scan(&school, student, token, 30).await?);
    }
    school.see(330, vec![face(0, 0.99)]).await?;
    // Nobody is there when the five minutes are over: the next worker asks, and so do not two of them twice.
    worker.stop(SOON).await?;
    school.clock.set(at(331));
    let workers = [school.work(), school.work()];
    let asked = eventually("a question", SOON, || async {
        school.reviews(session).await.ok().filter(|open| !open.is_empty())
    })
    .await;
    let asked: Vec<_> = asked.iter().map(|review| (review.student_id, review.reason.as_str())).collect();
    assert_eq!(asked, [(bert, "no_face")]);
    assert_eq!(school.records(session).await?[&anna], (Present, 30, Evidence::Qr), "the last moment counts");
    // A frame that is handled late still answers it, and the end asks nothing twice.
    school.see(45, vec![face(1, 0.99)]).await?;
    assert_eq!(school.records(session).await?[&bert], (Present, 30, Evidence::Qr));
    school.end(session, 1_000).await?;
    assert_eq!(school.reviews(session).await?, []);
    assert_eq!(school.fact_counts().await?["review.opened"], 1);
    for worker in workers {
        worker.stop(SOON).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_scan_handled_after_the_end_is_asked_about_at_once() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let (session, token) = lesson(&school, EvidenceRule::QrNeedsFace).await?;
    school.end(session, 1_000).await?;
    assert!(!scan(&school, school.students[0], token, 30).await?);
    school.settled(Stream::Scans, consumer::SCANS).await;
    let asked = school.reviews(session).await?;
    assert_eq!(asked.iter().map(|review| review.captured_at).collect::<Vec<_>>(), [at(30)]);
    let told = school.facts().await?.into_iter().find_map(|fact| match fact.event {
        FactEvent::ReviewOpened { sighting_id, candidates, .. } => Some((sighting_id, candidates)),
        _ => None,
    });
    assert_eq!(told, Some((None, vec![school.students[0]])));
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_face_without_a_scan_is_proposed() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    let (session, token) = lesson(&school, EvidenceRule::FaceProposes).await?;
    let [anna, bert] = [school.students[0], school.students[1]];
    school.see(30, vec![face(0, 0.99), face(1, 0.99)]).await?;
    assert_eq!(school.rows(session).await?, []);
    let asked = school.reviews(session).await?;
    assert_eq!(asked.len(), 2);
    for review in &asked {
        assert_eq!((review.reason.as_str(), review.camera_id), ("no_scan", Some(school.camera)));
        assert_eq!((review.evidence_sequence, review.candidates.len()), (Some(1), 1));
    }
    assert!(scan(&school, anna, token, 90).await?);
    assert_eq!(school.records(session).await?[&anna], (Present, 30, Evidence::Face));
    school.end(session, 1_000).await?;
    assert_eq!(school.records(session).await?[&bert].0, Absent);
    let left: Vec<_> = school.reviews(session).await?.iter().map(|review| review.student_id).collect();
    assert_eq!(left, [bert]);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_question_is_open_again_when_the_end_takes_its_answer_back() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    let (session, token) = lesson(&school, EvidenceRule::Either).await?;
    let [anna, bert] = [school.students[0], school.students[1]];
    school.see(20, vec![face(0, 0.92)]).await?;
    school.see(300, vec![face(1, 0.92)]).await?;
    for student in [anna, bert] {
        assert!(scan(&school, student, token, 250).await?);
    }
    assert_eq!(school.reviews(session).await?, [], "both are known to be there");
    school.end(session, 200).await?;
    assert!(school.records(session).await?.values().all(|record| record.0 == Absent));
    let open: Vec<_> = school.reviews(session).await?.iter().map(|review| review.student_id).collect();
    assert_eq!(open, [anna], "the other face was seen after the end");
    assert_eq!(school.fact_counts().await?["review.opened"], 3);
    Ok(worker.stop(SOON).await?)
}

/// When somebody was in the class, when they scanned, and what the record of the lesson says.
struct Term {
    name: &'static str,
    spans: &'static [(i64, Option<i64>)],
    scans: Option<i64>,
    says: Option<(AttendanceStatus, i64)>,
}

#[tokio::test]
async fn students_who_come_and_go_in_mid_term() -> Result<()> {
    const LONG_AGO: i64 = -80_000;
    let rows = [
        Term { name: "always", spans: &[(LONG_AGO, None)], scans: Some(30), says: Some((Present, 30)) },
        Term { name: "always, absent", spans: &[(LONG_AGO, None)], scans: None, says: Some((Absent, 1_000)) },
        Term { name: "left before", spans: &[(LONG_AGO, Some(-10))], scans: Some(30), says: None },
        Term { name: "left before the scan", spans: &[(LONG_AGO, Some(30))], scans: Some(30), says: None },
        Term {
            name: "left after it",
            spans: &[(LONG_AGO, Some(31))],
            scans: Some(30),
            says: Some((Present, 30)),
        },
        Term { name: "left, never seen", spans: &[(LONG_AGO, Some(500))], scans: None, says: None },
        Term { name: "left at the end", spans: &[(LONG_AGO, Some(1_000))], scans: None, says: None },
        Term {
            name: "left after the end",
            spans: &[(LONG_AGO, Some(1_001))],
            scans: None,
            says: Some((Absent, 1_000)),
        },
        Term { name: "joined during it", spans: &[(500, None)], scans: None, says: Some((Absent, 1_000)) },
        Term {
            name: "joined, then scanned",
            spans: &[(20, None)],
            scans: Some(30),
            says: Some((Present, 30)),
        },
        Term {
            name: "scanned, then joined",
            spans: &[(40, None)],
            scans: Some(30),
            says: Some((Absent, 1_000)),
        },
        Term { name: "joined afterwards", spans: &[(1_001, None)], scans: Some(30), says: None },
        Term {
            name: "left and came back",
            spans: &[(LONG_AGO, Some(20)), (40, None)],
            scans: Some(50),
            says: Some((Present, 50)),
        },
        Term {
            name: "scanned while away",
            spans: &[(LONG_AGO, Some(20)), (40, None)],
            scans: Some(30),
            says: Some((Absent, 1_000)),
        },
    ];
    let school = School::open(rows.len()).await?;
    let worker = school.work();
    let mut db = school.pool.acquire().await?;
    for (student, row) in school.students.iter().zip(&rows) {
        // Nobody was in the class for longer than a moment, but for these spans.
        enrolments::end(&mut db, *student, Some(school.class), at(LONG_AGO - 1)).await?;
        for (from, to) in row.spans {
            let id: EnrolmentId = school.entropy.uuid_v4().into();
            enrolments::create(&mut db, id, (school.class, *student), at(*from)).await?;
            if let Some(to) = to {
                enrolments::end(&mut db, *student, Some(school.class), at(*to)).await?;
            }
        }
    }
    drop(db);
    let session = school.lesson().await?;
    let token = school.token(session, 10).await?;
    for (student, row) in school.students.iter().zip(&rows) {
        if let Some(seconds) = row.scans {
            let _refused_or_not = school.scan(*student, token, seconds).await?;
        }
    }
    school.end(session, 1_000).await?;
    let records = school.records(session).await?;
    for (student, row) in school.students.iter().zip(&rows) {
        let says = records.get(student).map(|(status, seconds, _)| (*status, *seconds));
        assert_eq!(says, row.says, "{}", row.name);
    }
    Ok(worker.stop(SOON).await?)
}
