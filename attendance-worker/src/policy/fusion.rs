//! What everything that machines saw of one student amounts to, by the rule of the class.
//!
//! A function of the whole set, so the order in which evidence arrives cannot matter. What counts is what happened within
//! the session; a face counts once its votes are enough ([`tally`]). The table stands in `docs/ATTENDANCE.md`.

use super::{
    evidence::{Basis, Evidence, Lateness, absence, merge, precedence, stands},
    face::tally,
    protection::ScanDoubt,
    question::Question,
    session::span,
};
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::fact::EvidenceRule;
use rollcall_store::{
    attendance::{Mark, ScanMark},
    classes::ClassSettings,
    looks::Vote,
    sessions::Session,
};
use std::ops::Range;

/// What machines saw of one student in one session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gathered {
    /// Good scans.
    pub scans: Vec<ScanMark>,
    /// Scans in doubt, which are no evidence.
    pub doubted: Vec<(ScanMark, ScanDoubt)>,
    /// Confident looks.
    pub votes: Vec<Vote>,
    /// Whether a person was asked about a face without a scan (`no_scan`) and has said that it is not the student's.
    pub face_is_refused: bool,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Decision {
    /// What a record says that rests on it; `None` when it is not enough.
    pub mark: Option<Mark>,
    /// What a person should be asked.
    pub question: Option<Question>,
}

/// Whether a class of these rules needs every scan, not only the earliest.
pub fn keeps_scans(settings: &ClassSettings) -> bool {
    settings.evidence_rule != EvidenceRule::Either
}

/// Decides by the rule of `settings` about what was gathered while the session was open; nothing before it was. About a scan in
/// doubt a person is asked where nothing else is to be said.
pub fn decide(gathered: &Gathered, settings: &ClassSettings, session: &Session) -> Decision {
    let Some(span) = &span(session) else { return Decision::default() };
    let lateness = Lateness::of(session, settings);
    let Decision { mark, question } = decide_by_evidence(gathered, settings, (span, lateness));
    let doubted =
        gathered.doubted.iter().filter(|(scan, _)| mark.is_none() && span.contains(&scan.scanned_at));
    let doubted = doubted.min_by_key(|(scan, _)| *scan).map(|(scan, doubt)| Question::Doubted(*scan, *doubt));
    Decision { mark, question: question.or(doubted) }
}

fn decide_by_evidence(
    gathered: &Gathered,
    settings: &ClassSettings,
    (span, lateness): (&Range<DateTime<Utc>>, Lateness),
) -> Decision {
    let mut scans: Vec<ScanMark> =
        gathered.scans.iter().copied().filter(|scan| span.contains(&scan.scanned_at)).collect();
    scans.sort_unstable();
    let scan = scans.first().copied().map(scanned);
    let face = tally(&gathered.votes, settings, span).filter(|_| !gathered.face_is_refused);
    let certainly = |mark| Decision { mark, question: None };
    match settings.evidence_rule {
        EvidenceRule::Either => certainly(earlier(scan, face, lateness)),
        EvidenceRule::Both => certainly(scan.zip(face).map(|(scan, face)| later(&scan, &face, lateness))),
        EvidenceRule::FaceProposes if scan.is_some() => certainly(earlier(scan, face, lateness)),
        EvidenceRule::FaceProposes => {
            let vote = face.and_then(|face| vote_of(&face, &gathered.votes));
            Decision { mark: None, question: vote.map(Question::NoScan) }
        }
        EvidenceRule::QrNeedsFace => {
            let confirmed = |scan: &ScanMark| {
                let near = near(*scan, &gathered.votes, face_within(settings));
                let face = tally(&near, settings, span)?.mark(lateness);
                let Mark { sighting_id, similarity, .. } = face;
                Some(Mark { sighting_id, similarity, ..scanned(*scan).mark(lateness) })
            };
            let mark = scans.iter().find_map(confirmed);
            let unconfirmed = scans.first().copied().filter(|_| mark.is_none());
            Decision { mark, question: unconfirmed.map(Question::NoFace) }
        }
    }
}

fn scanned(scan: ScanMark) -> Evidence {
    Evidence { at: scan.scanned_at, basis: Basis::Scan(scan.scan_id) }
}

/// Either suffices: from the earlier of the two.
fn earlier(scan: Option<Evidence>, face: Option<Evidence>, lateness: Lateness) -> Option<Mark> {
    let add = |mark: Option<Mark>, evidence| merge(mark.as_ref(), &evidence, lateness).or(mark);
    scan.into_iter().chain(face).fold(None, add)
}

/// Both are needed: from the later of the two on, they are there.
fn later(scan: &Evidence, face: &Evidence, lateness: Lateness) -> Mark {
    let (scan, face) = (scan.mark(lateness), face.mark(lateness));
    let later = if precedence(&scan) < precedence(&face) { face } else { scan };
    Mark { scan: scan.scan, sighting_id: face.sighting_id, similarity: face.similarity, ..later }
}

/// How far a face may be from a scan that it confirms.
pub(super) fn face_within(settings: &ClassSettings) -> TimeDelta {
    TimeDelta::minutes(settings.face_within_minutes.into())
}

/// The votes that are not farther than that from a scan.
fn near(scan: ScanMark, votes: &[Vote], within: TimeDelta) -> Vec<Vote> {
    let is_near = |vote: &&Vote| (vote.captured_at - scan.scanned_at).abs() <= within;
    votes.iter().filter(is_near).copied().collect()
}

/// The vote that a tally named.
fn vote_of(face: &Evidence, votes: &[Vote]) -> Option<Vote> {
    let named = |vote: &&Vote| match face.basis {
        Basis::Face { sighting_id, .. } => vote.sighting_id == sighting_id,
        Basis::Scan(_) => false,
    };
    votes.iter().find(named).copied()
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Settled {
    /// What it says from now on; `None` when it stays as it is.
    pub change: Option<Mark>,
    /// What a person should be asked, once it is due; `None` when a question that was put has no object any more.
    pub question: Option<Question>,
}

/// Brings a record in line with what was gathered. A person's word stands. Where the evidence of a record does not count,
/// or no longer counts because the session turns out to have ended before it, the student is absent; what was scanned
/// stays with the record.
pub fn settle(
    existing: Option<&Mark>,
    gathered: &Gathered,
    settings: &ClassSettings,
    session: &Session,
) -> Settled {
    let Some(span) = span(session) else { return Settled::default() };
    if existing.is_some_and(stands) {
        return Settled::default();
    }
    let Decision { mark, question } = decide(gathered, settings, session);
    let says = mark.or_else(|| existing.map(|_| absence(span.end)));
    let kept = existing.and_then(|mark| mark.scan);
    let says = says.map(|mark| Mark { scan: mark.scan.or(kept), ..mark });
    Settled { change: says.filter(|mark| existing != Some(mark)), question }
}

/// What a record says once the word on it is taken back: what machines saw, or that nobody saw anything. That the end of the
/// session says, of those who were in the class then (`ended_with`); of others, and until then, there is no record.
pub fn unsaid(
    (existing, ended_with): (&Mark, Option<DateTime<Utc>>),
    gathered: &Gathered,
    settings: &ClassSettings,
    session: &Session,
) -> (Option<Mark>, Option<Question>) {
    let Settled { change, question } = settle(None, gathered, settings, session);
    let says =
        change.or(ended_with.map(absence)).map(|mark| Mark { scan: mark.scan.or(existing.scan), ..mark });
    (says, question)
}
