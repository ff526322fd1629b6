//! `GET /sessions/{id}`.

use super::{SessionData, find};
use crate::{reply::Reply, state::Api};
use axum::extract::State;
use rollcall_schemas::id::SessionId;
use rollcall_service::http::{Path, Success, SuccessEnvelope};

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
