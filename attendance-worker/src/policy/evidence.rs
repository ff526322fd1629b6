//! Evidence that a student was there, of whatever kind, and what it does to a record.

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::{
    fact::{AttendanceStatus, Evidence as Kind},
    id::{ScanId, SightingId},
};
use rollcall_store::{
    attendance::{Mark, ScanMark},
    classes::ClassSettings,
    sessions::Session,
};
use uuid::Uuid;

/// One reason to believe that a student was there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// When the student was there.
    pub at: DateTime<Utc>,
    /// What it rests on.
    pub basis: Basis,
}

/// What a piece of evidence rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Basis {
    /// The student scanned the session's code.
    Scan(ScanId),
    /// A camera saw the student's face.
    Face {
        /// The earliest sighting that counted.
        sighting_id: SightingId,
        /// Its similarity to the student's template.
        similarity: f32,
    },
}

/// From when on a student is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lateness(DateTime<Utc>);

impl Lateness {
    /// Late is later than the grace period of `settings` after the beginning: the planned one, or the real one where that is
    /// later. Its last moment is still in time.
    pub fn of(session: &Session, settings: &ClassSettings) -> Self {
        let began_at = session.started_at.map_or(session.starts_at, |real| real.max(session.starts_at));
        Self(began_at + TimeDelta::seconds(settings.late_after_seconds.into()))
    }

    /// The last moment that is still in time.
    pub fn limit(self) -> DateTime<Utc> {
        self.0
    }

    fn status(self, at: DateTime<Utc>) -> AttendanceStatus {
        if at > self.0 { AttendanceStatus::Late } else { AttendanceStatus::Present }
    }
}

impl Evidence {
    /// What a record says that rests on this alone.
    pub fn mark(&self, lateness: Lateness) -> Mark {
        let mark = Mark {
            status: lateness.status(self.at),
            marked_at: self.at,
            evidence: Kind::Qr,
            scan: None,
            sighting_id: None,
            similarity: None,
        };
        match self.basis {
            Basis::Scan(scan_id) => Mark { scan: Some(ScanMark { scanned_at: self.at, scan_id }), ..mark },
            Basis::Face { sighting_id, similarity } => Mark {
                evidence: Kind::Face,
                sighting_id: Some(sighting_id),
                similarity: Some(similarity),
                ..mark
            },
        }
    }
}

/// The mark of somebody of whom there was no evidence when the session ended.
pub fn absence(ended_at: DateTime<Utc>) -> Mark {
    Mark {
        status: AttendanceStatus::Absent,
        marked_at: ended_at,
        evidence: Kind::None,
        scan: None,
        sighting_id: None,
        similarity: None,
    }
}

/// What `existing` becomes by `evidence`, where either kind suffices; `None` when it stays as it is. The earliest scan is
/// kept whatever the record rests on: a face and a person's word can be taken back.
pub fn merge(existing: Option<&Mark>, evidence: &Evidence, lateness: Lateness) -> Option<Mark> {
    let new = evidence.mark(lateness);
    let Some(existing) = existing else { return Some(new) };
    let is_overruled = existing.evidence == Kind::None || precedence(&new) < precedence(existing);
    let says = if is_overruled && !stands(existing) { new } else { *existing };
    let merged = Mark { scan: existing.scan.into_iter().chain(new.scan).min(), ..says };
    (merged != *existing).then_some(merged)
}

/// Whether a record is a person's word, which stands over what machines saw.
pub fn stands(existing: &Mark) -> bool {
    existing.evidence == Kind::Manual || existing.status == AttendanceStatus::Excused
}

/// Whether a record says that somebody was there, or settles it by a person's word: nothing more to be marked.
pub fn is_settled(existing: &Mark) -> bool {
    existing.evidence != Kind::None || existing.status == AttendanceStatus::Excused
}

/// Earlier comes first. Kind and id only decide between two pieces of evidence of the same microsecond, so that even
/// then the order of arrival does not.
pub(super) fn precedence(mark: &Mark) -> (DateTime<Utc>, bool, Option<Uuid>) {
    let is_face = mark.evidence == Kind::Face;
    let id = if is_face { mark.sighting_id.map(Uuid::from) } else { mark.scan.map(|scan| scan.scan_id.0) };
    (mark.marked_at, is_face, id)
}
