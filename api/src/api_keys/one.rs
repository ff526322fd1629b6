//! `DELETE /api-keys/{keyId}` and `POST /api-keys/{keyId}/rotate`.

use super::{RotatedData, Rotation, revoke, rotate};
use crate::{audit::Audit, extract::Body, reply::Reply, state::Api};
use axum::extract::State;
use chrono::{DateTime, Utc};
use rollcall_schemas::id::ApiKeyId;
use rollcall_service::http::{ErrorEnvelope, Path, Success, SuccessEnvelope};
use serde::Serialize;
use utoipa::ToSchema;

/// A key that is no longer taken.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RevokedKey {
    #[schema(value_type = Uuid)]
    pub(crate) key_id: ApiKeyId,
    pub(crate) revoked_at: DateTime<Utc>,
}

/// Revoke an API key of an integration.
#[utoipa::path(
    delete,
    path = "/api/v1/api-keys/{keyId}",
    tag = "api-keys",
    params(("keyId" = Uuid, Path, description = "The key")),
    responses((status = 200, description = "Revoked", body = SuccessEnvelope<RevokedKey>))
)]
pub(crate) async fn revoke_api_key(
    State(api): State<Api>,
    audit: Audit,
    Path(key_id): Path<ApiKeyId>,
) -> Reply<RevokedKey> {
    let revoked_at = revoke(&api, &audit, None, key_id).await?;
    Ok(Success::new(http::StatusCode::OK, "API_KEY_REVOKED", RevokedKey { key_id, revoked_at }))
}

/// Rotate an API key of an integration: a new one at once, the old one for a while yet.
#[utoipa::path(
    post,
    path = "/api/v1/api-keys/{keyId}/rotate",
    tag = "api-keys",
    params(("keyId" = Uuid, Path, description = "The key")),
    request_body = Rotation,
    responses(
        (status = 201, description = "Rotated", body = SuccessEnvelope<RotatedData>),
        (status = 409, description = "`CONFLICT`: the key was rotated already, or has expired", body = ErrorEnvelope),
    )
)]
pub(crate) async fn rotate_api_key(
    State(api): State<Api>,
    audit: Audit,
    Path(key_id): Path<ApiKeyId>,
    Body(rotation): Body<Rotation>,
) -> Reply<RotatedData> {
    Ok(Success::created("API_KEY_ROTATED", rotate(&api, &audit, None, key_id, rotation).await?))
}
