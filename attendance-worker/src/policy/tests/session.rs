use super::{
    super::session::{
        CODE_OVERLAP, IllegalMove, Move, NotReopened, check_plan, code_ttl, end, following_code,
        is_held_afterwards, next_state, reopen, rotate, span, start,
    },
    *,
};
use proptest::prelude::*;
use rollcall_schemas::request::SessionPlan;

#[test]
fn every_move_from_every_state() {
    use Move::{Announce, Cancel, Change, End, Reopen, RotateQr, Start};
    use SessionState::{Active, Cancelled, Completed, Pending, Scheduled};
    let legal = [
        (Scheduled, Change, Scheduled),
        (Scheduled, Cancel, Cancelled),
        (Scheduled, Announce, Pending),
        (Scheduled, Start, Active),
        (Pending, Change, Scheduled),
        (Pending, Cancel, Cancelled),
        (Pending, Start, Active),
        (Active, RotateQr, Active),
        (Active, End, Completed),
        (Completed, Reopen, Active),
    ];
    let mut refused = 0;
    for state in SessionState::ALL.iter().copied() {
        for step in Move::ALL {
            let expected = legal
                .iter()
                .find(|(from, with, _)| (*from, *with) == (state, step))
                .map_or(Err(IllegalMove::State { state }), |(_, _, to)| Ok(*to));
            assert_eq!(next_state(state, step), expected, "{step:?} while {state}");
            refused += usize::from(expected.is_err());
        }
    }
    assert_eq!(refused, SessionState::ALL.len() * Move::ALL.len() - legal.len());
}

#[test]
fn a_session_opens_again_after_its_end_until_a_time_to_come() {
    let day = 24 * 3_600;
    let ended = Session { state: SessionState::Completed, ended_at: Some(at(1_800)), ..session() };
    let reopen = |session: &Session, until, now| reopen(session, until, now, TimeDelta::hours(24));
    let bad_end = |until: Option<i64>, now| match reopen(&ended, until.map(at), at(now)) {
        Err(NotReopened::BadEnd(plan)) => plan.field,
        other => panic!("{other:?}"),
    };
    assert_eq!(reopen(&ended, None, at(1_800)), Ok(at(3_600)), "until its planned end");
    assert_eq!(reopen(&ended, Some(at(9_000)), at(5_000)), Ok(at(9_000)));
    assert_eq!(reopen(&ended, Some(at(day)), at(5_000)), Ok(at(day)));
    assert_eq!(reopen(&ended, None, at(1_799)), Err(NotReopened::Illegal(IllegalMove::Early)));
    assert_eq!(bad_end(None, 3_600), "endTime", "its planned time is over");
    assert_eq!(bad_end(Some(4_000), 4_000), "endTime", "it would end at once");
    assert_eq!(reopen(&ended, Some(at(5_000 + day)), at(5_000)), Ok(at(5_000 + day)));
    assert_eq!(bad_end(Some(5_001 + day), 5_000), "endTime", "longer than a day");
    let early = Session { started_at: Some(at(-1_200)), ended_at: Some(at(-900)), ..ended };
    assert!(
        matches!(reopen(&early, Some(at(0)), at(-600)), Err(NotReopened::BadEnd(_))),
        "before its planned time"
    );
    assert_eq!(reopen(&early, Some(at(1)), at(-600)), Ok(at(1)));
    let (last, late) = (1_800 + day, 1_801 + day);
    assert_eq!(reopen(&ended, Some(at(last + 60)), at(last)), Ok(at(last + 60)), "a day after its end");
    assert_eq!(reopen(&ended, Some(at(late + 60)), at(late)), Err(NotReopened::TooLate));
    let open = Err(NotReopened::Illegal(IllegalMove::State { state: SessionState::Active }));
    assert_eq!(reopen(&session(), None, at(10)), open);
}

#[test]
fn the_end_of_a_session_that_was_opened_again_stays_after_that() {
    let open = Session { reopened_at: Some(at(2_000)), ..session() };
    assert_eq!(end(&open, at(2_500)), Ok(at(2_500)));
    assert_eq!(end(&open, at(2_000)), Ok(at(2_000)));
    assert_eq!(end(&open, at(1_999)), Err(IllegalMove::Unopened), "asked for while it was closed");
    let over = Session { state: SessionState::Completed, ended_at: Some(at(3_000)), ..open };
    assert_eq!(end(&over, at(2_500)), Ok(at(2_500)), "moved to an earlier time");
    let completed = Err(IllegalMove::State { state: SessionState::Completed });
    assert_eq!(end(&over, at(1_000)), completed, "not into the time before it was opened again");
    assert_eq!(span(&open), Some(at(0)..at(3_600)), "late is counted from the first beginning");
}

#[test]
fn a_session_opens_before_its_planned_end_only() {
    let planned = Session { started_at: None, state: SessionState::Scheduled, ..session() };
    assert_eq!(start(&planned, at(-100)), Ok(at(-100)));
    assert_eq!(start(&planned, at(-3_600)), Ok(at(-3_600)), "an hour before");
    assert_eq!(start(&planned, at(-3_601)), Err(IllegalMove::TooSoon), "it is taken for another");
    assert_eq!(start(&planned, at(3_599)), Ok(at(3_599)));
    assert_eq!(start(&planned, at(3_600)), Err(IllegalMove::Over));
    assert_eq!(rotate(&session(), at(3_600)), Err(IllegalMove::Over));
}

#[test]
fn what_nobody_opened_is_held_by_what_is_said_of_it_once_its_time_is_over() {
    let planned = |state| Session { started_at: None, state, ..session() };
    for state in SessionState::ALL.iter().copied() {
        let may_be = matches!(state, SessionState::Scheduled | SessionState::Pending);
        assert_eq!(is_held_afterwards(&planned(state), at(3_600)), may_be, "{state}");
        assert!(!is_held_afterwards(&planned(state), at(3_599)), "{state} and not over");
    }
}

#[test]
fn a_session_ends_within_its_span() {
    assert_eq!(end(&session(), at(100)), Ok(at(100)));
    assert_eq!(end(&session(), at(9_999)), Ok(at(3_600)));
    assert_eq!(end(&session(), at(0)), Ok(at(0)));
    assert_eq!(end(&session(), at(-5)), Err(IllegalMove::Unopened), "asked for before it began");
}

#[test]
fn the_span_is_from_the_real_start_to_the_real_end_or_the_planned_one() {
    assert_eq!(span(&session()), Some(at(0)..at(3_600)));
    assert_eq!(span(&Session { ended_at: Some(at(7)), ..session() }), Some(at(0)..at(7)));
    assert_eq!(span(&Session { started_at: None, ..session() }), None);
}

#[test]
fn a_code_is_followed_two_seconds_before_it_ends_or_half_its_time() {
    let micro = TimeDelta::microseconds(1);
    for (ttl, due) in [
        (100, at(98)),
        (300, at(298)),
        (14_400, at(14_398)),
        (4, at(2)),
        (3, at(1) + micro * 500_000),
        (2, at(1)),
    ] {
        let (ends, ttl) = (at(ttl), TimeDelta::seconds(ttl));
        assert_eq!(following_code(ends, ttl, due - micro), None, "{ttl}");
        assert_eq!(following_code(ends, ttl, due), Some(due..ends + ttl), "{ttl}");
    }
    let ttl = TimeDelta::seconds(100);
    assert_eq!(following_code(at(100), ttl, at(150)), Some(at(98)..at(200)));
    // Nobody was there for three periods: only the present one is shown.
    assert_eq!(following_code(at(100), ttl, at(400)), Some(at(398)..at(500)));
}

#[test]
fn a_code_lasts_as_long_as_the_session_says_or_else_its_class() {
    let settings = ClassSettings { qr_ttl_seconds: 100, ..settings() };
    assert_eq!(code_ttl(None, &settings), TimeDelta::seconds(100));
    assert_eq!(code_ttl(Some(15), &settings), TimeDelta::seconds(15));
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
    let field = |from, to| check_plan(&SessionPlan::between(from, to), at(0)).err().map(|plan| plan.field);
    let (day, year) = (24 * 60, 366 * 24 * 60);
    assert_eq!(field(at(0), at(0) + minutes(day)), None);
    assert_eq!(field(at(0), at(0) + minutes(day + 1)), Some("endTime"));
    assert_eq!(field(at(0), at(0)), Some("endTime"));
    for distance in [year, -year] {
        let begin = at(0) + minutes(distance);
        assert_eq!(field(begin, begin + minutes(1)), None);
        let begin = begin + minutes(distance.signum());
        assert_eq!(field(begin, begin + minutes(1)), Some("startTime"));
    }
    assert_eq!(field(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC), Some("endTime"));
}

proptest! {
    #[test]
    fn there_is_always_a_code_and_its_successor_takes_over_in_time(ttl in 1i64..1_000, late in 0i64..10_000) {
        let ttl = TimeDelta::seconds(ttl);
        let expires_at = at(0);
        let now = expires_at + TimeDelta::seconds(late);
        let next = following_code(expires_at, ttl, now).unwrap();
        prop_assert!(next.start <= now && now < next.end);
        prop_assert!(next.end - next.start <= ttl + CODE_OVERLAP);
    }
}
