//! The order of arrival does not matter.

use super::{
    super::{
        evidence::{Evidence, Lateness, absence, merge},
        face::{is_redundant, tally},
        scan::decide_scan,
        session::{at_end, end, span},
    },
    *,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What can reach the record of one student.
#[derive(Clone, Copy, Debug)]
enum Arrival {
    Scan { n: u128, seconds: i64 },
    Look { n: u128, seconds: i64, certain: bool },
    End { n: u128, seconds: i64 },
}

fn scans() -> impl Strategy<Value = Arrival> {
    (1u128..50, -100i64..2_000).prop_map(|(n, seconds)| Arrival::Scan { n, seconds })
}

fn looks() -> impl Strategy<Value = Arrival> {
    (100u128..150, -100i64..2_000, proptest::bool::weighted(0.2))
        .prop_map(|(n, seconds, certain)| Arrival::Look { n, seconds, certain })
}

fn ends() -> impl Strategy<Value = Arrival> {
    (200u128..210, 1i64..2_000).prop_map(|(n, seconds)| Arrival::End { n, seconds })
}

/// The worker in small: a session, the votes and the record of one student, changed only by the rules.
struct World {
    session: Session,
    votes: BTreeMap<u128, Vote>,
    record: Option<Mark>,
}

impl World {
    fn new() -> Self {
        Self { session: session(), votes: BTreeMap::new(), record: None }
    }

    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Scan { n, seconds } => {
                let context = ScanContext { session: self.session, ..context() };
                let decision = decide_scan(scan_id(n), at(seconds), Some(&context), self.record.as_ref());
                self.record = decision.change.or(self.record);
            }
            Arrival::Look { n, seconds, certain } => {
                let span = span(&self.session).unwrap();
                let vote = vote(n, at(seconds), certain);
                if is_redundant(&vote, &self.votes(), &settings(), &span) {
                    return;
                }
                self.votes.entry(n).or_insert(vote);
                if let Some(evidence) = tally(&self.votes(), &settings(), &span) {
                    let lateness = Lateness::of(span.start, &settings());
                    self.record = merge(self.record.as_ref(), &evidence, lateness).or(self.record);
                }
            }
            Arrival::End { seconds, .. } => {
                let Ok(ended_at) = end(&self.session, at(seconds)) else { return };
                let state = SessionState::Completed;
                self.session = Session { state, ended_at: Some(ended_at), ..self.session };
                let span = span(&self.session).unwrap();
                self.record = match self.record {
                    None => Some(absence(span.end)),
                    Some(mark) => at_end(&mark, &self.votes(), &settings(), &span).or(Some(mark)),
                };
            }
        }
    }

    fn votes(&self) -> Vec<Vote> {
        self.votes.values().copied().collect()
    }
}

fn after(arrivals: &[Arrival]) -> Option<Mark> {
    let mut world = World::new();
    arrivals.iter().for_each(|arrival| world.take(*arrival));
    world.record
}

/// Scans and looks keep what they say when they come twice: one id, one time.
fn distinct(arrivals: Vec<Arrival>) -> Vec<Arrival> {
    let by_id: BTreeMap<_, _> = arrivals
        .into_iter()
        .map(|arrival| match arrival {
            Arrival::Scan { n, .. } | Arrival::Look { n, .. } | Arrival::End { n, .. } => (n, arrival),
        })
        .collect();
    by_id.into_values().collect()
}

proptest! {
    #[test]
    fn any_order_of_the_same_evidence_gives_the_same_record(
        (one, other) in proptest::collection::vec(prop_oneof![scans(), looks()], 0..12)
            .prop_map(distinct)
            .prop_flat_map(|arrivals| (Just(arrivals.clone()), Just(arrivals).prop_shuffle())),
    ) {
        prop_assert_eq!(after(&one), after(&other));
    }

    #[test]
    fn the_session_may_end_once_or_twice_at_any_place_among_scans_and_looks(
        (one, other) in (
            proptest::collection::vec(prop_oneof![scans(), looks()], 0..12),
            proptest::collection::vec(ends(), 1..3),
        )
            .prop_map(|(evidence, ends)| distinct([evidence, ends].concat()))
            .prop_flat_map(|arrivals| (Just(arrivals.clone()), Just(arrivals).prop_shuffle())),
    ) {
        prop_assert_eq!(after(&one), after(&other));
    }

    #[test]
    fn the_same_evidence_again_changes_nothing(
        arrivals in proptest::collection::vec(prop_oneof![scans(), looks()], 0..12).prop_map(distinct),
    ) {
        let twice: Vec<_> = arrivals.iter().chain(&arrivals).copied().collect();
        prop_assert_eq!(after(&arrivals), after(&twice));
    }

    #[test]
    fn a_mark_lies_within_the_session(
        arrivals in proptest::collection::vec(prop_oneof![scans(), looks()], 0..12).prop_map(distinct),
        end in 1i64..2_000,
    ) {
        let ended: Vec<_> = arrivals.into_iter().chain([Arrival::End { n: 200, seconds: end }]).collect();
        let mark = after(&ended).unwrap();
        let there = matches!(mark.status, AttendanceStatus::Present | AttendanceStatus::Late);
        prop_assert_eq!(there, (at(0)..at(end)).contains(&mark.marked_at));
    }

    #[test]
    fn an_excused_student_stays_excused(arrivals in proptest::collection::vec(prop_oneof![scans(), looks()], 0..12)) {
        let excused = mark(AttendanceStatus::Excused, at(0), Kind::None);
        let mut world = World { record: Some(excused), ..World::new() };
        arrivals.into_iter().for_each(|arrival| world.take(arrival));
        prop_assert_eq!(world.record, Some(excused));
    }

    #[test]
    fn evidence_of_the_same_instant_is_ordered(one in 1u128..50, other in 1u128..50) {
        let evidence = |n| Evidence { at: at(5), basis: super::super::evidence::Basis::Scan(scan_id(n)) };
        let lateness = Lateness::of(at(0), &settings());
        let first = evidence(one).mark(lateness);
        let second = evidence(other).mark(lateness);
        let one_then_other = merge(Some(&first), &evidence(other), lateness).unwrap_or(first);
        let other_then_one = merge(Some(&second), &evidence(one), lateness).unwrap_or(second);
        prop_assert_eq!(one_then_other, other_then_one);
    }
}
