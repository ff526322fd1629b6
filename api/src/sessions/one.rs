//! `GET`, `PUT` and `DELETE /sessions/{id}`: read, change and cancel.

use super::{
    SessionData,
    change::{Asking, Told, ends_well, is_near},
    find,
};
use crate::{ask::Pending, classes, error::ApiError, extract::Body, reply::Reply, state::Api};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use garde::Validate;
use rollcall_schemas::{
    id::SessionId,
    request::{SessionCommand, SessionPlan},
    to_micros,
};
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Success, SuccessEnvelope};
use serde::Deserialize;
use utoipa::ToSchema;

/// Read one session.
#[utoipa::path(
    get,
    path = "/api/v1/sessions/{id}",
    tag = "sessions",
    params(("id" = Uuid, Path, description = "The session")),
    responses((status = 200, description = "The session", body = SuccessEnvelope<SessionData>))
)]
pub(crate) async fn get_session(State(api): State<Api>, Path(id): Path<SessionId>) -> Reply<SessionData> {
    let session = find(&mut *api.connection().await?, id).await?;
    Ok(Success::ok(SessionData { session: session.into() }))
}

/// What changes about a session; what is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "startTime": "2026-11-20T10:00:00Z", "endTime": "2026-11-20T10:45:00Z", "room": "B 14" }))]
pub(crate) struct SessionChange {
    /// When it begins.
    #[garde(skip)]
    start_time: Option<DateTime<Utc>>,
    /// When it ends.
    #[garde(skip)]
    end_time: Option<DateTime<Utc>>,
    /// The room; empty is none.
    #[garde(length(chars, max = 100))]
    room: Option<String>,
    /// Whether another session of the class, or in the room, may take place at the same time.
    #[garde(skip)]
    allow_overlap: Option<bool>,
    /// How long its codes are valid, in seconds.
    #[garde(range(min = 2, max = 86_400))]
    qr_ttl_seconds: Option<i32>,
}

/// Change the plan of a session that has not begun.
#[utoipa::path(
    put,
    path = "/api/v1/sessions/{id}",
    tag = "sessions",
    params(
        ("id" = Uuid, Path, description = "The session"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats a call without repeating its effect"),
    ),
    request_body = SessionChange,
    responses(
        (status = 200, description = "The session as changed", body = SuccessEnvelope<SessionData>),
        (status = 202, description = "The answer is still to come", body = SuccessEnvelope<Pending>),
        (status = 409, description = "`CONFLICT`: it has begun or was cancelled, or another session takes place then, which the details name", body = ErrorEnvelope),
    )
)]
pub(crate) async fn change_session(
    State(api): State<Api>,
    asking: Asking,
    Path(session_id): Path<SessionId>,
    Body(change): Body<SessionChange>,
) -> Result<Response, ApiError> {
    let present = find(&mut *api.connection().await?, session_id).await?;
    let plan = SessionPlan {
        starts_at: change.start_time.map_or(present.starts_at, to_micros),
        ends_at: change.end_time.map_or(present.ends_at, to_micros),
        room: change.room.as_deref().map_or(present.room, classes::room),
        allow_overlap: change.allow_overlap.unwrap_or(present.allow_overlap),
        qr_ttl_seconds: change.qr_ttl_seconds.or(present.qr_ttl_seconds),
    };
    ends_well(plan.ends_at, plan.starts_at)
        .map_err(|error| Problem::validation([("endTime", error.to_string())]))?;
    is_near(plan.starts_at, api.clock().now())?;
    let told = asking.ask(&api, SessionCommand::Change { session_id, plan }).await?;
    changed(&api, told, "SESSION_CHANGED").await
}

/// Cancel a session that has not begun: it stays in the lists, and takes nobody's time or room.
#[utoipa::path(
    delete,
    path = "/api/v1/sessions/{id}",
    tag = "sessions",
    params(
        ("id" = Uuid, Path, description = "The session"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats a call without repeating its effect"),
    ),
    responses(
        (status = 200, description = "The session, cancelled", body = SuccessEnvelope<SessionData>),
        (status = 202, description = "The answer is still to come", body = SuccessEnvelope<Pending>),
        (status = 409, description = "`CONFLICT`: it has begun, or was cancelled before", body = ErrorEnvelope),
    )
)]
pub(crate) async fn cancel_session(
    State(api): State<Api>,
    asking: Asking,
    Path(session_id): Path<SessionId>,
) -> Result<Response, ApiError> {
    find(&mut *api.connection().await?, session_id).await?;
    let told = asking.ask(&api, SessionCommand::Cancel { session_id }).await?;
    changed(&api, told, "SESSION_CANCELLED").await
}

/// The session as the worker has left it.
async fn changed(api: &Api, told: Told, code: &'static str) -> Result<Response, ApiError> {
    match told {
        Told::Done(answer) => {
            let session = find(&mut *api.connection().await?, answer.session_id).await?.into();
            Ok(Success::new(http::StatusCode::OK, code, SessionData { session }).into_response())
        }
        Told::Pending(pending) => Ok(pending.into_response()),
    }
}
