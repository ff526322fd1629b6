//! The table of `docs/ATTENDANCE.md`, row by row, and what the end of a session does to records.

use super::{
    super::{
        fusion::{self, Decision, Gathered, decide, settle},
        protection::ScanDoubt,
        question::Question,
    },
    *,
};
use rollcall_schemas::fact::EvidenceRule::{self, *};

fn by(evidence_rule: EvidenceRule) -> ClassSettings {
    ClassSettings { evidence_rule, face_within_minutes: 10, ..settings() }
}

fn gathered(scan: Option<i64>, face: Option<i64>) -> Gathered {
    let scan = scan.map(|seconds| ScanMark { scanned_at: at(seconds), scan_id: scan_id(1) });
    let vote = face.map(|seconds| vote(2, at(seconds), true));
    Gathered { scans: scan.into_iter().collect(), votes: vote.into_iter().collect(), ..Gathered::default() }
}

/// What a rule makes of evidence: a record from some second on, by some kind, or a question, or nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Makes {
    Record(i64, Kind),
    Question(&'static str),
    Nothing,
}

fn made(gathered: &Gathered, settings: &ClassSettings) -> Makes {
    let Decision { mark, question } = decide(gathered, settings, &session());
    match (mark, question) {
        (Some(mark), None) => Makes::Record((mark.marked_at - at(0)).num_seconds(), mark.evidence),
        (None, Some(question)) => Makes::Question(question.as_str()),
        (None, None) => Makes::Nothing,
        both => panic!("{both:?}"),
    }
}

#[test]
fn the_table_of_the_rules() {
    use Makes::{Nothing, Question as Q, Record};
    let (qr, face) = (|seconds| Record(seconds, Kind::Qr), |seconds| Record(seconds, Kind::Face));
    let rules = [Either, Both, QrNeedsFace, FaceProposes];
    let rows = [
        ("nothing", (None, None), [Nothing, Nothing, Nothing, Nothing]),
        ("a scan", (Some(30), None), [qr(30), Nothing, Q("no_face"), qr(30)]),
        ("a face", (None, Some(30)), [face(30), Nothing, Nothing, Q("no_scan")]),
        ("a scan, then a face near it", (Some(30), Some(90)), [qr(30), face(90), qr(30), qr(30)]),
        ("a face, then a scan near it", (Some(90), Some(30)), [face(30), qr(90), qr(90), face(30)]),
        ("a scan, then a face far from it", (Some(30), Some(900)), [qr(30), face(900), Q("no_face"), qr(30)]),
        (
            "a face, then a scan far from it",
            (Some(900), Some(30)),
            [face(30), qr(900), Q("no_face"), face(30)],
        ),
        ("a scan after the end", (Some(3_600), None), [Nothing, Nothing, Nothing, Nothing]),
        ("a face before the beginning", (None, Some(-1)), [Nothing, Nothing, Nothing, Nothing]),
        ("a scan and a face after the end", (Some(30), Some(3_600)), [qr(30), Nothing, Q("no_face"), qr(30)]),
        (
            "a face and a scan after the end",
            (Some(3_600), Some(30)),
            [face(30), Nothing, Nothing, Q("no_scan")],
        ),
    ];
    for (name, (scan, face), makes) in rows {
        for (rule, makes) in rules.into_iter().zip(makes) {
            assert_eq!(made(&gathered(scan, face), &by(rule)), makes, "{name}, {rule}");
        }
    }
}

#[test]
fn a_scan_in_doubt_is_asked_about_where_nothing_else_is_to_be_said() {
    use Makes::{Question as Q, Record};
    let rules = [Either, Both, QrNeedsFace, FaceProposes];
    let asked = Q("too_far");
    let rows = [
        ("alone", (None, None), [asked, asked, asked, asked]),
        ("a good scan", (Some(30), None), [Record(30, Kind::Qr), asked, Q("no_face"), Record(30, Kind::Qr)]),
        ("a face", (None, Some(30)), [Record(30, Kind::Face), asked, asked, Q("no_scan")]),
    ];
    for (name, (scan, face), makes) in rows {
        for (rule, makes) in rules.into_iter().zip(makes) {
            let doubted = [20, 10, 3_600].map(|seconds| {
                (ScanMark { scanned_at: at(seconds), scan_id: scan_id(7) }, ScanDoubt::TooFar)
            });
            let gathered = Gathered { doubted: doubted.into(), ..gathered(scan, face) };
            assert_eq!(made(&gathered, &by(rule)), makes, "{name}, {rule}");
            let question = decide(&gathered, &by(rule), &session()).question;
            let is_earliest = |question: Question| question.as_str() != "too_far" || question.at() == at(10);
            assert!(question.is_none_or(is_earliest), "{name}, {rule}");
        }
    }
}

#[test]
fn a_face_that_a_person_has_refused_counts_for_nothing() {
    use Makes::{Nothing, Record};
    let refused = |scan, face| Gathered { face_is_refused: true, ..gathered(scan, face) };
    assert_eq!(made(&refused(None, Some(30)), &by(FaceProposes)), Nothing, "and is not asked about");
    assert_eq!(made(&refused(Some(2_400), Some(30)), &by(FaceProposes)), Record(2_400, Kind::Qr));
}

#[test]
fn late_is_counted_from_the_planned_beginning_or_the_real_one_where_that_is_later() {
    let opened = |seconds| Session { started_at: Some(at(seconds)), ..session() };
    let status = |session: &Session, scanned| {
        decide(&gathered(Some(scanned), None), &settings(), session).mark.map(|mark| mark.status)
    };
    use AttendanceStatus::{Late, Present};
    let early = opened(-900);
    assert_eq!(status(&early, -800), Some(Present), "nobody is late before the bell");
    assert_eq!(status(&early, 600), Some(Present));
    assert_eq!(status(&early, 601), Some(Late));
    let late = opened(300);
    assert_eq!(status(&late, 900), Some(Present));
    assert_eq!(status(&late, 901), Some(Late));
}

#[test]
fn a_record_by_both_names_both() {
    for (scan, face) in [(30, 90), (90, 30)] {
        let mark = decide(&gathered(Some(scan), Some(face)), &by(Both), &session()).mark.unwrap();
        assert_eq!(mark.scan.map(|scan| scan.scanned_at), Some(at(scan)));
        assert_eq!((mark.sighting_id.is_some(), mark.similarity), (true, Some(0.96)));
    }
}

#[test]
fn near_is_measured_exactly() {
    let micros = TimeDelta::microseconds;
    let rows = [
        ("at once", 1, micros(0), true),
        ("the last moment", 1, minutes(1), true),
        ("a microsecond later", 1, minutes(1) + micros(1), false),
        ("the first moment", 1, -minutes(1), true),
        ("a microsecond before it", 1, -minutes(1) - micros(1), false),
        ("after so many minutes", 5, minutes(5), true),
        ("a second too late", 5, minutes(5) + TimeDelta::seconds(1), false),
    ];
    // Wherever the clock stands.
    for scanned in [1_800, 1_819, 1_820, 1_839, 1_840] {
        for (name, within, after, is_near) in rows {
            let seen = vec![vote(2, at(scanned) + after, true)];
            let gathered = Gathered { votes: seen, ..gathered(Some(scanned), None) };
            let rule = ClassSettings { face_within_minutes: within, ..by(QrNeedsFace) };
            let made = made(&gathered, &rule);
            assert_eq!(made == Makes::Record(scanned, Kind::Qr), is_near, "{name}, {scanned}: {made:?}");
        }
    }
}

#[test]
fn the_earliest_scan_that_a_face_confirms_counts() {
    let scans = [30, 1_800, 2_400]
        .map(|seconds| ScanMark { scanned_at: at(seconds), scan_id: scan_id(seconds.unsigned_abs().into()) });
    let votes = vec![vote(1, at(2_000), true)];
    let gathered = Gathered { scans: scans.into(), votes, ..Gathered::default() };
    assert_eq!(made(&gathered, &by(QrNeedsFace)), Makes::Record(1_800, Kind::Qr));
}

#[test]
fn votes_near_a_scan_must_be_enough_by_themselves() {
    let careful = ClassSettings { certain_is_enough: false, votes_wanted: 2, ..by(QrNeedsFace) };
    let scans = gathered(Some(1_800), None).scans;
    let seen = |seconds: [i64; 2]| Gathered {
        scans: scans.clone(),
        votes: seconds.map(|seconds| vote(seconds.unsigned_abs().into(), at(seconds), false)).into(),
        ..Gathered::default()
    };
    assert_eq!(made(&seen([30, 1_800]), &careful), Makes::Question("no_face"));
    assert_eq!(made(&seen([1_700, 1_800]), &careful), Makes::Record(1_800, Kind::Qr));
}

#[test]
fn a_missing_face_is_asked_about_when_it_is_too_late_and_a_missing_scan_at_once() {
    let ended = Session { state: SessionState::Completed, ended_at: Some(at(100)), ..session() };
    let asked = |rule, (scan, face), session, now| {
        let (settings, now) = (by(rule), at(0) + TimeDelta::milliseconds(now));
        let question = settle(None, &gathered(scan, face), &settings, &session).question;
        question.filter(|question| question.is_due((&session, &settings), now)).map(Question::as_str)
    };
    let (scan, face) = ((Some(30), None), (None, Some(30)));
    let cases = [
        ("at the door", QrNeedsFace, scan, session(), 30_000, None),
        ("a millisecond before ten minutes are over", QrNeedsFace, scan, session(), 629_999, None),
        ("when they are over", QrNeedsFace, scan, session(), 630_000, Some("no_face")),
        ("at the end of the session", QrNeedsFace, scan, ended, 100_000, Some("no_face")),
        ("a face without a scan", FaceProposes, face, session(), 30_000, Some("no_scan")),
    ];
    for (name, rule, seen, session, now, expected) in cases {
        assert_eq!(asked(rule, seen, session, now), expected, "{name}");
    }
}

#[test]
fn what_a_person_said_is_neither_changed_nor_asked_about() {
    let ended = Session { state: SessionState::Completed, ended_at: Some(at(100)), ..session() };
    for status in AttendanceStatus::ALL.iter().copied() {
        let word = mark(status, at(50), Kind::Manual);
        for rule in EvidenceRule::ALL.iter().copied() {
            let settled = settle(Some(&word), &gathered(Some(10), None), &by(rule), &ended);
            assert_eq!((settled.change, settled.question), (None, None), "{status} by {rule}");
        }
    }
}

#[test]
fn a_word_taken_back_leaves_an_absence_to_those_who_were_in_the_class_at_the_end() {
    let ended = Session { state: SessionState::Completed, ended_at: Some(at(100)), ..session() };
    let word = mark(AttendanceStatus::Excused, at(50), Kind::Manual);
    let unsaid =
        |ended_with, scan| fusion::unsaid((&word, ended_with), &gathered(scan, None), &settings(), &ended).0;
    assert_eq!(unsaid(Some(at(100)), None), Some(mark(AttendanceStatus::Absent, at(100), Kind::None)));
    assert_eq!(unsaid(None, None), None, "whoever had left the class by then");
    assert_eq!(unsaid(None, Some(30)), Some(scanned(AttendanceStatus::Present, 1, at(30))));
}

#[test]
fn the_end_takes_back_what_rests_on_evidence_from_after_it() {
    let ended = Session { state: SessionState::Completed, ended_at: Some(at(100)), ..session() };
    let absent = mark(AttendanceStatus::Absent, at(100), Kind::None);
    let qr = |seconds| scanned(AttendanceStatus::Present, 1, at(seconds));
    let at_end = |existing: &Mark, votes: &[Vote], settings: &ClassSettings| {
        let gathered = Gathered {
            scans: existing.scan.into_iter().collect(),
            votes: votes.to_vec(),
            ..Gathered::default()
        };
        settle(Some(existing), &gathered, settings, &ended).change
    };
    assert_eq!(at_end(&qr(99), &[], &settings()), None);
    let taken_back = Mark { scan: qr(100).scan, ..absent };
    assert_eq!(at_end(&qr(100), &[], &settings()), Some(taken_back), "the scan stays with the record");
    // Recorded by three votes of which the last turns out to have come too late.
    let votes = [vote(1, at(90), false), vote(2, at(95), false), vote(3, at(101), false)];
    let by_face = Mark {
        sighting_id: Some(votes[0].sighting_id),
        similarity: Some(votes[0].similarity),
        ..mark(AttendanceStatus::Present, at(90), Kind::Face)
    };
    assert_eq!(at_end(&by_face, &votes, &settings()), Some(absent));
    let two_wanted = ClassSettings { votes_wanted: 2, ..settings() };
    assert_eq!(at_end(&by_face, &votes, &two_wanted), None);
    // What is left of it is the scan that came later than the face.
    let with_scan = Mark { scan: qr(95).scan, ..by_face };
    assert_eq!(at_end(&with_scan, &votes, &settings()), Some(qr(95)));
    // Who was absent is absent from the new end on.
    let absent_later = mark(AttendanceStatus::Absent, at(200), Kind::None);
    assert_eq!(at_end(&absent_later, &[], &settings()), Some(absent));
}
