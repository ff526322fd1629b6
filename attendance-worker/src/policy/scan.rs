//! What follows from a QR scan.

use super::{
    evidence::{Basis, Evidence, Lateness, is_settled, merge},
    fusion::{Gathered, Settled, keeps_scans, settle},
    protection::{Objection, ScanDoubt},
    question::Question,
    session,
};
use chrono::{DateTime, Utc};
use rollcall_schemas::{code::Code, id::ScanId};
use rollcall_store::attendance::{Mark, ScanContext, ScanMark};

/// What follows from a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScanDecision {
    /// What the record says from now on; `None` when it stays as it is.
    pub change: Option<Mark>,
    /// Why the scan is refused, if it is. A refused scan may still move a record to an earlier time.
    pub refusal: Option<Code>,
    /// The scan, where it is to be kept beside the record.
    pub kept: Option<ScanMark>,
    /// Why it is in doubt, if it is.
    pub doubt: Option<ScanDoubt>,
    /// What a person should be asked, once it is due.
    pub question: Option<Question>,
}

/// Decides about the scan `scan_id`, received at `at`, knowing its code and session (`None`: no such code was ever
/// shown), what the student's record says and, where the class wants more than a scan, what else was gathered.
///
/// The first of these that does not hold is the answer: the code exists, has not expired, its session is open, the
/// student is in the class, and is not marked yet; each as of `at`.
pub fn decide_scan(
    scan_id: ScanId,
    at: DateTime<Utc>,
    context: Option<&ScanContext>,
    (existing, gathered): (Option<&Mark>, &Gathered),
) -> ScanDecision {
    let refuse = |code| ScanDecision { refusal: Some(code), ..ScanDecision::default() };
    let Some(context) = context else { return refuse(Code::QrTokenInvalid) };
    if at >= context.expires_at {
        return refuse(Code::QrTokenExpired);
    }
    if !session::span(&context.session).is_some_and(|span| span.contains(&at)) {
        return refuse(Code::SessionNotActive);
    }
    if !context.enrolled {
        return refuse(Code::NotEnrolled);
    }
    let refusal = existing.filter(|mark| is_settled(mark)).map(|_| Code::AlreadyMarkedAttendance);
    if !keeps_scans(&context.settings) {
        let evidence = Evidence { at, basis: Basis::Scan(scan_id) };
        let change = merge(existing, &evidence, Lateness::of(&context.session, &context.settings));
        return ScanDecision { change, refusal, ..ScanDecision::default() };
    }
    let scan = ScanMark { scanned_at: at, scan_id };
    let mut gathered = gathered.clone();
    gathered.scans.push(scan);
    let Settled { change, question } = settle(existing, &gathered, &context.settings, &context.session);
    ScanDecision { change, refusal, kept: Some(scan), question, ..ScanDecision::default() }
}

impl ScanDecision {
    /// Whether the scan was good enough to be held against its class's rules against codes that are passed on: whoever
    /// may not scan at all is told so first.
    pub fn is_good(&self) -> bool {
        matches!(self.refusal, None | Some(Code::AlreadyMarkedAttendance))
    }

    /// What is left of the decision about `scan` after that. A scan in doubt is kept and no evidence; a person is asked about
    /// it, unless the student is recorded anyway.
    pub fn held_against(self, objection: Option<Objection>, scan: ScanMark) -> Self {
        match objection.filter(|_| self.is_good()) {
            None => self,
            Some(Objection::Refusal(code)) => Self { refusal: Some(code), ..Self::default() },
            Some(Objection::Review(doubt)) => {
                let question = self.refusal.is_none().then_some(Question::Doubted(scan, doubt));
                let (refusal, kept, doubt) = (self.refusal, Some(scan), Some(doubt));
                Self { refusal, kept, doubt, question, ..Self::default() }
            }
        }
    }
}
