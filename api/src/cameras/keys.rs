//! `GET` and `POST /cameras/{id}/keys`, `DELETE /cameras/{id}/keys/{keyId}`, `POST /cameras/{id}/keys/{keyId}/rotate`.

use super::find;
use crate::{
    api_keys::{
        Holder, IssuedKey, KeyBody, KeysData, RevokedKey, RotatedData, Rotation, check_expiry, issue, revoke,
        rotate,
    },
    audit::Audit,
    extract::Body,
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use chrono::{DateTime, Utc};
use garde::Validate;
use rollcall_schemas::{
    id::{ApiKeyId, CameraId},
    scope::Scope,
};
use rollcall_service::http::{ErrorEnvelope, Path, Success, SuccessEnvelope};
use rollcall_store::api_keys;
use serde::Deserialize;
use utoipa::ToSchema;

/// List the API keys of a camera that were not revoked, oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/cameras/{id}/keys",
    tag = "cameras",
    params(("id" = Uuid, Path, description = "The camera"), PageParams),
    responses((status = 200, description = "A page of keys", body = PageEnvelope<KeysData>))
)]
pub(crate) async fn list_camera_keys(
    State(api): State<Api>,
    Path(id): Path<CameraId>,
    listing: Listing,
) -> Reply<KeysData> {
    let mut db = api.connection().await?;
    find(&mut db, id).await?;
    let found = api_keys::of_camera(&mut db, id, listing.page()).await?;
    let api_keys = found.rows.into_iter().map(KeyBody::from).collect();
    Ok(listing.answer(KeysData { api_keys }, found.total))
}

/// A key of a camera, to be made.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "expiresAt": "2027-08-31T22:00:00Z" }))]
pub(crate) struct NewKey {
    /// After this it is no longer taken; without it, it is taken until revoked.
    #[garde(skip)]
    expires_at: Option<DateTime<Utc>>,
}

/// Make an API key for a camera. The answer is the only one that ever holds it.
#[utoipa::path(
    post,
    path = "/api/v1/cameras/{id}/keys",
    tag = "cameras",
    params(("id" = Uuid, Path, description = "The camera")),
    request_body = NewKey,
    responses((status = 201, description = "Made", body = SuccessEnvelope<IssuedKey>))
)]
pub(crate) async fn create_camera_key(
    State(api): State<Api>,
    audit: Audit,
    Path(id): Path<CameraId>,
    Body(new): Body<NewKey>,
) -> Reply<IssuedKey> {
    check_expiry(new.expires_at, api.clock().now())?;
    let mut tx = api.begin().await?;
    find(&mut tx, id).await?;
    let holder = Holder { camera_id: Some(id), name: None, scopes: vec![Scope::FramesPush] };
    Ok(Success::created("API_KEY_CREATED", issue(&api, &audit, tx, holder, new.expires_at).await?))
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
pub(crate) async fn revoke_camera_key(
    State(api): State<Api>,
    audit: Audit,
    Path((id, key_id)): Path<(CameraId, ApiKeyId)>,
) -> Reply<RevokedKey> {
    let revoked_at = revoke(&api, &audit, Some(id), key_id).await?;
    Ok(Success::new(http::StatusCode::OK, "API_KEY_REVOKED", RevokedKey { key_id, revoked_at }))
}

/// Rotate an API key of a camera: a new one at once, the old one for a while yet.
#[utoipa::path(
    post,
    path = "/api/v1/cameras/{id}/keys/{keyId}/rotate",
    tag = "cameras",
    params(
        ("id" = Uuid, Path, description = "The camera"),
        ("keyId" = Uuid, Path, description = "The key"),
    ),
    request_body = Rotation,
    responses(
        (status = 201, description = "Rotated", body = SuccessEnvelope<RotatedData>),
        (status = 409, description = "`CONFLICT`: the key was rotated already, or has expired", body = ErrorEnvelope),
    )
)]
pub(crate) async fn rotate_camera_key(
    State(api): State<Api>,
    audit: Audit,
    Path((id, key_id)): Path<(CameraId, ApiKeyId)>,
    Body(rotation): Body<Rotation>,
) -> Reply<RotatedData> {
    let rotated = rotate(&api, &audit, Some(id), key_id, rotation).await?;
    Ok(Success::created("API_KEY_ROTATED", rotated))
}
