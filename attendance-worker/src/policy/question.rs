//! What a person is asked about a student, and when.

use super::{fusion::face_within, protection::ScanDoubt};
use chrono::{DateTime, Utc};
use rollcall_schemas::fact::Resolution;
use rollcall_store::{
    attendance::ScanMark, classes::ClassSettings, looks::Vote, reviews::Past, sessions::Session,
};

/// The name of [`Question::NoScan`].
pub const NO_SCAN: &str = "no_scan";

/// What a person should be asked about evidence that is not enough by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Question {
    /// Was the student there, who scanned and whose face was not seen?
    NoFace(ScanMark),
    /// Was the student there, who was seen and did not scan? The earliest look.
    NoScan(Vote),
    /// Was the student there, whose scan is in doubt?
    Doubted(ScanMark, ScanDoubt),
}

impl Question {
    /// The name in the database and in API answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Question::NoFace(_) => "no_face",
            Question::NoScan(_) => NO_SCAN,
            Question::Doubted(_, doubt) => doubt.as_str(),
        }
    }

    /// When what it is about happened.
    pub fn at(self) -> DateTime<Utc> {
        match self {
            Question::NoFace(scan) | Question::Doubted(scan, _) => scan.scanned_at,
            Question::NoScan(vote) => vote.captured_at,
        }
    }

    /// Until when it waits, if it is not put at once: a face that is missing may still be seen near the scan, or everybody
    /// would be asked about who scans at the door.
    pub fn waits_until(self, settings: &ClassSettings) -> Option<DateTime<Utc>> {
        match self {
            Question::NoFace(scan) => Some(scan.scanned_at + face_within(settings)),
            Question::NoScan(_) | Question::Doubted(..) => None,
        }
    }

    /// Whether it is time to ask: whatever is still open is asked at the end of the session.
    pub fn is_due(self, (session, settings): (&Session, &ClassSettings), now: DateTime<Utc>) -> bool {
        session.ended_at.is_some() || self.waits_until(settings).is_none_or(|until| until <= now)
    }
}

/// What a question puts before a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// A face, and whether it is surely the student's.
    Face { sure: bool },
    /// A scan, and whether there is nothing against it.
    Scan { sure: bool },
}

impl Shown {
    fn by(reason: &str) -> Self {
        match reason {
            NO_SCAN => Shown::Face { sure: true },
            "no_face" => Shown::Scan { sure: true },
            doubt if ScanDoubt::parse(doubt).is_some() => Shown::Scan { sure: false },
            _ => Shown::Face { sure: false },
        }
    }

    /// Whether whoever said no to this has said no to `other`, too: it is of the same kind, and no surer.
    fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Shown::Face { sure }, Shown::Face { sure: other })
            | (Shown::Scan { sure }, Shown::Scan { sure: other }) => sure || !other,
            _ => false,
        }
    }
}

/// Whether a question that was put before is put once more, now for this reason: not while it is open or where a person has
/// said yes, and not where a person has said no to evidence of that kind. The table stands in `docs/ATTENDANCE.md`.
pub fn opens_again(past: &Past, reason: &str) -> bool {
    let is_closed = past.resolution.is_some_and(|resolution| resolution != Resolution::Accepted);
    let is_refused = || past.rejected.iter().any(|rejected| Shown::by(rejected).covers(Shown::by(reason)));
    is_closed && !is_refused()
}
