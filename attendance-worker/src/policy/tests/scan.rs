use super::{
    super::{fusion::Gathered, scan::ScanDecision},
    *,
};
use proptest::prelude::*;
use rollcall_schemas::code::Code;

/// Where nothing else was gathered.
fn decide_scan(
    id: ScanId,
    when: DateTime<Utc>,
    context: Option<&ScanContext>,
    existing: Option<&Mark>,
) -> ScanDecision {
    super::super::scan::decide_scan(id, when, context, (existing, &Gathered::default()))
}

#[test]
fn a_scan_is_refused_for_the_first_reason_that_holds() {
    let ended = Session { ended_at: Some(at(60)), state: SessionState::Completed, ..session() };
    let marked = scanned(AttendanceStatus::Present, 7, at(5));
    let outsider = ScanContext { enrolled: false, ..context() };
    let cases = [
        ("never shown", None, at(10), None, Code::QrTokenInvalid),
        (
            "expired goes before everything else that is wrong",
            Some(ScanContext { expires_at: at(10), session: ended, enrolled: false, ..context() }),
            at(100),
            Some(marked),
            Code::QrTokenExpired,
        ),
        (
            "the last microsecond of a code is over at its end",
            Some(ScanContext { expires_at: at(10), ..context() }),
            at(10),
            None,
            Code::QrTokenExpired,
        ),
        (
            "received at the end",
            Some(ScanContext { session: ended, ..outsider }),
            at(60),
            None,
            Code::SessionNotActive,
        ),
        (
            "nobody has closed it yet, but its time is over",
            Some(context()),
            at(3_600),
            None,
            Code::SessionNotActive,
        ),
        (
            "not begun",
            Some(ScanContext {
                session: Session { started_at: None, state: SessionState::Pending, ..session() },
                ..context()
            }),
            at(10),
            None,
            Code::SessionNotActive,
        ),
        ("a stranger to the class", Some(outsider), at(10), Some(marked), Code::NotEnrolled),
        ("marked by a scan", Some(context()), at(10), Some(marked), Code::AlreadyMarkedAttendance),
    ];
    for (name, context, when, existing, code) in cases {
        let decision = decide_scan(scan_id(1), when, context.as_ref(), existing.as_ref());
        assert_eq!(decision.refusal, Some(code), "{name}");
        assert_eq!(decision.change, None, "{name}");
    }
}

#[test]
fn a_scan_of_somebody_of_whom_a_person_has_spoken_is_refused_and_kept() {
    for word in [
        mark(AttendanceStatus::Excused, at(0), Kind::Manual),
        mark(AttendanceStatus::Absent, at(0), Kind::Manual),
        mark(AttendanceStatus::Present, at(900), Kind::Manual),
    ] {
        let decision = decide_scan(scan_id(1), at(10), Some(&context()), Some(&word));
        assert_eq!(decision.refusal, Some(Code::AlreadyMarkedAttendance));
        let scan = Some(ScanMark { scanned_at: at(10), scan_id: scan_id(1) });
        assert_eq!(decision.change, Some(Mark { scan, ..word }), "for when the word is taken back");
    }
}

#[test]
fn a_scan_in_the_session_is_recorded_when_it_happened() {
    let cases = [
        (at(0), AttendanceStatus::Present),
        (at(600), AttendanceStatus::Present),
        (at(600) + TimeDelta::microseconds(1), AttendanceStatus::Late),
        (at(3_599), AttendanceStatus::Late),
    ];
    for (when, status) in cases {
        let decision = decide_scan(scan_id(9), when, Some(&context()), None);
        assert_eq!(decision.refusal, None);
        assert_eq!(decision.change, Some(scanned(status, 9, when)));
    }
}

#[test]
fn a_scan_handled_after_the_end_counts_when_it_was_before() {
    let ended = Session { ended_at: Some(at(1_000)), state: SessionState::Completed, ..session() };
    let absent = mark(AttendanceStatus::Absent, at(1_000), Kind::None);
    let context = ScanContext { session: ended, ..context() };
    let decision = decide_scan(scan_id(1), at(999), Some(&context), Some(&absent));
    assert_eq!(decision.refusal, None);
    assert_eq!(decision.change.map(|mark| mark.status), Some(AttendanceStatus::Late));
}

#[test]
fn an_earlier_scan_of_somebody_marked_is_refused_and_still_moves_the_record() {
    let seen = mark(AttendanceStatus::Late, at(700), Kind::Face);
    let decision = decide_scan(scan_id(1), at(500), Some(&context()), Some(&seen));
    assert_eq!(decision.refusal, Some(Code::AlreadyMarkedAttendance));
    let moved = decision.change.unwrap();
    assert_eq!(
        (moved.status, moved.marked_at, moved.evidence),
        (AttendanceStatus::Present, at(500), Kind::Qr)
    );
}

#[test]
fn a_later_scan_of_somebody_seen_is_refused_and_kept() {
    let seen = mark(AttendanceStatus::Present, at(5), Kind::Face);
    let decision = decide_scan(scan_id(1), at(500), Some(&context()), Some(&seen));
    assert_eq!(decision.refusal, Some(Code::AlreadyMarkedAttendance));
    let scan = ScanMark { scanned_at: at(500), scan_id: scan_id(1) };
    assert_eq!(decision.change, Some(Mark { scan: Some(scan), ..seen }));
    let again = decide_scan(scan_id(2), at(501), Some(&context()), decision.change.as_ref());
    assert_eq!(again.change, None);
}

proptest! {
    #[test]
    fn no_scan_marks_outside_the_session_or_somebody_not_enrolled(
        when in -1_000i64..10_000,
        ended in proptest::option::of(0i64..3_600),
        enrolled: bool,
        expires in 0i64..10_000,
    ) {
        let session = Session { ended_at: ended.map(at), ..session() };
        let context = ScanContext { session, enrolled, expires_at: at(expires), ..context() };
        let decision = decide_scan(scan_id(1), at(when), Some(&context), None);
        if let Some(mark) = decision.change {
            prop_assert!(enrolled);
            prop_assert!((0..ended.unwrap_or(3_600)).contains(&when));
            prop_assert!(when < expires);
            prop_assert_eq!(mark.marked_at, at(when));
        } else {
            prop_assert!(decision.refusal.is_some());
        }
    }
}
