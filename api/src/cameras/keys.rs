//! `POST /cameras/{id}/keys` and `DELETE /cameras/{id}/keys/{keyId}`.

use super::{find, key_entry};
use crate::{extract::Body, reply::Reply, state::Api};
use axum::extract::State;
use chrono::{DateTime, Utc};
use garde::Validate;
use rollcall_schemas::id::{ApiKeyId, CameraId};
use rollcall_service::{
    auth,
    http::{Path, Problem, Success, SuccessEnvelope},
};
use rollcall_store::cameras::{self, ApiKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A key to be made.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewKey {
    /// After this it is no longer taken; without it, it is taken until revoked.
    #[garde(skip)]
    expires_at: Option<DateTime<Utc>>,
}

/// A key with its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyData {
    #[schema(value_type = Uuid)]
    key_id: ApiKeyId,
    /// The key as a camera sends it in `X-API-Key`. It is shown this once and kept nowhere.
    api_key: String,
    expires_at: Option<DateTime<Utc>>,
}

/// Make an API key for a camera. The answer is the only one that ever holds it.
#[utoipa::path(
    post,
    path = "/api/v1/cameras/{id}/keys",
    tag = "cameras",
    params(("id" = Uuid, Path, description = "The camera")),
    request_body = NewKey,
    responses((status = 201, description = "Made", body = SuccessEnvelope<KeyData>))
)]
pub(crate) async fn create_key(
    State(api): State<Api>,
    Path(id): Path<CameraId>,
    Body(new): Body<NewKey>,
) -> Reply<KeyData> {
    let now = api.clock().now();
    if new.expires_at.is_some_and(|end| end <= now) {
        return Err(Problem::validation([("expiresAt", "must be in the future")]).into());
    }
    let secret = auth::ApiKey::generate(api.entropy());
    let key = ApiKey {
        id: secret.key_id,
        camera_id: id,
        secret_sha256: secret.secret_sha256(),
        revision: 1,
        created_at: now,
        expires_at: new.expires_at,
        revoked_at: None,
    };
    let mut tx = api.begin().await?;
    find(&mut tx, id).await?;
    cameras::add_key(&mut tx, &key).await?;
    api.commit(tx, vec![key_entry(&key)]).await?;
    let data = KeyData { key_id: key.id, api_key: secret.reveal(), expires_at: key.expires_at };
    Ok(Success::created("API_KEY_CREATED", data))
}

/// A key that is no longer taken.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RevokedKey {
    #[schema(value_type = Uuid)]
    key_id: ApiKeyId,
    revoked_at: DateTime<Utc>,
}

/// Revoke an API key of a camera.
#[utoipa::path(
    delete,
    path = "/api/v1/cameras/{id}/keys/{keyId}",
    tag = "cameras",
    params(
        ("id" = Uuid, Path, description = "The camera"),
        ("keyId" = Uuid, Path, description = "The key"),
    ),
    responses((status = 200, description = "Revoked", body = SuccessEnvelope<RevokedKey>))
)]
pub(crate) async fn revoke_key(
    State(api): State<Api>,
    Path((id, key_id)): Path<(CameraId, ApiKeyId)>,
) -> Reply<RevokedKey> {
    let revoked_at = api.clock().now();
    let mut tx = api.begin().await?;
    let revoked = cameras::revoke_keys(&mut tx, id, Some(key_id), revoked_at).await?;
    if revoked.is_empty() {
        return Err(Problem::not_found("key of this camera").into());
    }
    api.commit(tx, revoked.iter().map(key_entry).collect()).await?;
    Ok(Success::new(http::StatusCode::OK, "API_KEY_REVOKED", RevokedKey { key_id, revoked_at }))
}
