use super::{
    super::session::{
        IllegalMove, Move, at_end, check_plan, end, following_code, next_state, rotate, span, start,
    },
    *,
};
use proptest::prelude::*;

#[test]
fn every_move_from_every_state() {
    use Move::{Announce, End, RotateQr, Start};
    use SessionState::{Active, Completed, Pending, Scheduled};
    let legal = [
        (Scheduled, Announce, Pending),
        (Scheduled, Start, Active),
        (Pending, Start, Active),
        (Active, RotateQr, Active),
        (Active, End, Completed),
    ];
    for state in SessionState::ALL.iter().copied() {
        for step in [Announce, Start, End, RotateQr] {
            let expected = legal
                .iter()
                .find(|(from, with, _)| (*from, *with) == (state, step))
                .map_or(Err(IllegalMove::State { state }), |(_, _, to)| Ok(*to));
            assert_eq!(next_state(state, step), expected, "{step:?} while {state}");
        }
    }
}

#[test]
fn a_session_opens_before_its_planned_end_only() {
    let planned = Session { started_at: None, state: SessionState::Scheduled, ..session() };
    assert_eq!(start(&planned, at(-100)), Ok(at(-100)));
    assert_eq!(start(&planned, at(3_599)), Ok(at(3_599)));
    assert_eq!(start(&planned, at(3_600)), Err(IllegalMove::Over));
    assert_eq!(rotate(&session(), at(3_600)), Err(IllegalMove::Over));
}

#[test]
fn a_session_ends_within_its_span() {
    assert_eq!(end(&session(), at(100)), Ok(at(100)));
    assert_eq!(end(&session(), at(9_999)), Ok(at(3_600)));
    assert_eq!(end(&session(), at(-5)), Ok(at(0)));
}

#[test]
fn the_span_is_from_the_real_start_to_the_real_end_or_the_planned_one() {
    assert_eq!(span(&session()), Some(at(0)..at(3_600)));
    assert_eq!(span(&Session { ended_at: Some(at(7)), ..session() }), Some(at(0)..at(7)));
    assert_eq!(span(&Session { started_at: None, ..session() }), None);
}

#[test]
fn a_code_is_followed_a_little_before_it_ends() {
    let settings = ClassSettings { qr_ttl_seconds: 100, ..settings() };
    assert_eq!(following_code(at(100), &settings, at(97)), None);
    assert_eq!(following_code(at(100), &settings, at(98)), Some(at(98)..at(200)));
    assert_eq!(following_code(at(100), &settings, at(150)), Some(at(98)..at(200)));
    // Nobody was there for three periods: only the present one is shown.
    assert_eq!(following_code(at(100), &settings, at(400)), Some(at(398)..at(500)));
}

#[test]
fn the_end_takes_back_what_rests_on_evidence_from_after_it() {
    let span = at(0)..at(100);
    let absent = mark(AttendanceStatus::Absent, at(100), Kind::None);
    let qr = |seconds| scanned(AttendanceStatus::Present, 1, at(seconds));
    assert_eq!(at_end(&qr(99), &[], &settings(), &span), None);
    assert_eq!(at_end(&qr(100), &[], &settings(), &span), Some(absent));
    for (status, evidence) in
        [(AttendanceStatus::Present, Kind::Manual), (AttendanceStatus::Excused, Kind::None)]
    {
        assert_eq!(at_end(&mark(status, at(100), evidence), &[], &settings(), &span), None);
    }
    // Recorded by three votes of which the last turns out to have come too late.
    let votes = [vote(1, at(90), false), vote(2, at(95), false), vote(3, at(101), false)];
    let by_face = Mark {
        sighting_id: Some(votes[0].sighting_id),
        similarity: Some(votes[0].similarity),
        ..mark(AttendanceStatus::Present, at(90), Kind::Face)
    };
    assert_eq!(at_end(&by_face, &votes, &settings(), &span), Some(absent));
    let two_wanted = ClassSettings { votes_wanted: 2, ..settings() };
    assert_eq!(at_end(&by_face, &votes, &two_wanted, &span), None);
    // What is left of it is the scan that came later than the face.
    let with_scan = Mark { scan: qr(95).scan, ..by_face };
    assert_eq!(at_end(&with_scan, &votes, &settings(), &span), Some(qr(95)));
    // Who was absent is absent from the new end on.
    let absent_later = mark(AttendanceStatus::Absent, at(200), Kind::None);
    assert_eq!(at_end(&absent_later, &[], &settings(), &span), Some(absent));
}

#[test]
fn a_session_that_has_ended_may_only_end_earlier() {
    let ended = Session { state: SessionState::Completed, ended_at: Some(at(3_600)), ..session() };
    assert_eq!(end(&ended, at(100)), Ok(at(100)));
    let over = Err(IllegalMove::State { state: SessionState::Completed });
    for seconds in [-1, 3_600, 4_000] {
        assert_eq!(end(&ended, at(seconds)), over);
    }
}

#[test]
fn a_plan_is_short_and_soon() {
    let field = |from, to| check_plan(&(from..to), at(0)).err().map(|plan| plan.field);
    let (day, year) = (24 * 60, 366 * 24 * 60);
    assert_eq!(field(at(0), at(0) + minutes(day)), None);
    assert_eq!(field(at(0), at(0) + minutes(day + 1)), Some("endsAt"));
    assert_eq!(field(at(0), at(0)), Some("endsAt"));
    for distance in [year, -year] {
        let begin = at(0) + minutes(distance);
        assert_eq!(field(begin, begin + minutes(1)), None);
        let begin = begin + minutes(distance.signum());
        assert_eq!(field(begin, begin + minutes(1)), Some("startsAt"));
    }
    assert_eq!(field(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC), Some("endsAt"));
}

proptest! {
    #[test]
    fn there_is_always_a_code_and_its_successor_takes_over_in_time(ttl in 1i32..1_000, late in 0i64..10_000) {
        let settings = ClassSettings { qr_ttl_seconds: ttl, ..settings() };
        let expires_at = at(0);
        let now = expires_at + TimeDelta::seconds(late);
        let next = following_code(expires_at, &settings, now).unwrap();
        prop_assert!(next.start <= now && now < next.end);
        prop_assert!(next.end - next.start <= TimeDelta::seconds(i64::from(ttl)) + minutes(1));
    }
}
