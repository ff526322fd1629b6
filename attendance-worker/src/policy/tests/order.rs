//! The order of arrival does not matter.

use super::{
    super::evidence::{Basis, Evidence, Lateness, merge},
    world::{Arrival, World},
    *,
};
use proptest::prelude::*;
use rollcall_schemas::fact::EvidenceRule;
use std::collections::BTreeMap;

fn scans() -> impl Strategy<Value = Arrival> {
    (1u128..50, -100i64..2_000).prop_map(|(n, seconds)| Arrival::Scan { n, seconds })
}

fn doubted_scans() -> impl Strategy<Value = Arrival> {
    (50u128..100, -100i64..2_000).prop_map(|(n, seconds)| Arrival::DoubtedScan { n, seconds })
}

fn looks() -> impl Strategy<Value = Arrival> {
    (100u128..150, -100i64..2_000, proptest::bool::weighted(0.2))
        .prop_map(|(n, seconds, certain)| Arrival::Look { n, seconds, certain })
}

fn ends() -> impl Strategy<Value = Arrival> {
    (200u128..210, 1i64..2_000).prop_map(|(n, seconds)| Arrival::End { n, seconds })
}

fn seen() -> impl Strategy<Value = Vec<Arrival>> {
    proptest::collection::vec(prop_oneof![scans(), doubted_scans(), looks()], 0..12).prop_map(distinct)
}

fn seen_and_ended() -> impl Strategy<Value = Vec<Arrival>> {
    (
        proptest::collection::vec(prop_oneof![scans(), doubted_scans(), looks()], 0..12),
        proptest::collection::vec(ends(), 1..3),
    )
        .prop_map(|(evidence, ends)| distinct([evidence, ends].concat()))
}

/// Every rule; a face near a scan is one within few minutes, as sessions here are short.
fn rules() -> impl Strategy<Value = ClassSettings> {
    (proptest::sample::select(EvidenceRule::ALL), 1i32..4, proptest::bool::ANY).prop_map(
        |(evidence_rule, face_within_minutes, certain_is_enough)| ClassSettings {
            evidence_rule,
            face_within_minutes,
            certain_is_enough,
            votes_wanted: 2,
            ..settings()
        },
    )
}

/// Scans and looks keep what they say when they come twice: one id, one time.
fn distinct(arrivals: Vec<Arrival>) -> Vec<Arrival> {
    let id = |arrival: &Arrival| match arrival {
        Arrival::Scan { n, .. }
        | Arrival::DoubtedScan { n, .. }
        | Arrival::Look { n, .. }
        | Arrival::End { n, .. } => *n,
        Arrival::Reopen { .. } | Arrival::Say { .. } | Arrival::TakeBack => 0,
    };
    let by_id: BTreeMap<_, _> = arrivals.iter().map(|arrival| (id(arrival), *arrival)).collect();
    by_id.into_values().collect()
}

fn shuffled(
    arrivals: impl Strategy<Value = Vec<Arrival>>,
) -> impl Strategy<Value = (Vec<Arrival>, Vec<Arrival>)> {
    arrivals.prop_flat_map(|arrivals| (Just(arrivals.clone()), Just(arrivals).prop_shuffle()))
}

proptest! {
    #[test]
    fn any_order_of_the_same_evidence_gives_the_same_record(rule in rules(), (one, other) in shuffled(seen())) {
        prop_assert_eq!(World::after(rule, &one).says(), World::after(rule, &other).says());
    }

    #[test]
    fn the_session_may_end_once_or_twice_at_any_place_among_scans_and_looks(
        rule in rules(),
        (one, other) in shuffled(seen_and_ended()),
    ) {
        let (one, other) = (World::after(rule, &one), World::after(rule, &other));
        prop_assert_eq!(one.says(), other.says());
        prop_assert_eq!(one.open_question().is_some(), other.open_question().is_some());
    }

    #[test]
    fn the_same_evidence_again_changes_nothing(rule in rules(), arrivals in seen()) {
        let twice: Vec<_> = arrivals.iter().chain(&arrivals).copied().collect();
        prop_assert_eq!(World::after(rule, &arrivals).says(), World::after(rule, &twice).says());
    }

    #[test]
    fn a_mark_lies_within_the_session(rule in rules(), arrivals in seen(), end in 1i64..2_000) {
        let ended: Vec<_> = arrivals.into_iter().chain([Arrival::End { n: 200, seconds: end }]).collect();
        let mark = World::after(rule, &ended).says().unwrap();
        let there = matches!(mark.status, AttendanceStatus::Present | AttendanceStatus::Late);
        prop_assert_eq!(there, (at(0)..at(end)).contains(&mark.marked_at));
    }

    #[test]
    fn nobody_is_asked_about_who_is_known_to_be_there(rule in rules(), arrivals in seen_and_ended()) {
        let world = World::after(rule, &arrivals);
        let status = world.says().map(|mark| mark.status);
        prop_assert!(world.open_question().is_none() || status == Some(AttendanceStatus::Absent));
    }

    #[test]
    fn a_person_s_word_stands(
        rule in rules(),
        arrivals in seen_and_ended(),
        status in proptest::sample::select(AttendanceStatus::ALL),
    ) {
        let word = Arrival::Say { status, seconds: 7 };
        let spoken: Vec<_> = [word].into_iter().chain(arrivals).collect();
        let says = World::after(rule, &spoken).record.map(|mark| (mark.status, mark.marked_at, mark.evidence));
        prop_assert_eq!(says, Some((status, at(7), Kind::Manual)));
    }

    #[test]
    fn a_word_that_is_taken_back_leaves_nothing_behind(
        rule in rules(),
        arrivals in seen_and_ended(),
        (first, second) in (0usize..14, 0usize..14),
        status in proptest::sample::select(AttendanceStatus::ALL),
    ) {
        let (from, to) = (first.min(second).min(arrivals.len()), first.max(second).min(arrivals.len()));
        let mut spoken = arrivals.clone();
        spoken.insert(to, Arrival::TakeBack);
        spoken.insert(from, Arrival::Say { status, seconds: 7 });
        let (silent, spoken) = (World::after(rule, &arrivals), World::after(rule, &spoken));
        prop_assert_eq!(silent.says(), spoken.says());
        prop_assert_eq!(silent.open_question().is_some(), spoken.open_question().is_some());
    }

    #[test]
    fn a_word_that_is_taken_back_while_the_session_runs_leaves_what_was_seen(
        rule in rules(),
        arrivals in seen(),
        (first, second) in (0usize..14, 0usize..14),
        status in proptest::sample::select(AttendanceStatus::ALL),
    ) {
        let (from, to) = (first.min(second).min(arrivals.len()), first.max(second).min(arrivals.len()));
        let mut spoken = arrivals.clone();
        spoken.insert(to, Arrival::TakeBack);
        spoken.insert(from, Arrival::Say { status, seconds: 7 });
        prop_assert_eq!(World::after(rule, &arrivals).says(), World::after(rule, &spoken).says());
    }

    #[test]
    fn evidence_of_the_same_instant_is_ordered(one in 1u128..50, other in 1u128..50) {
        let evidence = |n| Evidence { at: at(5), basis: Basis::Scan(scan_id(n)) };
        let lateness = Lateness::of(&session(), &settings());
        let first = evidence(one).mark(lateness);
        let second = evidence(other).mark(lateness);
        let one_then_other = merge(Some(&first), &evidence(other), lateness).unwrap_or(first);
        let other_then_one = merge(Some(&second), &evidence(one), lateness).unwrap_or(second);
        prop_assert_eq!(one_then_other, other_then_one);
    }
}
