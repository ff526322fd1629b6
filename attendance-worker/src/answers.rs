//! How outcomes are put: the answer to a scan, a photograph or a command, or the sentence that refuses it.

use crate::{
    error::{NotDone, WorkError},
    policy::session::{IllegalMove, Move},
};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    code::Code,
    fact::Fact,
    frame::rfc3339,
    id::{AttendanceId, ClassId, RequestId, UserId},
    outcome::{Answer, AttendanceAnswer, Outcome, OutcomeResult, Refusal, ScanKeptAnswer},
    scan::Scan,
};
use rollcall_store::{
    attendance::{Mark, ScanContext},
    outbox::OutboxMessage,
    sessions::Session,
};
use serde_json::{Value, json};

/// Who is answered, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct To {
    pub(crate) request_id: RequestId,
    pub(crate) caller: UserId,
    pub(crate) decided_at: DateTime<Utc>,
}

impl To {
    pub(crate) fn succeeded(self, answer: Answer) -> Outcome {
        self.outcome(OutcomeResult::Succeeded { answer })
    }

    pub(crate) fn failed(self, refusal: Refusal) -> Outcome {
        self.outcome(OutcomeResult::Failed(refusal))
    }

    /// What is to be told of a command: the answer first, as whoever asked should not wait until every absence is told.
    ///
    /// # Errors
    /// When the command could not be decided.
    pub(crate) fn told(
        self,
        done: Result<(Answer, Vec<Fact>), NotDone>,
    ) -> Result<(Vec<OutboxMessage>, Vec<Fact>), WorkError> {
        let (outcome, facts) = match done {
            Ok((answer, facts)) => (self.succeeded(answer), facts),
            Err(NotDone::Refused(refusal)) => (self.failed(refusal), Vec::new()),
            Err(NotDone::Failed(error)) => return Err(error),
        };
        let messages =
            std::iter::once(OutboxMessage::outcome(&outcome)).chain(facts.iter().map(OutboxMessage::fact));
        Ok((messages.collect(), facts))
    }

    fn outcome(self, result: OutcomeResult) -> Outcome {
        let Self { request_id, caller, decided_at } = self;
        Outcome { request_id, caller, decided_at, result }
    }
}

pub(crate) fn refusal(code: Code, message: &str, details: Value) -> Refusal {
    Refusal { code, message: message.to_owned(), details }
}

/// The answer to a scan that was recorded as `mark`.
pub(crate) fn attendance(session: &Session, scan: &Scan, mark: &Mark) -> Answer {
    Answer::Attendance(record(session, scan.student_id, mark))
}

/// The answer to a scan that is good, and not enough by itself; `in_review`: that a person decides about.
pub(crate) fn scan_kept(session: &Session, scan: &Scan, in_review: bool) -> Answer {
    Answer::ScanKept(ScanKeptAnswer {
        session_id: session.id,
        class_id: session.class_id,
        student_id: scan.student_id,
        scanned_at: scan.scanned_at,
        in_review,
    })
}

/// A record that says `mark`.
pub(crate) fn record(session: &Session, student_id: UserId, mark: &Mark) -> AttendanceAnswer {
    AttendanceAnswer {
        attendance_id: AttendanceId::of(session.id, student_id),
        session_id: session.id,
        class_id: session.class_id,
        student_id,
        status: mark.status,
        marked_at: mark.marked_at,
        evidence: mark.evidence,
    }
}

/// Why a scan is refused, with what its sender may know: `mark` is what the record says.
pub(crate) fn scan_refusal(code: Code, context: Option<&ScanContext>, mark: Option<&Mark>) -> Refusal {
    let session = context.map(|context| &context.session);
    match (code, context, mark) {
        (Code::QrTokenExpired, Some(context), _) => refusal(
            code,
            "This code has expired: scan the one that is shown now.",
            json!({ "expiredAt": rfc3339(context.expires_at) }),
        ),
        (Code::SessionNotActive, ..) => refusal(
            code,
            "The session is not open for attendance.",
            json!({ "sessionId": session.map(|session| session.id) }),
        ),
        (Code::NotEnrolled, ..) => refusal(
            code,
            "You are not enrolled in this class.",
            json!({ "classId": session.map(|session| session.class_id) }),
        ),
        (Code::AlreadyMarkedAttendance, _, Some(mark)) => refusal(
            code,
            "Your attendance of this session is already recorded.",
            json!({
                "sessionId": session.map(|session| session.id),
                "status": mark.status,
                "markedAt": rfc3339(mark.marked_at),
                "evidence": mark.evidence,
            }),
        ),
        (Code::QrTokenInvalid, ..) => refusal(code, "This code is not a code of any session.", Value::Null),
        _ => refusal(code, remedy(code), json!({ "sessionId": session.map(|session| session.id) })),
    }
}

/// Why a scan in doubt is refused after a person has said no to the like of it.
pub(crate) fn scan_doubted(code: Code, session: &Session) -> Refusal {
    refusal(code, remedy(code), json!({ "sessionId": session.id }))
}

/// What a student can do whose scan a class's rules against shared codes refuse.
fn remedy(code: Code) -> &'static str {
    match code {
        Code::NetworkNotAllowed => {
            "This class takes scans from its own network only: connect to it, and scan again."
        }
        Code::TooFarFromRoom => {
            "Your phone says that it is too far from the room: come closer, and scan again."
        }
        Code::PositionRequired => {
            "This class wants to know where you scan: allow your position, and scan again."
        }
        Code::DeviceAlreadyUsed => {
            "Another student has scanned from this device: use your own, or ask your teacher."
        }
        _ => "The scan was refused.",
    }
}

/// Why a command to a session is refused.
pub(crate) fn illegal(step: Move, session: &Session, reason: IllegalMove) -> Refusal {
    let wish = match step {
        Move::Change => "changed",
        Move::Cancel => "cancelled",
        Move::Announce => "announced",
        Move::Start => "started",
        Move::RotateQr => "given a new code",
        Move::End => "ended",
        Move::Reopen => "opened again",
    };
    refusal(
        Code::Conflict,
        &format!("The session cannot be {wish}: {reason}."),
        json!({ "sessionId": session.id, "state": session.state }),
    )
}

/// Why a session is not opened again that ended longer ago than the organisation allows.
pub(crate) fn too_late(session: &Session, within_hours: i32) -> Refusal {
    refusal(
        Code::Conflict,
        "The session ended too long ago to be opened again: correct its records by hand.",
        json!({ "sessionId": session.id, "endedAt": session.ended_at, "reopenWithinHours": within_hours }),
    )
}

/// Why a plan is refused that another session is in the way of.
pub(crate) fn overlap(other: &Session, class_id: ClassId) -> Refusal {
    let of = if other.class_id == class_id { "of this class" } else { "in this room" };
    refusal(
        Code::Conflict,
        &format!("Another session {of} takes place at that time: choose another one, or allow the overlap."),
        json!({
            "sessionId": other.id,
            "classId": other.class_id,
            "startTime": other.starts_at,
            "endTime": other.ends_at,
        }),
    )
}
