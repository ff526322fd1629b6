//! What a person says of one record: `PUT /attendance/{id}`, `POST /attendance/{id}/excuse` and
//! `POST /attendance/{id}/withdraw`.

use super::{
    AttendanceBody,
    asking::{Speaker, Told},
};
use crate::{
    ask::{Pending, mismatched},
    audit::Act,
    error::ApiError,
    extract::{Body, OptionalBody},
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
    id::AttendanceId,
    outcome::Answer,
    request::{AttendanceCommand, StudentRef, Word},
    to_micros,
};
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Success, SuccessEnvelope};
use rollcall_store::{
    PgConnection,
    attendance_views::{self, RecordSubject},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One record.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordData {
    attendance: AttendanceBody,
}

/// One record, if there is one.
#[derive(Serialize, ToSchema)]
pub(crate) struct WithdrawnData {
    /// Null while the session runs and nothing was seen.
    attendance: Option<AttendanceBody>,
}

/// What a record says from now on.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "status": "late", "markedAt": "2026-11-20T09:12:00Z", "reason": "was at the door" }))]
pub(crate) struct Override {
    /// `present`, `late`, `absent` or `excused`.
    #[garde(skip)]
    status: AttendanceStatus,
    /// When the student was there, within the session; for the present and the late.
    #[garde(skip)]
    marked_at: Option<DateTime<Utc>>,
    /// Why; must be given for an excuse.
    #[garde(length(chars, min = 1, max = 500))]
    reason: Option<String>,
}

/// Say what a record says. That stands over what machines see, until it is taken back.
#[utoipa::path(
    put,
    path = "/api/v1/attendance/{id}",
    tag = "attendance",
    params(
        ("id" = Uuid, Path, description = "The record"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats a call without repeating its effect"),
    ),
    request_body = Override,
    responses(
        (status = 200, description = "Changed", body = SuccessEnvelope<RecordData>),
        (status = 202, description = "The answer is still to come", body = SuccessEnvelope<Pending>),
        (status = 409, description = "`CONFLICT`: the session is cancelled", body = ErrorEnvelope),
    )
)]
pub(crate) async fn override_record(
    State(api): State<Api>,
    speaker: Speaker,
    Path(id): Path<AttendanceId>,
    Body(said): Body<Override>,
) -> Result<Response, ApiError> {
    let record = subject(&mut *api.connection().await?, id).await?;
    let word = Word {
        student: StudentRef::Id(record.student_id),
        status: said.status,
        marked_at: said.marked_at.map(to_micros),
        reason: said.reason,
    };
    let command = AttendanceCommand::Mark { session_id: record.session_id, words: vec![word] };
    let told = speaker.ask(&api, command, Act::of("attendance.change_asked", id)).await;
    answer(&api, id, told.map_err(of_one), "ATTENDANCE_CHANGED").await
}

/// Why a student is excused.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "reason": "ill, with a doctor's note" }))]
pub(crate) struct Excuse {
    /// In a few words.
    #[garde(length(chars, min = 1, max = 500))]
    reason: String,
}

/// Excuse a student. That stands, even if the student comes after all, until it is taken back.
///
/// Ahead of a session there is no record yet: `POST /attendance/manual` excuses an expected absence.
#[utoipa::path(
    post,
    path = "/api/v1/attendance/{id}/excuse",
    tag = "attendance",
    params(
        ("id" = Uuid, Path, description = "The record"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats a call without repeating its effect"),
    ),
    request_body = Excuse,
    responses(
        (status = 200, description = "Excused", body = SuccessEnvelope<RecordData>),
        (status = 202, description = "The answer is still to come", body = SuccessEnvelope<Pending>),
        (status = 409, description = "`CONFLICT`: the session is cancelled", body = ErrorEnvelope),
    )
)]
pub(crate) async fn excuse_record(
    State(api): State<Api>,
    speaker: Speaker,
    Path(id): Path<AttendanceId>,
    Body(excuse): Body<Excuse>,
) -> Result<Response, ApiError> {
    let record = subject(&mut *api.connection().await?, id).await?;
    let word = Word {
        student: StudentRef::Id(record.student_id),
        status: AttendanceStatus::Excused,
        marked_at: None,
        reason: Some(excuse.reason),
    };
    let command = AttendanceCommand::Mark { session_id: record.session_id, words: vec![word] };
    let told = speaker.ask(&api, command, Act::of("attendance.excuse_asked", id)).await;
    answer(&api, id, told.map_err(of_one), "ATTENDANCE_EXCUSED").await
}

/// Why something was decided.
#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "reason": "it was another student" }))]
pub(crate) struct Why {
    /// In a few words.
    #[garde(length(chars, min = 1, max = 500))]
    pub(super) reason: Option<String>,
}

/// Take a person's word about a record back: what machines saw stands again. Before the session ends that may be nothing, and
/// then there is no record.
#[utoipa::path(
    post,
    path = "/api/v1/attendance/{id}/withdraw",
    tag = "attendance",
    params(
        ("id" = Uuid, Path, description = "The record"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats a call without repeating its effect"),
    ),
    request_body = Option<Why>,
    responses(
        (status = 200, description = "Taken back", body = SuccessEnvelope<WithdrawnData>),
        (status = 202, description = "The answer is still to come", body = SuccessEnvelope<Pending>),
        (status = 409, description = "`CONFLICT`: no person's word stands on it", body = ErrorEnvelope),
    )
)]
pub(crate) async fn withdraw_word(
    State(api): State<Api>,
    speaker: Speaker,
    Path(id): Path<AttendanceId>,
    OptionalBody(why): OptionalBody<Why>,
) -> Result<Response, ApiError> {
    let RecordSubject { session_id, student_id, .. } = subject(&mut *api.connection().await?, id).await?;
    let command = AttendanceCommand::Withdraw { session_id, student_id, reason: why.reason };
    match speaker.ask(&api, command, Act::of("attendance.withdrawal_asked", id)).await? {
        Told::Done(Answer::Marks(_)) => {
            let record = attendance_views::find(&mut *api.connection().await?, id).await?;
            let data = WithdrawnData { attendance: record.map(AttendanceBody::from) };
            Ok(Success::new(StatusCode::OK, "ATTENDANCE_WITHDRAWN", data).into_response())
        }
        Told::Done(_) => Err(mismatched()),
        Told::Pending(pending) => Ok(pending.into_response()),
    }
}

async fn answer(
    api: &Api,
    id: AttendanceId,
    told: Result<Told, ApiError>,
    code: &'static str,
) -> Result<Response, ApiError> {
    match told? {
        Told::Done(Answer::Marks(_)) => {
            let record = attendance_views::find(&mut *api.connection().await?, id).await?;
            let record = record.ok_or_else(|| Problem::not_found("record"))?;
            Ok(Success::new(StatusCode::OK, code, RecordData { attendance: record.into() }).into_response())
        }
        Told::Done(_) => Err(mismatched()),
        Told::Pending(pending) => Ok(pending.into_response()),
    }
}

/// The worker names fields by their lines; here is only one, and the caller sent no list.
fn of_one(error: ApiError) -> ApiError {
    let ApiError::Problem(mut problem) = error else { return error };
    for field in problem.details["fields"].as_array_mut().into_iter().flatten() {
        if let Some(name) = field["field"].as_str().and_then(|name| name.strip_prefix("records[0].")) {
            field["field"] = name.to_owned().into();
        }
    }
    ApiError::Problem(problem)
}

/// What a record is about that exists, or existed.
pub(super) async fn subject(db: &mut PgConnection, id: AttendanceId) -> Result<RecordSubject, ApiError> {
    Ok(attendance_views::subject(db, id).await?.ok_or_else(|| Problem::not_found("record"))?)
}
