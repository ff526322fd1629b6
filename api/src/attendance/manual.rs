//! `POST /attendance/manual`: a person marks students of a session, all of them or none.

use super::asking::{Speaker, Told};
use crate::{
    access::owns_class,
    ask::{Pending, mismatched},
    audit::Act,
    error::ApiError,
    extract::Body,
    sessions,
    state::Api,
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use garde::Validate;
use http::StatusCode;
use rollcall_schemas::{
    fact::AttendanceStatus,
    id::{SessionId, UserId},
    outcome::{Answer, AttendanceAnswer},
    request::{AttendanceCommand, StudentRef, Word},
    to_micros,
};
use rollcall_service::http::{ErrorEnvelope, Success, SuccessEnvelope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is said of students of a session.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "sessionId": "7d6a2f0e-5b1c-4e8a-9f43-1c2b3a4d5e6f",
    "records": [{ "rollNumber": "R-17", "status": "excused", "reason": "ill" }],
}))]
pub(crate) struct ManualMarks {
    /// The session.
    #[garde(skip)]
    #[schema(value_type = Uuid)]
    session_id: SessionId,
    /// What is said of whom; each student at most once.
    #[garde(length(min = 1, max = 1_000), dive)]
    records: Vec<ManualMark>,
}

/// What is said of one student.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ManualMark {
    /// The student. Either this or `rollNumber`.
    #[garde(custom(|id: &Option<UserId>, _: &()| is_one(id.is_some(), self.roll_number.is_some())))]
    #[schema(value_type = Option<Uuid>)]
    student_id: Option<UserId>,
    /// The student's roll number.
    #[garde(length(chars, min = 1, max = 50))]
    roll_number: Option<String>,
    /// `present`, `late`, `absent` or `excused`. Before the session begins, only `excused`.
    #[garde(skip)]
    status: AttendanceStatus,
    /// When the student was there, within the session; for the present and the late. Without it: now, or after the session
    /// its beginning, or for the late the end of the grace period.
    #[garde(skip)]
    marked_at: Option<DateTime<Utc>>,
    /// Why; must be given for an excuse.
    #[garde(length(chars, min = 1, max = 500))]
    reason: Option<String>,
}

fn is_one(by_id: bool, by_roll_number: bool) -> garde::Result {
    if by_id != by_roll_number {
        return Ok(());
    }
    Err(garde::Error::new("studentId or rollNumber must be given, and not both"))
}

impl From<ManualMark> for Word {
    fn from(mark: ManualMark) -> Self {
        let by_roll_number = || StudentRef::RollNumber(mark.roll_number.unwrap_or_default());
        Self {
            student: mark.student_id.map_or_else(by_roll_number, StudentRef::Id),
            status: mark.status,
            marked_at: mark.marked_at.map(to_micros),
            reason: mark.reason,
        }
    }
}

/// Records as a person's word made them.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ManualData {
    /// In the order of the request.
    attendance_records: Vec<AttendanceAnswer>,
}

/// Mark students of a session by hand: all of them or, when a line is not valid, none.
///
/// What a person says stands over what machines see, until it is taken back. Before a session begins, expected absences can
/// be excused. A session that nobody opened is held by being marked when its time is over, from a list on paper for example:
/// then it took place as planned, and whoever is not on the list was absent.
#[utoipa::path(
    post,
    path = "/api/v1/attendance/manual",
    tag = "attendance",
    params(("Idempotency-Key" = Option<String>, Header, description = "Repeats a call without repeating its effect")),
    request_body = ManualMarks,
    responses(
        (status = 200, description = "Marked", body = SuccessEnvelope<ManualData>),
        (status = 202, description = "The answer is still to come", body = SuccessEnvelope<Pending>),
        (status = 404, description = "`NOT_FOUND`: no such session", body = ErrorEnvelope),
        (status = 409, description = "`CONFLICT`: the session is cancelled", body = ErrorEnvelope),
        (status = 422, description = "`VALIDATION_FAILED`: each line that is not valid, as `records[3].studentId`; nothing is marked", body = ErrorEnvelope),
    )
)]
pub(crate) async fn mark_manually(
    State(api): State<Api>,
    speaker: Speaker,
    Body(marks): Body<ManualMarks>,
) -> Result<Response, ApiError> {
    let session_id = marks.session_id;
    let mut db = api.connection().await?;
    let session = sessions::find(&mut db, session_id).await?;
    owns_class(&mut db, &speaker.caller, session.class_id).await?;
    drop(db);
    let words = marks.records.into_iter().map(Word::from).collect();
    let command = AttendanceCommand::Mark { session_id, words };
    match speaker.ask(&api, command, Act::of("attendance.marking_asked", session_id)).await? {
        Told::Done(Answer::Marks(answer)) => {
            let data = ManualData { attendance_records: answer.records };
            Ok(Success::new(StatusCode::OK, "ATTENDANCE_MARKED", data).into_response())
        }
        Told::Done(_) => Err(mismatched()),
        Told::Pending(pending) => Ok(pending.into_response()),
    }
}
