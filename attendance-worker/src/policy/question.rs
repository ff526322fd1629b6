//! What a person is asked about a student, and when.

use super::protection::ScanDoubt;
use chrono::{DateTime, Utc};
use rollcall_store::{attendance::ScanMark, looks::Vote, sessions::Session};

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
            Question::NoScan(_) => "no_scan",
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

    /// Whether it is time to ask. A face that is missing may still be seen while the session lasts; everybody would be
    /// asked about who scans at the door.
    pub fn is_due(self, session: &Session) -> bool {
        match self {
            Question::NoFace(_) => session.ended_at.is_some(),
            Question::NoScan(_) | Question::Doubted(..) => true,
        }
    }
}
