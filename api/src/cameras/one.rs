//! `GET`, `PUT` and `DELETE /cameras/{id}`.

use super::{CameraBody, CameraData, camera_entry, find, key_entry};
use crate::{extract::Body, reply::Reply, state::Api};
use axum::extract::State;
use chrono::{DateTime, Utc};
use garde::Validate;
use rollcall_schemas::id::{ApiKeyId, CameraId};
use rollcall_service::http::{Path, Problem, Success, SuccessEnvelope};
use rollcall_store::cameras::{self, ApiKey, CameraChange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A key as it is listed: without its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KeyBody {
    #[schema(value_type = Uuid)]
    id: ApiKeyId,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
}

impl From<ApiKey> for KeyBody {
    fn from(key: ApiKey) -> Self {
        Self { id: key.id, created_at: key.created_at, expires_at: key.expires_at }
    }
}

/// A camera with its keys.
#[derive(Serialize, ToSchema)]
pub(crate) struct CameraDetail {
    camera: CameraBody,
    /// Those not revoked, oldest first.
    keys: Vec<KeyBody>,
}

/// Read one camera, with its keys but not their secrets.
#[utoipa::path(
    get,
    path = "/api/v1/cameras/{id}",
    tag = "cameras",
    params(("id" = Uuid, Path, description = "The camera")),
    responses((status = 200, description = "The camera", body = SuccessEnvelope<CameraDetail>))
)]
pub(crate) async fn get_camera(State(api): State<Api>, Path(id): Path<CameraId>) -> Reply<CameraDetail> {
    let mut db = api.connection().await?;
    let camera = find(&mut db, id).await?;
    let keys = cameras::keys(&mut db, id).await?.into_iter().map(KeyBody::from).collect();
    Ok(Success::ok(CameraDetail { camera: camera.into(), keys }))
}

/// What changes about a camera; what is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CameraChangeBody {
    /// What people call it.
    #[garde(length(chars, min = 1, max = 200))]
    name: Option<String>,
    /// Whether its frames are taken.
    #[garde(skip)]
    enabled: Option<bool>,
    /// The most frames a second that are taken from it.
    #[garde(range(min = 1, max = 60))]
    max_frames_per_second: Option<i32>,
}

/// Change a camera.
#[utoipa::path(
    put,
    path = "/api/v1/cameras/{id}",
    tag = "cameras",
    params(("id" = Uuid, Path, description = "The camera")),
    request_body = CameraChangeBody,
    responses((status = 200, description = "The camera as changed", body = SuccessEnvelope<CameraData>))
)]
pub(crate) async fn update_camera(
    State(api): State<Api>,
    Path(id): Path<CameraId>,
    Body(change): Body<CameraChangeBody>,
) -> Reply<CameraData> {
    let change = CameraChange {
        name: change.name,
        enabled: change.enabled,
        max_frames_per_second: change.max_frames_per_second,
    };
    let mut tx = api.begin().await?;
    let camera = cameras::update(&mut tx, id, &change).await?.ok_or_else(|| Problem::not_found("camera"))?;
    api.commit(tx, vec![camera_entry(&camera, false)]).await?;
    Ok(Success::ok(CameraData { camera: camera.into() }))
}

/// Delete a camera.
///
/// Its keys are revoked, and it looks at no class any more; what it saw stays.
#[utoipa::path(
    delete,
    path = "/api/v1/cameras/{id}",
    tag = "cameras",
    params(("id" = Uuid, Path, description = "The camera")),
    responses((status = 200, description = "The camera as it was", body = SuccessEnvelope<CameraData>))
)]
pub(crate) async fn delete_camera(State(api): State<Api>, Path(id): Path<CameraId>) -> Reply<CameraData> {
    let now = api.clock().now();
    let mut tx = api.begin().await?;
    let camera = cameras::delete(&mut tx, id, now).await?.ok_or_else(|| Problem::not_found("camera"))?;
    let revoked = cameras::revoke_keys(&mut tx, id, None, now).await?;
    let mut messages = vec![camera_entry(&camera, true)];
    messages.extend(revoked.iter().map(key_entry));
    api.commit(tx, messages).await?;
    Ok(Success::new(http::StatusCode::OK, "CAMERA_DELETED", CameraData { camera: camera.into() }))
}
