//! Cameras and their API keys. Every change leaves for `ingest` through the outbox, in the transaction that makes it.

mod create;
mod keys;
mod list;
mod one;

use crate::{error::ApiError, state::Api};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    feed::{AuthEntry, AuthFact, CameraEntry},
    id::CameraId,
};
use rollcall_service::http::Problem;
use rollcall_store::{
    PgConnection,
    cameras::{self, ApiKey, Camera},
    outbox::OutboxMessage,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list::list_cameras, create::create_camera))
        .routes(routes!(one::get_camera, one::update_camera, one::delete_camera))
        .routes(routes!(keys::create_key))
        .routes(routes!(keys::revoke_key))
}

/// A camera as the api shows one.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CameraBody {
    #[schema(value_type = Uuid)]
    id: CameraId,
    name: String,
    /// Whether its frames are taken.
    enabled: bool,
    /// The most frames a second that are taken from it.
    max_frames_per_second: i32,
    created_at: DateTime<Utc>,
}

impl From<Camera> for CameraBody {
    fn from(camera: Camera) -> Self {
        Self {
            id: camera.id,
            name: camera.name,
            enabled: camera.enabled,
            max_frames_per_second: camera.max_frames_per_second,
            created_at: camera.created_at,
        }
    }
}

/// One camera.
#[derive(Serialize, ToSchema)]
pub(crate) struct CameraData {
    camera: CameraBody,
}

/// A camera that must exist.
pub(crate) async fn find(db: &mut PgConnection, id: CameraId) -> Result<Camera, ApiError> {
    Ok(cameras::find(db, id).await?.ok_or_else(|| Problem::not_found("camera"))?)
}

/// The entry that tells of a camera as it is now.
fn camera_entry(camera: &Camera, deleted: bool) -> OutboxMessage {
    OutboxMessage::feed(&CameraEntry {
        camera_id: camera.id,
        revision: camera.revision.unsigned_abs(),
        name: camera.name.clone(),
        enabled: camera.enabled,
        deleted,
        max_frames_per_second: camera.max_frames_per_second.unsigned_abs(),
    })
}

/// The entry that tells of a key as it is now.
fn key_entry(key: &ApiKey) -> OutboxMessage {
    OutboxMessage::feed(&AuthEntry {
        revision: key.revision.unsigned_abs(),
        fact: AuthFact::ApiKey {
            key_id: key.id,
            secret_sha256: key.secret_sha256.clone(),
            camera_id: key.camera_id,
            expires_at: key.expires_at,
            revoked: key.revoked_at.is_some(),
        },
    })
}

#[cfg(test)]
mod tests;
