//! What follows from a QR scan.

use super::{
    evidence::{Basis, Evidence, Lateness, is_settled, merge},
    session,
};
use chrono::{DateTime, Utc};
use rollcall_schemas::{code::Code, id::ScanId};
use rollcall_store::attendance::{Mark, ScanContext};

/// What follows from a scan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScanDecision {
    /// What the record says from now on; `None` when it stays as it is.
    pub change: Option<Mark>,
    /// Why the scan is refused, if it is. A refused scan may still move a record to an earlier time.
    pub refusal: Option<Code>,
}

/// Decides about the scan `scan_id`, received at `at`, knowing its code and session (`None`: no such code was ever
/// shown) and what the student's record says.
///
/// The first of these that does not hold is the answer: the code exists, has not expired, its session is open, the
/// student is in the class, and is not marked yet; each as of `at`.
pub fn decide_scan(
    scan_id: ScanId,
    at: DateTime<Utc>,
    context: Option<&ScanContext>,
    existing: Option<&Mark>,
) -> ScanDecision {
    let refuse = |code| ScanDecision { change: None, refusal: Some(code) };
    let Some(context) = context else { return refuse(Code::QrTokenInvalid) };
    if at >= context.expires_at {
        return refuse(Code::QrTokenExpired);
    }
    let Some(span) = session::span(&context.session).filter(|span| span.contains(&at)) else {
        return refuse(Code::SessionNotActive);
    };
    if !context.enrolled {
        return refuse(Code::NotEnrolled);
    }
    let evidence = Evidence { at, basis: Basis::Scan(scan_id) };
    ScanDecision {
        change: merge(existing, &evidence, Lateness::of(span.start, &context.settings)),
        refusal: existing.filter(|mark| is_settled(mark)).map(|_| Code::AlreadyMarkedAttendance),
    }
}

impl ScanDecision {
    /// Whether the scan was good enough to be held against its class's rules against codes that are passed on: whoever
    /// may not scan at all is told so first.
    pub fn is_good(&self) -> bool {
        matches!(self.refusal, None | Some(Code::AlreadyMarkedAttendance))
    }

    /// What is left of the decision after that; `refusal` is why they refuse the scan, if they do.
    pub fn held_against(self, refusal: Option<Code>) -> Self {
        match refusal.filter(|_| self.is_good()) {
            Some(code) => Self { change: None, refusal: Some(code) },
            None => self,
        }
    }
}
