//! What follows from faces: votes that count by themselves, questions for a person, and who was seen.
//!
//! A face is compared with the class first: with the templates of those who were in it when the frame was captured. The
//! rest of the gallery, as the face worker found it, only raises doubt.

use super::evidence::{Basis, Evidence};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    embedding::Embedding,
    fact::EvidenceRule,
    id::{SightingId, UserId},
    sighting::{Candidate, Face, Thresholds, Verdict},
};
use rollcall_store::{classes::ClassSettings, looks::Vote};
use std::{collections::BTreeSet, ops::Range};

/// The most candidates a review names.
const MAX_CANDIDATES: usize = 5;

/// Those who were in the class, with their templates where they have one.
pub type Roster = [(UserId, Option<Embedding>)];

/// What a face means for a class.
#[derive(Clone, Debug, PartialEq)]
pub enum FaceMatch {
    /// It is this student.
    Vote {
        /// The student and the similarity.
        student: Candidate,
        /// Whether one such look is enough.
        certain: bool,
    },
    /// It may be this student: a person decides.
    Review {
        /// The student.
        student: UserId,
        /// Whom it may be, most similar first.
        candidates: Vec<Candidate>,
        /// Why a person must decide.
        doubt: Doubt,
    },
    /// It is nobody of the class.
    Nobody,
}

impl FaceMatch {
    /// The student whose mark it may touch.
    pub fn student(&self) -> Option<UserId> {
        match self {
            Self::Vote { student, .. } => Some(student.user_id),
            Self::Review { student, .. } => Some(*student),
            Self::Nobody => None,
        }
    }

    fn review(student: UserId, mut candidates: Vec<Candidate>, doubt: Doubt) -> Self {
        candidates.truncate(MAX_CANDIDATES);
        Self::Review { student, candidates, doubt }
    }
}

/// Why a person must decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The similarity lies between the thresholds.
    Uncertain,
    /// Somebody outside the class is more similar.
    OutsideClass,
    /// A second person is almost as similar.
    LookAlike,
    /// Another face of the same frame is more like the same student.
    SeenTwice,
}

impl Doubt {
    /// The name in the database and in API answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Doubt::Uncertain => "uncertain",
            Doubt::OutsideClass => "outside_class",
            Doubt::LookAlike => "look_alike",
            Doubt::SeenTwice => "seen_twice",
        }
    }
}

/// What each face of a frame means for a class, in their order. One student is at most one face: the most similar.
pub fn match_faces(faces: &[Face], roster: &Roster, thresholds: &Thresholds) -> Vec<FaceMatch> {
    let mut matches: Vec<FaceMatch> = faces.iter().map(|face| match_face(face, roster, thresholds)).collect();
    let mut claims: Vec<(usize, Candidate)> = matches
        .iter()
        .enumerate()
        .filter_map(|(place, found)| match found {
            FaceMatch::Vote { student, .. } => Some((place, *student)),
            FaceMatch::Review { .. } | FaceMatch::Nobody => None,
        })
        .collect();
    claims.sort_by(|(a_place, a), (b_place, b)| {
        b.similarity.total_cmp(&a.similarity).then(a_place.cmp(b_place))
    });
    let mut claimed = BTreeSet::new();
    for (place, student) in claims {
        if !claimed.insert(student.user_id) {
            let candidates = ranking(&faces[place], roster, thresholds);
            matches[place] = FaceMatch::review(student.user_id, candidates, Doubt::SeenTwice);
        }
    }
    matches
}

/// What one face means for a class.
///
/// A second person is too close when less than the distance between the thresholds `uncertain` and `confident` behind:
/// that distance is the pack's own measure of how far similarities of the same person spread.
pub fn match_face(face: &Face, roster: &Roster, thresholds: &Thresholds) -> FaceMatch {
    let candidates = ranking(face, roster, thresholds);
    let Some(student) = candidates.iter().copied().find(|candidate| is_in(roster, candidate.user_id)) else {
        return FaceMatch::Nobody;
    };
    let is_best = candidates[0].user_id == student.user_id;
    let margin = thresholds.confident - thresholds.uncertain;
    let doubt = if student.similarity < thresholds.confident {
        Doubt::Uncertain
    } else if !is_best {
        Doubt::OutsideClass
    } else if candidates.get(1).is_some_and(|second| student.similarity - second.similarity < margin) {
        Doubt::LookAlike
    } else {
        return FaceMatch::Vote { student, certain: student.similarity >= thresholds.certain };
    };
    FaceMatch::review(student.user_id, candidates, doubt)
}

/// Everybody the face may be, from the `uncertain` threshold on, most similar first. For the class the comparison is our
/// own, with the present templates; for everybody else it is the face worker's.
fn ranking(face: &Face, roster: &Roster, thresholds: &Thresholds) -> Vec<Candidate> {
    let Some(embedding) = &face.embedding else { return Vec::new() };
    let class = roster.iter().filter_map(|(user_id, template)| {
        let similarity = template.as_ref()?.similarity(embedding)?;
        Some(Candidate { user_id: *user_id, similarity })
    });
    let others = face.candidates.iter().copied().filter(|candidate| !is_in(roster, candidate.user_id));
    let mut ranked: Vec<Candidate> =
        class.chain(others).filter(|candidate| candidate.similarity >= thresholds.uncertain).collect();
    ranked.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.user_id.cmp(&b.user_id)));
    ranked
}

fn is_in(roster: &Roster, user: UserId) -> bool {
    roster.iter().any(|(member, _)| *member == user)
}

/// The evidence that one student's votes amount to: from the earliest of them, once there are enough within `span`. One
/// certain look is enough where the class says so; otherwise looks count by frame, however many packs looked at it.
pub fn tally(votes: &[Vote], settings: &ClassSettings, span: &Range<DateTime<Utc>>) -> Option<Evidence> {
    let counted = || votes.iter().filter(|vote| span.contains(&vote.captured_at));
    let frames: BTreeSet<_> = counted().map(|vote| vote.frame_id).collect();
    let wanted = usize::try_from(settings.votes_wanted).unwrap_or(1);
    let enough = frames.len() >= wanted || (settings.certain_is_enough && counted().any(|vote| vote.certain));
    let earliest = counted().min_by_key(|vote| (vote.captured_at, vote.sighting_id))?;
    let basis = Basis::Face { sighting_id: earliest.sighting_id, similarity: earliest.similarity };
    enough.then_some(Evidence { at: earliest.captured_at, basis })
}

/// The votes of one student that can change nothing any more, whatever else comes: a camera that looks at a class for an
/// hour would otherwise leave thousands of votes for each student.
///
/// They are those before which there are enough. Where a face has to be near a scan, they are those before and after which
/// there are enough within their minute of the clock: as near is a minute at least, whatever span around a scan holds such
/// a vote holds all of its minute that is before it, or all that is after it. Either way it is a function of all votes that
/// ever came, whatever their order.
pub fn superfluous(
    votes: &[Vote],
    settings: &ClassSettings,
    span: &Range<DateTime<Utc>>,
) -> BTreeSet<SightingId> {
    let by_minute = settings.evidence_rule == EvidenceRule::QrNeedsFace;
    let minute = |vote: &Vote| vote.captured_at.timestamp().div_euclid(60);
    let mut counted: Vec<Vote> =
        votes.iter().filter(|vote| span.contains(&vote.captured_at)).copied().collect();
    counted.sort_unstable_by_key(|vote| (vote.captured_at, vote.sighting_id));
    let enough = |votes: &[Vote]| tally(votes, settings, span).is_some();
    let stand_for_each_other = counted.chunk_by(|one, other| !by_minute || minute(one) == minute(other));
    stand_for_each_other
        .flat_map(|votes| {
            let is_superfluous =
                |place: usize| enough(&votes[..place]) && (!by_minute || enough(&votes[place + 1..]));
            (0..votes.len()).filter(move |place| is_superfluous(*place)).map(|place| votes[place].sighting_id)
        })
        .collect()
}

/// Who a face is for the feed of live events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Seen {
    /// Somebody we know.
    Person(Candidate),
    /// Somebody we do not know.
    Stranger,
}

/// Who a face is, knowing what it means for each class in view: a class's own comparison goes before the search over the
/// whole gallery, and a face in doubt is nobody in particular.
pub fn seen<'a>(face: &Face, matches: impl IntoIterator<Item = &'a FaceMatch>) -> Option<Seen> {
    let mut in_doubt = false;
    for found in matches {
        match found {
            FaceMatch::Vote { student, .. } => return Some(Seen::Person(*student)),
            FaceMatch::Review { .. } => in_doubt = true,
            FaceMatch::Nobody => {}
        }
    }
    match face.verdict {
        _ if in_doubt => None,
        Verdict::Confident => face.candidates.first().copied().map(Seen::Person),
        Verdict::Unknown => Some(Seen::Stranger),
        Verdict::Uncertain | Verdict::Refused => None,
    }
}
