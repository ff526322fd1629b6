//! `GET` and `POST /sessions/{id}/qr`: the code that students scan. As an image alone it is in `qr_files`.

use super::{
    SessionBody,
    change::{Asking, with_code},
    find, qr_image,
};
use crate::{ask::Pending, error::ApiError, reply::Reply, state::Api};
use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use rollcall_schemas::{code::Code, id::SessionId, request::SessionCommand};
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Success, SuccessEnvelope};
use rollcall_store::session_views::{self, QrCodeView, SessionView};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A code to be shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CodeBody {
    /// What the image says: the token that a student sends to `POST /attendance/mark`.
    token: Uuid,
    /// The image as a data URL of a PNG.
    image: String,
    /// The image as SVG.
    svg: String,
    /// Until when it is valid.
    expires_at: DateTime<Utc>,
}

impl TryFrom<QrCodeView> for CodeBody {
    type Error = ApiError;

    fn try_from(code: QrCodeView) -> Result<Self, ApiError> {
        let image = qr_image::render(&code.token.0.to_string()).map_err(Problem::internal)?;
        Ok(Self {
            token: code.token.0,
            image: image.png_data_url,
            svg: image.svg,
            expires_at: code.expires_at,
        })
    }
}

/// A session with its code.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CodeData {
    pub(super) session: SessionBody,
    pub(super) qr_code: CodeBody,
    /// Until when the code is valid: the next one is shown before.
    pub(super) expires_at: DateTime<Utc>,
}

impl CodeData {
    pub(super) fn new(session: SessionView, code: QrCodeView) -> Result<Self, ApiError> {
        let expires_at = code.expires_at;
        Ok(Self { session: session.into(), qr_code: CodeBody::try_from(code)?, expires_at })
    }
}

/// Read the code of a session that is valid now.
#[utoipa::path(
    get,
    path = "/api/v1/sessions/{id}/qr",
    tag = "sessions",
    params(("id" = Uuid, Path, description = "The session")),
    responses(
        (status = 200, description = "The code", body = SuccessEnvelope<CodeData>),
        (status = 409, description = "`SESSION_NOT_ACTIVE`: the session shows no code at present", body = ErrorEnvelope),
    )
)]
pub(crate) async fn get_code(State(api): State<Api>, Path(id): Path<SessionId>) -> Reply<CodeData> {
    let (session, code) = shown(&api, id).await?;
    Ok(Success::ok(CodeData::new(session, code)?))
}

/// A session with the code that it shows now.
pub(super) async fn shown(api: &Api, id: SessionId) -> Result<(SessionView, QrCodeView), ApiError> {
    let mut db = api.connection().await?;
    let session = find(&mut db, id).await?;
    let code = session_views::code_at(&mut db, id, api.clock().now()).await?;
    let code =
        code.ok_or_else(|| Problem::new(Code::SessionNotActive, "the session shows no code at present"))?;
    Ok((session, code))
}

/// Replace the code of a session before its time.
#[utoipa::path(
    post,
    path = "/api/v1/sessions/{id}/qr",
    tag = "sessions",
    params(
        ("id" = Uuid, Path, description = "The session"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats a call without repeating its effect"),
    ),
    responses(
        (status = 200, description = "The new code", body = SuccessEnvelope<CodeData>),
        (status = 202, description = "The answer is still to come", body = SuccessEnvelope<Pending>),
        (status = 409, description = "`CONFLICT` or `SESSION_NOT_ACTIVE`: the session is not open", body = ErrorEnvelope),
    )
)]
pub(crate) async fn rotate_code(
    State(api): State<Api>,
    asking: Asking,
    Path(session_id): Path<SessionId>,
) -> Result<Response, ApiError> {
    find(&mut *api.connection().await?, session_id).await?;
    let told = asking.ask(&api, SessionCommand::RotateQr { session_id }).await?;
    with_code(&api, told, "QR_ROTATED").await
}
