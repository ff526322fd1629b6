use super::{
    super::word::{BadWord, Members, OutsideSession, accept, read_words},
    *,
};
use AttendanceStatus::{Absent, Excused, Late, Present};
use rollcall_schemas::{
    id::{CameraId, ReviewId},
    request::{StudentRef, Word},
};
use rollcall_store::reviews::{Look, Review, Subject};

fn members() -> Box<Members> {
    Box::new([(user(1), Some("R-1".into())), (user(2), None)])
}

fn word(status: AttendanceStatus) -> Word {
    Word { student: StudentRef::Id(user(1)), status, marked_at: None, reason: None }
}

fn read(words: &[Word], session: &Session, when: i64) -> Result<Vec<(UserId, Mark)>, Vec<BadWord>> {
    read_words(words, &members(), (session, &settings()), at(when))
}

#[test]
fn a_word_counts_from_when_it_says_or_from_where_it_can_be_taken_to() {
    let ended = Session { ended_at: Some(at(1_800)), state: SessionState::Completed, ..session() };
    let planned = Session { started_at: None, state: SessionState::Scheduled, ..session() };
    let said = |status, seconds: i64| Word { marked_at: Some(at(seconds)), ..word(status) };
    let excuse = || Word { reason: Some("ill".into()), ..word(Excused) };
    let rows = [
        ("present, said during the session", word(Present), session(), 900, 900),
        ("present, said afterwards", word(Present), ended, 9_000, 0),
        ("late, said afterwards: from the end of grace", word(Late), ended, 9_000, 600),
        ("late, at a time", said(Late, 1_200), ended, 9_000, 1_200),
        ("present, at the last moment", said(Present, 1_799), ended, 9_000, 1_799),
        ("absent, while it is open: from then on", word(Absent), session(), 900, 900),
        ("absent, afterwards: from its end", word(Absent), ended, 9_000, 1_800),
        ("excused", excuse(), ended, 9_000, 1_800),
        ("excused ahead", excuse(), planned, -9_000, 3_600),
    ];
    for (name, word, session, when, from) in rows {
        let (status, marks) = (word.status, read(&[word], &session, when));
        assert_eq!(marks, Ok(vec![(user(1), mark(status, at(from), Kind::Manual))]), "{name}");
    }
}

#[test]
fn a_word_that_breaks_a_rule_names_its_field() {
    let ended = Session { ended_at: Some(at(1_800)), state: SessionState::Completed, ..session() };
    let planned = Session { started_at: None, state: SessionState::Scheduled, ..session() };
    let named = |student| Word { student, ..word(Present) };
    let said = |status, seconds: i64| Word { marked_at: Some(at(seconds)), ..word(status) };
    let rows = [
        ("a stranger", named(StudentRef::Id(user(9))), ended, "studentId"),
        ("no such roll number", named(StudentRef::RollNumber("R-9".into())), ended, "rollNumber"),
        ("before it began", said(Present, -1), ended, "markedAt"),
        ("at its end", said(Late, 1_800), ended, "markedAt"),
        ("an absence has no time", said(Absent, 10), ended, "markedAt"),
        ("an excuse without a reason", word(Excused), ended, "reason"),
        ("an excuse with an empty one", Word { reason: Some(" ".into()), ..word(Excused) }, ended, "reason"),
        ("present ahead", word(Present), planned, "status"),
        ("absent ahead", word(Absent), planned, "status"),
    ];
    for (name, word, session, field) in rows {
        let fields = read(&[word], &session, 9_000).map_err(|bad| bad[0].field);
        assert_eq!(fields, Err(field), "{name}");
    }
    let ahead = read(&[said(Present, 901)], &session(), 900).map_err(|bad| bad[0].field);
    assert_eq!(ahead, Err("markedAt"), "what has not happened yet");
}

#[test]
fn every_bad_line_is_reported_and_one_is_enough() {
    let by_roll = Word { student: StudentRef::RollNumber("R-1".into()), ..word(Late) };
    let other = Word { student: StudentRef::Id(user(2)), ..word(Present) };
    let stranger = Word { student: StudentRef::Id(user(9)), ..word(Present) };
    let bad = read(&[word(Present), by_roll.clone(), other.clone(), stranger], &session(), 900).unwrap_err();
    let places: Vec<_> = bad.iter().map(|bad| (bad.place, bad.field)).collect();
    assert_eq!(places, [(1, "rollNumber"), (3, "studentId")], "named twice, and a stranger");
    let students: Vec<_> =
        read(&[by_roll, other], &session(), 900).unwrap().iter().map(|(student, _)| *student).collect();
    assert_eq!(students, [user(1), user(2)]);
}

fn review(seconds: i64, subject: Subject) -> Review {
    Review {
        id: ReviewId(Uuid::from_u128(5)),
        session_id: session().id,
        subject,
        student_id: user(1),
        candidates: vec![Candidate { user_id: user(1), similarity: 0.92 }],
        reason: "uncertain".into(),
        captured_at: at(seconds),
        opened_at: at(seconds),
        resolution: None,
    }
}

fn a_face() -> Subject {
    Subject::Face(Look {
        camera_id: Some(CameraId(Uuid::from_u128(6))),
        sighting_id: SightingId(Uuid::from_u128(7)),
        face_index: Some(0),
        evidence_sequence: Some(8),
    })
}

#[test]
fn an_accepted_review_makes_the_record_of_its_moment() {
    let accepted = |review: &Review, student, existing: Option<&Mark>| {
        accept(review, student, existing, (&session(), &settings()))
    };
    let by_face = accepted(&review(30, a_face()), user(1), None).unwrap().unwrap();
    assert_eq!((by_face.status, by_face.marked_at, by_face.evidence), (Present, at(30), Kind::Manual));
    assert_eq!((by_face.sighting_id.is_some(), by_face.similarity), (true, Some(0.92)));
    let of_another = accepted(&review(700, a_face()), user(2), None).unwrap().unwrap();
    assert_eq!((of_another.status, of_another.similarity), (Late, None), "it was not compared with them");
    let by_scan = accepted(&review(30, Subject::Scan(scan_id(3))), user(1), None).unwrap().unwrap();
    assert_eq!(by_scan.scan, Some(ScanMark { scanned_at: at(30), scan_id: scan_id(3) }));

    let in_doubt = Review { reason: "too_far".into(), ..review(30, Subject::Scan(scan_id(3))) };
    let by_doubt = accepted(&in_doubt, user(1), None).unwrap().unwrap();
    assert_eq!((by_doubt.marked_at, by_doubt.scan), (at(30), None), "it is no evidence without the word");

    let absent = mark(Absent, at(3_600), Kind::None);
    assert!(accepted(&review(30, a_face()), user(1), Some(&absent)).unwrap().is_some());
    let there = scanned(Present, 1, at(20));
    assert_eq!(accepted(&review(30, a_face()), user(1), Some(&there)), Ok(None), "the record is earlier");
    let later = scanned(Late, 1, at(700));
    let moved = accepted(&review(30, a_face()), user(1), Some(&later)).unwrap().unwrap();
    assert_eq!((moved.marked_at, moved.scan), (at(30), later.scan), "what was scanned stays");
    assert_eq!(accepted(&review(3_600, a_face()), user(1), None), Err(OutsideSession));
}
