use super::{
    super::{
        face::{Doubt, FaceMatch, Seen, match_face, match_faces, seen, superfluous, tally},
        fusion::{Gathered, decide},
    },
    *,
};
use proptest::prelude::*;
use rollcall_schemas::fact::EvidenceRule;
use std::collections::BTreeSet;

fn plain(embedding: Embedding) -> Face {
    face(Some(embedding), Vec::new(), Verdict::Unknown)
}

fn candidate(n: u128, similarity: f32) -> Candidate {
    Candidate { user_id: user(n), similarity }
}

fn doubt(found: &FaceMatch) -> Option<(UserId, Doubt)> {
    match found {
        FaceMatch::Review { student, doubt, .. } => Some((*student, *doubt)),
        FaceMatch::Vote { .. } | FaceMatch::Nobody => None,
    }
}

fn voted(found: &FaceMatch) -> Option<(UserId, bool)> {
    match found {
        FaceMatch::Vote { student, certain } => Some((student.user_id, *certain)),
        FaceMatch::Review { .. } | FaceMatch::Nobody => None,
    }
}

#[test]
fn the_thresholds_decide_and_belong_to_what_they_begin() {
    let cases = [
        (0.899, None, None),
        (0.91, None, Some((user(1), Doubt::Uncertain))),
        (0.949, None, Some((user(1), Doubt::Uncertain))),
        (0.951, Some((user(1), false)), None),
        (0.979, Some((user(1), false)), None),
        (0.981, Some((user(1), true)), None),
    ];
    for (similarity, vote, review) in cases {
        let found = match_face(&plain(towards(0, similarity)), &roster(2), &THRESHOLDS);
        assert_eq!(voted(&found), vote, "{similarity}");
        assert_eq!(doubt(&found), review, "{similarity}");
    }
}

#[test]
fn a_second_person_too_close_is_for_a_person_to_decide() {
    let twin = (user(2), Some(towards(0, 0.995)));
    let roster = [(user(1), Some(towards(0, 1.0))), twin];
    let found = match_face(&plain(towards(0, 0.99)), &roster, &THRESHOLDS);
    let Some((_, Doubt::LookAlike)) = doubt(&found) else { panic!("{found:?}") };

    let outside = face(Some(towards(0, 0.97)), vec![candidate(9, 0.93)], Verdict::Confident);
    assert_eq!(doubt(&match_face(&outside, &roster[..1], &THRESHOLDS)), Some((user(1), Doubt::LookAlike)));
    let far = face(Some(towards(0, 0.97)), vec![candidate(9, 0.91)], Verdict::Confident);
    assert_eq!(voted(&match_face(&far, &roster[..1], &THRESHOLDS)), Some((user(1), false)));
}

#[test]
fn a_better_match_outside_the_class_is_for_a_person_to_decide() {
    let face = face(Some(towards(0, 0.96)), vec![candidate(9, 0.99)], Verdict::Confident);
    let found = match_face(&face, &roster(1), &THRESHOLDS);
    assert_eq!(doubt(&found), Some((user(1), Doubt::OutsideClass)));
    let FaceMatch::Review { candidates, .. } = found else { unreachable!() };
    assert_eq!(candidates.iter().map(|candidate| candidate.user_id).collect::<Vec<_>>(), [user(9), user(1)]);
}

#[test]
fn the_class_is_compared_with_its_present_templates_and_not_with_the_search() {
    // The search knew an old template of student 1.
    let face = face(Some(towards(0, 0.99)), vec![candidate(1, 0.5)], Verdict::Unknown);
    assert_eq!(voted(&match_face(&face, &roster(1), &THRESHOLDS)), Some((user(1), true)));
}

#[test]
fn what_cannot_be_compared_is_nobody() {
    assert_eq!(match_face(&face(None, vec![], Verdict::Refused), &roster(1), &THRESHOLDS), FaceMatch::Nobody);
    let no_template = [(user(1), None)];
    assert_eq!(match_face(&plain(towards(0, 1.0)), &no_template, &THRESHOLDS), FaceMatch::Nobody);
    let other_dimension = [(user(1), Some(Embedding(vec![1.0, 0.0])))];
    assert_eq!(match_face(&plain(towards(0, 1.0)), &other_dimension, &THRESHOLDS), FaceMatch::Nobody);
}

#[test]
fn one_student_is_one_face_of_a_frame() {
    let faces = [plain(towards(0, 0.96)), plain(towards(0, 0.99)), plain(towards(1, 0.97))];
    let found = match_faces(&faces, &roster(2), &THRESHOLDS);
    assert_eq!(doubt(&found[0]), Some((user(1), Doubt::SeenTwice)));
    assert_eq!(voted(&found[1]), Some((user(1), true)));
    assert_eq!(voted(&found[2]), Some((user(2), false)));
}

#[test]
fn votes_count_by_frame_within_the_span_and_from_the_earliest() {
    let span = at(0)..at(1_000);
    let early = |seconds| vote(seconds as u128, at(seconds), false);
    let again = Vote { sighting_id: SightingId(Uuid::from_u128(77)), ..early(30) };
    let no_shortcut = ClassSettings { certain_is_enough: false, ..settings() };
    let cases: [(&str, Vec<Vote>, ClassSettings, Option<i64>); 7] = [
        ("none", vec![], settings(), None),
        ("two of three", vec![early(20), early(30)], settings(), None),
        ("three of three", vec![early(30), early(20), early(40)], settings(), Some(20)),
        ("two packs, one frame", vec![early(30), again, early(40)], settings(), None),
        (
            "one certain look, from the earliest vote",
            vec![early(20), vote(30, at(30), true)],
            settings(),
            Some(20),
        ),
        ("certain is not enough here", vec![vote(30, at(30), true)], no_shortcut, None),
        ("outside the span", vec![vote(1, at(-1), true), vote(2, at(1_000), true)], settings(), None),
    ];
    for (name, votes, settings, expected) in cases {
        let evidence = tally(&votes, &settings, &span);
        assert_eq!(evidence.map(|evidence| evidence.at), expected.map(at), "{name}");
    }
}

/// Looks at so many seconds, of which some are certain, named by their places.
fn looks(looks: &[(i64, bool)]) -> Vec<Vote> {
    looks.iter().zip(1..).map(|((seconds, certain), n)| vote(n, at(*seconds), *certain)).collect()
}

fn superfluous_places(votes: &[Vote], settings: &ClassSettings) -> Vec<u128> {
    superfluous(votes, settings, &(at(0)..at(1_000))).iter().map(|id| id.0.as_u128()).collect()
}

#[test]
fn a_vote_is_superfluous_when_those_before_it_are_enough() {
    let (unsure, sure) = (|seconds| (seconds, false), |seconds| (seconds, true));
    let none: &[u128] = &[];
    let cases = [
        ("after three", [unsure(10), unsure(20), unsure(30), sure(40)], &[4u128][..]),
        ("between them", [unsure(10), unsure(20), unsure(30), sure(25)], &[3]),
        ("after two", [unsure(10), unsure(20), sure(40), unsure(-10)], none),
        ("after a certain one", [sure(10), unsure(20), unsure(-10), sure(900)], &[2, 4]),
        ("after one from before the session", [sure(-10), unsure(20), unsure(30), unsure(40)], none),
    ];
    for (name, votes, expected) in cases {
        assert_eq!(superfluous_places(&looks(&votes), &settings()), expected, "{name}");
    }
}

#[test]
fn where_a_face_must_be_near_a_scan_the_first_and_the_last_votes_of_a_minute_stay() {
    let near = ClassSettings { evidence_rule: EvidenceRule::QrNeedsFace, ..settings() };
    // A minute of the clock lasts from second 40 until second 100.
    let sure = looks(&[(39, true), (40, true), (50, true), (60, true), (99, true), (100, true)]);
    assert_eq!(superfluous_places(&sure, &near), [3, 4]);
    let unsure = looks(&[40, 42, 44, 46, 48, 50, 52].map(|seconds| (seconds, false)));
    assert_eq!(superfluous_places(&unsure, &near), [4], "three before it, and three after it");
}

#[test]
fn who_was_seen() {
    let known = face(Some(towards(0, 0.99)), vec![candidate(9, 0.97)], Verdict::Confident);
    let unknown = face(Some(towards(0, 0.5)), vec![], Verdict::Unknown);
    let vote = FaceMatch::Vote { student: candidate(1, 0.99), certain: true };
    let review =
        FaceMatch::Review { student: user(1), candidates: vec![candidate(1, 0.92)], doubt: Doubt::Uncertain };
    let refused = face(None, vec![], Verdict::Refused);
    assert_eq!(seen(&unknown, [&FaceMatch::Nobody, &vote]), Some(Seen::Person(candidate(1, 0.99))));
    assert_eq!(seen(&known, [&FaceMatch::Nobody]), Some(Seen::Person(candidate(9, 0.97))));
    assert_eq!(seen(&unknown, []), Some(Seen::Stranger));
    assert_eq!(seen(&unknown, [&review]), None);
    assert_eq!(seen(&refused, []), None);
}

/// Votes as they are kept when they come one after the other.
fn kept(votes: &[Vote], settings: &ClassSettings) -> Vec<Vote> {
    votes.iter().fold(Vec::new(), |mut kept, vote| {
        kept.push(*vote);
        let gone = superfluous(&kept, settings, &(at(0)..at(1_000)));
        kept.retain(|vote| !gone.contains(&vote.sighting_id));
        kept
    })
}

proptest! {
    /// Around a scan at any time, what is kept is enough exactly when all that was seen is; and what is kept does not
    /// depend on the order in which it came.
    #[test]
    fn what_is_kept_says_the_same_as_all_of_it(
        times in proptest::collection::vec((-100_000i64..1_100_000, proptest::bool::weighted(0.3)), 0..40),
        scanned in 0i64..1_000_000,
        within in 1i32..4,
        certain_is_enough: bool,
        votes_wanted in 1i32..4,
    ) {
        let moment = |millis| at(0) + TimeDelta::milliseconds(millis);
        let all: Vec<Vote> =
            times.iter().zip(1..).map(|((millis, certain), n)| vote(n, moment(*millis), *certain)).collect();
        let rule = EvidenceRule::QrNeedsFace;
        let settings = ClassSettings {
            evidence_rule: rule, face_within_minutes: within, certain_is_enough, votes_wanted, ..settings()
        };
        let short = Session { ends_at: at(1_000), ..session() };
        let is_confirmed = |votes: Vec<Vote>| {
            let scans = vec![ScanMark { scanned_at: moment(scanned), scan_id: scan_id(1) }];
            decide(&Gathered { scans, votes, ..Gathered::default() }, &settings, &short).mark.is_some()
        };
        let (forward, backward) = (kept(&all, &settings), kept(&all.iter().rev().copied().collect::<Vec<_>>(), &settings));
        prop_assert_eq!(is_confirmed(all), is_confirmed(forward.clone()));
        let ids = |votes: Vec<Vote>| votes.iter().map(|vote| vote.sighting_id).collect::<BTreeSet<_>>();
        prop_assert_eq!(ids(forward), ids(backward));
    }

    #[test]
    fn nobody_outside_the_class_gets_a_vote_or_a_review(
        axis in 0usize..6,
        similarity in 0.5f32..1.0,
        others in proptest::collection::vec((1u128..20, 0.5f32..1.0), 0..6),
        students in 0usize..5,
    ) {
        let candidates = others.into_iter().map(|(n, similarity)| candidate(n, similarity)).collect();
        let face = face(Some(towards(axis, similarity)), candidates, Verdict::Confident);
        let roster = roster(students);
        let found = match_face(&face, &roster, &THRESHOLDS);
        if let Some(student) = voted(&found).map(|(user, _)| user).or(doubt(&found).map(|(user, _)| user)) {
            prop_assert!(roster.iter().any(|(member, _)| *member == student));
        }
    }
}
