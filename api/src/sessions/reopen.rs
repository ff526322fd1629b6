//! `PUT /sessions/{id}/reopen`.

use super::{
    change::{Asking, with_code},
    find,
    qr::CodeData,
};
use crate::{ask::Pending, error::ApiError, extract::Body, state::Api};
use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use garde::Validate;
use rollcall_schemas::{id::SessionId, request::SessionCommand, to_micros};
use rollcall_service::http::{ErrorEnvelope, Path, SuccessEnvelope};
use serde::Deserialize;
use utoipa::ToSchema;

/// Why a session is opened again, and until when.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "reason": "closed by mistake", "endTime": "2026-11-20T10:00:00Z" }))]
pub(crate) struct Reopening {
    /// Why: kept with the session and in the audit.
    #[garde(length(chars, min = 1, max = 500))]
    reason: String,
    /// Until when; absent means the planned end, if that is still to come. At most 24 hours from now.
    #[garde(skip)]
    end_time: Option<DateTime<Utc>>,
}

/// Open a session again after its end, for as long as the organisation allows (`reopenWithinHours`).
///
/// The absences that its end recorded are taken back, and kept in the history. What happened while it was closed does not
/// count, whenever it is handled.
#[utoipa::path(
    put,
    path = "/api/v1/sessions/{id}/reopen",
    tag = "sessions",
    params(
        ("id" = Uuid, Path, description = "The session"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats a call without repeating its effect"),
    ),
    request_body = Reopening,
    responses(
        (status = 200, description = "Open again, with a new code", body = SuccessEnvelope<CodeData>),
        (status = 202, description = "The answer is still to come", body = SuccessEnvelope<Pending>),
        (status = 409, description = "`CONFLICT`: the session has not ended, or too long ago, or another one takes place until then, which the details name", body = ErrorEnvelope),
    )
)]
pub(crate) async fn reopen_session(
    State(api): State<Api>,
    asking: Asking,
    Path(session_id): Path<SessionId>,
    Body(Reopening { reason, end_time }): Body<Reopening>,
) -> Result<Response, ApiError> {
    find(&mut *api.connection().await?, session_id).await?;
    let ends_at = end_time.map(to_micros);
    let told = asking.ask(&api, SessionCommand::Reopen { session_id, ends_at, reason }).await?;
    with_code(&api, told, "SESSION_REOPENED").await
}
