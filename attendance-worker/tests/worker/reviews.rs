//! Questions that a person answers, and words that are taken back.

use crate::harness::{SOON, School, at, face, towards, verdict};
use anyhow::{Context, Result};
use rollcall_schemas::{
    code::Code,
    fact::{
        AttendanceStatus::{self, *},
        Evidence, EvidenceRule, FactEvent, Resolution,
    },
    id::{ReviewId, SessionId, UserId},
    outcome::Answer,
    request::{AttendanceCommand, SessionCommand, StudentRef, Verdict, Word},
    scan::{OnDoubt, Position, QrToken, Scan},
};
use rollcall_store::{
    classes::{self, ClassSettings},
    enrolments,
    protections::{self, Protections, RoomPosition},
};

/// A lesson of a class that asks about scans from far away, and the code that it shows.
async fn lesson(school: &School) -> Result<(SessionId, QrToken)> {
    let room = Some(RoomPosition { latitude: 48.2082, longitude: 16.3738, radius_m: 30 });
    let rules = Protections { room, too_far: OnDoubt::Review, ..Protections::default() };
    protections::set(&mut *school.pool.acquire().await?, school.class, &rules, at(-3_600)).await?;
    let session = school.lesson().await?;
    for (axis, student) in school.students.iter().enumerate() {
        school.enrol(*student, towards(axis, 1.0)).await?;
    }
    Ok((session, school.token(session, 10).await?))
}

async fn scan_from_afar(school: &School, student: UserId, token: QrToken, seconds: i64) -> Result<()> {
    let far = Position { latitude: 48.3, longitude: 16.3738, accuracy_m: None };
    school.ask_scan(&Scan { position: Some(far), ..school.scan_of(student, token, seconds) }).await?;
    Ok(())
}

/// The one question that is open, with its reason.
async fn open(school: &School, session: SessionId) -> Result<Option<(ReviewId, String)>> {
    Ok(school.reviews(session).await?.into_iter().next().map(|review| (review.id, review.reason)))
}

async fn reject(school: &School, seconds: i64, review_id: ReviewId) -> Result<()> {
    let reject = AttendanceCommand::Resolve { review_id, verdict: Verdict::Reject, reason: None };
    school.say(seconds, reject).await?;
    Ok(())
}

#[tokio::test]
async fn what_was_rejected_is_asked_again_by_evidence_of_another_kind_only() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let (session, token) = lesson(&school).await?;
    let anna = school.students[0];
    scan_from_afar(&school, anna, token, 20).await?;
    let (id, reason) = open(&school, session).await?.context("it is asked about")?;
    assert_eq!(reason, "too_far");
    reject(&school, 30, id).await?;
    let far = Position { latitude: 48.3, longitude: 16.3738, accuracy_m: None };
    let again = Scan { position: Some(far), ..school.scan_of(anna, token, 40) };
    let refused = verdict(&school.ask_scan(&again).await?)?;
    assert_eq!(refused, Err(Code::TooFarFromRoom), "nobody is asked, so nobody is promised an answer");
    assert_eq!(open(&school, session).await?, None, "another scan from afar is no news");
    school.see(50, vec![face(0, 0.92)]).await?;
    assert_eq!(open(&school, session).await?, Some((id, "uncertain".to_owned())));
    reject(&school, 60, id).await?;
    school.see(70, vec![face(0, 0.92)]).await?;
    scan_from_afar(&school, anna, token, 80).await?;
    assert_eq!(open(&school, session).await?, None);
    assert_eq!(school.rows(session).await?, []);

    let answers: Vec<_> = school
        .facts()
        .await?
        .into_iter()
        .filter_map(|fact| match fact.event {
            FactEvent::ReviewResolved { review_id, student_id, resolution, resolved_by, .. } => {
                Some((fact.at, review_id, student_id, resolution, resolved_by))
            }
            _ => None,
        })
        .collect();
    let answer = |seconds| (at(seconds), id, anna, Resolution::Rejected, school.teacher);
    assert_eq!(answers, [answer(30), answer(60)]);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_scan_in_doubt_is_asked_about_when_what_stood_before_it_is_gone() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    let (session, token) = lesson(&school).await?;
    let [anna, bert] = [school.students[0], school.students[1]];
    // Of anna, a question is open already; bert is recorded by his face.
    school.see(20, vec![face(0, 0.92)]).await?;
    school.see(300, vec![face(1, 0.99)]).await?;
    for student in [anna, bert] {
        scan_from_afar(&school, student, token, 40).await?;
    }
    let (id, reason) = open(&school, session).await?.context("anna is asked about")?;
    assert_eq!((school.reviews(session).await?.len(), reason.as_str()), (1, "uncertain"));
    reject(&school, 60, id).await?;
    assert_eq!(open(&school, session).await?, Some((id, "too_far".to_owned())));
    // The lesson turns out to have ended before bert's face was seen.
    school.end(session, 200).await?;
    let asked: Vec<_> =
        school.reviews(session).await?.into_iter().map(|it| (it.student_id, it.reason)).collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked.iter().all(|(_, reason)| reason == "too_far"), "{asked:?}");
    assert!(school.records(session).await?.values().all(|record| record.0 == Absent));
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn an_answer_names_whose_face_it_is_instead() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    let (session, _) = lesson(&school).await?;
    school.see(20, vec![face(0, 0.92)]).await?;
    let (review_id, _) = open(&school, session).await?.context("it is asked about")?;
    let verdict = Verdict::Reassign { student_id: school.students[1] };
    school.say(30, AttendanceCommand::Resolve { review_id, verdict, reason: None }).await?;
    let told = school.facts().await?.into_iter().find_map(|fact| match fact.event {
        FactEvent::ReviewResolved { student_id, resolution, reassigned_to, .. } => {
            Some((fact.scope.session_id, student_id, resolution, reassigned_to))
        }
        _ => None,
    });
    let [anna, bert] = [school.students[0], school.students[1]];
    assert_eq!(told, Some((Some(session), anna, Resolution::Reassigned, Some(bert))));
    Ok(worker.stop(SOON).await?)
}

async fn say(
    school: &School,
    session_id: SessionId,
    student: UserId,
    status: AttendanceStatus,
) -> Result<()> {
    let word = Word {
        student: StudentRef::Id(student),
        status,
        marked_at: None,
        reason: Some("seen on the stairs".into()),
    };
    school.say(100, AttendanceCommand::Mark { session_id, words: vec![word] }).await?;
    Ok(())
}

#[tokio::test]
async fn a_word_that_is_taken_back_leaves_what_was_seen_or_nothing_until_the_end() -> Result<()> {
    let school = School::open(3).await?;
    let worker = school.work();
    let (session, token) = lesson(&school).await?;
    let [anna, bert, carla] = [0, 1, 2].map(|n| school.students[n]);
    school.scan(anna, token, 30).await?.ok().context("it counts")?;
    school.see(40, vec![face(2, 0.92)]).await?;
    for student in [anna, bert, carla] {
        say(&school, session, student, Excused).await?;
    }
    assert_eq!(open(&school, session).await?, None, "a person has spoken");
    for student_id in [anna, bert, carla] {
        let withdraw = AttendanceCommand::Withdraw { session_id: session, student_id, reason: None };
        let Answer::Marks(marks) = school.say(200, withdraw).await? else { anyhow::bail!("marks") };
        assert_eq!(marks.records.len(), usize::from(student_id == anna), "what is left of it");
    }
    let records = school.records(session).await?;
    assert_eq!(records.into_iter().collect::<Vec<_>>(), [(anna, (Present, 30, Evidence::Qr))]);
    assert_eq!(open(&school, session).await?.map(|(_, reason)| reason), Some("uncertain".to_owned()));
    assert_eq!(school.fact_counts().await?["attendance.withdrawn"], 2);
    // It makes room for what comes, and for the end.
    school.scan(bert, token, 250).await?.ok().context("it counts")?;
    school.end(session, 1_000).await?;
    let records = school.records(session).await?;
    assert_eq!(records[&bert], (Present, 250, Evidence::Qr));
    assert_eq!(records[&carla], (Absent, 1_000, Evidence::None));
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_face_that_was_refused_makes_no_record_when_the_student_comes() -> Result<()> {
    let school = School::open(2).await?;
    let rule = ClassSettings {
        evidence_rule: EvidenceRule::FaceProposes,
        late_after_seconds: 60,
        ..ClassSettings::default()
    };
    classes::set_settings(&mut *school.pool.acquire().await?, school.class, rule, at(-3_600)).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    let [anna, bert] = [school.students[0], school.students[1]];
    school.enrol(anna, towards(0, 1.0)).await?;
    school.see(20, vec![face(0, 0.99)]).await?;
    let (review_id, reason) = open(&school, session).await?.context("it is asked about")?;
    assert_eq!(reason, "no_scan");
    let verdict = Verdict::Reassign { student_id: bert };
    school.say(30, AttendanceCommand::Resolve { review_id, verdict, reason: None }).await?;
    // Bert goes on being taken for anna.
    school.see(100, vec![face(0, 0.99)]).await?;
    assert_eq!(open(&school, session).await?, None);
    let token = school.token(session, 200).await?;
    school.scan(anna, token, 200).await?.ok().context("it counts")?;
    assert_eq!(school.records(session).await?[&anna], (Late, 200, Evidence::Qr));
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_word_about_somebody_who_has_left_leaves_no_absence_when_it_is_taken_back() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let (session, _) = lesson(&school).await?;
    let anna = school.students[0];
    say(&school, session, anna, Excused).await?;
    let mut connection = school.pool.acquire().await?;
    enrolments::end(&mut connection, anna, Some(school.class), at(200)).await?;
    school.end(session, 300).await?;
    assert_eq!(school.records(session).await?[&anna].0, Excused);
    school
        .say(400, AttendanceCommand::Withdraw { session_id: session, student_id: anna, reason: None })
        .await?;
    assert_eq!(school.rows(session).await?, []);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_session_that_nobody_opened_is_held_by_being_marked() -> Result<()> {
    let school = School::open(3).await?;
    let worker = school.work();
    let [anna, bert, carla] = [0, 1, 2].map(|n| school.students[n]);
    let session_id = school.plan().await?;
    let word = |student, status| Word {
        student: StudentRef::Id(student),
        status,
        marked_at: None,
        reason: Some("the list on paper".into()),
    };
    let mark = |words| AttendanceCommand::Mark { session_id, words };
    assert!(school.say(1_800, mark(vec![word(anna, Present)])).await.is_err(), "it may still be opened");
    // An excuse says nothing of whether it took place.
    school.say(3_600, mark(vec![word(carla, Excused)])).await?;
    school.say(4_000, mark(vec![word(anna, Present), word(bert, Late)])).await?;
    let records = school.records(session_id).await?;
    assert_eq!(records[&anna], (Present, 0, Evidence::Manual));
    assert_eq!(records[&bert], (Late, 600, Evidence::Manual));
    assert_eq!(records[&carla].0, Excused);
    let counts = school.fact_counts().await?;
    assert_eq!((counts["session.started"], counts["session.ended"]), (1, 1));
    // From then on it is a session like others.
    let reopen = SessionCommand::Reopen { session_id, ends_at: Some(at(5_000)), reason: "again".into() };
    school.command(4_100, reopen).await?;
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_cancelled_session_takes_no_word() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let session_id = school.plan().await?;
    school.command(-300, SessionCommand::Cancel { session_id }).await?;
    let refused = say(&school, session_id, school.students[0], Excused).await.expect_err("it is cancelled");
    assert!(format!("{refused}").contains("Conflict"), "{refused}");
    Ok(worker.stop(SOON).await?)
}
