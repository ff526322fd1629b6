//! What a person may say of records, and what a record says then.

use super::{
    evidence::{Basis, Evidence, Lateness},
    protection::ScanDoubt,
    session::span,
};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    fact::{AttendanceStatus, Evidence as Kind},
    id::UserId,
    request::{StudentRef, Word},
};
use rollcall_store::{
    attendance::{Mark, ScanMark},
    classes::ClassSettings,
    reviews::{Review, Subject},
    sessions::Session,
};
use std::collections::{HashMap, HashSet};

/// Those who were in the class at some time of the session, with their roll numbers.
pub type Members = [(UserId, Option<String>)];

/// A word that breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadWord {
    /// Its place in the list, from 0.
    pub place: usize,
    /// The field of the line.
    pub field: &'static str,
    /// What is wrong with it, as the end of a sentence that begins with the field.
    pub reason: &'static str,
}

/// What the words of a request, made at `at`, say of whom.
///
/// # Errors
/// Every word that breaks a rule: then nothing is done.
pub fn read_words(
    words: &[Word],
    members: &Members,
    (session, settings): (&Session, &ClassSettings),
    at: DateTime<Utc>,
) -> Result<Vec<(UserId, Mark)>, Vec<BadWord>> {
    let ids: HashSet<UserId> = members.iter().map(|(id, _)| *id).collect();
    let by_roll: HashMap<&str, UserId> =
        members.iter().filter_map(|(id, roll)| Some((roll.as_deref()?, *id))).collect();
    let mut named = HashSet::new();
    let (mut marks, mut bad) = (Vec::new(), Vec::new());
    for (place, word) in words.iter().enumerate() {
        let (field, student) = match &word.student {
            StudentRef::Id(id) => ("studentId", ids.get(id).copied()),
            StudentRef::RollNumber(roll) => ("rollNumber", by_roll.get(roll.as_str()).copied()),
        };
        let read = match student {
            None => Err((field, "is nobody who was in the class during the session")),
            Some(id) if !named.insert(id) => Err((field, "is named twice")),
            Some(id) => read_word(word, (session, settings), at).map(|mark| (id, mark)),
        };
        match read {
            Ok(mark) => marks.push(mark),
            Err((field, reason)) => bad.push(BadWord { place, field, reason }),
        }
    }
    if bad.is_empty() { Ok(marks) } else { Err(bad) }
}

fn read_word(
    word: &Word,
    (session, settings): (&Session, &ClassSettings),
    at: DateTime<Utc>,
) -> Result<Mark, (&'static str, &'static str)> {
    use AttendanceStatus::{Absent, Excused, Late, Present};
    let has_reason = word.reason.as_deref().is_some_and(|reason| !reason.trim().is_empty());
    let ends_at = session.ended_at.unwrap_or(session.ends_at);
    let marked_at = match (word.status, span(session), word.marked_at) {
        (Excused, ..) if !has_reason => return Err(("reason", "is wanted for an excuse")),
        (Present | Late | Absent, None, _) => {
            return Err(("status", "can only be excused before the session has begun"));
        }
        (Absent | Excused, _, Some(_)) => {
            return Err(("markedAt", "is only for somebody who was there"));
        }
        (Absent | Excused, Some(span), None) if span.contains(&at) => at,
        (Absent | Excused, _, None) => ends_at,
        (Present | Late, Some(_), Some(marked_at)) if marked_at > at => {
            return Err(("markedAt", "must not be in the future"));
        }
        (Present | Late, Some(span), Some(marked_at)) if !span.contains(&marked_at) => {
            return Err(("markedAt", "must lie within the session"));
        }
        (Present | Late, Some(_), Some(marked_at)) => marked_at,
        (Present | Late, Some(span), None) if span.contains(&at) => at,
        (Present, Some(span), None) => span.start,
        (Late, Some(span), None) => Lateness::of(session, settings).limit().min(span.end),
    };
    Ok(Mark {
        status: word.status,
        marked_at,
        evidence: Kind::Manual,
        scan: None,
        sighting_id: None,
        similarity: None,
    })
}

/// Why evidence that a person believes makes no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it happened outside the session")]
pub struct OutsideSession;

/// What the record of `student` says by the evidence of a review, once a person has said that it is theirs; `None` when it
/// says already that they were there by then. From now on that is the person's word.
///
/// # Errors
/// When the session turned out to have ended before.
pub fn accept(
    review: &Review,
    student: UserId,
    existing: Option<&Mark>,
    (session, settings): (&Session, &ClassSettings),
) -> Result<Option<Mark>, OutsideSession> {
    use AttendanceStatus::{Late, Present};
    let at = review.captured_at;
    span(session).filter(|span| span.contains(&at)).ok_or(OutsideSession)?;
    let is_there = |mark: &&Mark| matches!(mark.status, Present | Late) && mark.marked_at <= at;
    if existing.filter(is_there).is_some() {
        return Ok(None);
    }
    let similarity_of = |id| review.candidates.iter().find(|it| it.user_id == id).map(|it| it.similarity);
    let basis = match review.subject {
        Subject::Scan(scan_id) => Basis::Scan(scan_id),
        Subject::Face(look) => Basis::Face {
            sighting_id: look.sighting_id,
            similarity: similarity_of(student).unwrap_or_default(),
        },
    };
    let mark = Evidence { at, basis }.mark(Lateness::of(session, settings));
    // A scan in doubt is no evidence by itself: it goes when the word is taken back.
    let scanned = mark.scan.filter(|_| ScanDoubt::parse(&review.reason).is_none());
    let scan: Option<ScanMark> = existing.and_then(|mark| mark.scan).into_iter().chain(scanned).min();
    let similarity = mark.similarity.and(similarity_of(student));
    Ok(Some(Mark { evidence: Kind::Manual, scan, similarity, ..mark }))
}
