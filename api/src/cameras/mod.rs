//! Cameras and their API keys. Every change leaves for `ingest` through the outbox, in the transaction that makes it.

mod create;
mod keys;
mod list;
mod one;

use crate::{error::ApiError, state::Api};
use chrono::{DateTime, Utc};
use rollcall_schemas::{feed::CameraEntry, id::CameraId};
use rollcall_service::http::Problem;
use rollcall_store::{
    PgConnection,
    cameras::{self, Camera},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list::list_cameras, create::create_camera))
        .routes(routes!(one::get_camera, one::update_camera, one::delete_camera))
        .routes(routes!(keys::list_camera_keys, keys::create_camera_key))
        .routes(routes!(keys::revoke_camera_key))
        .routes(routes!(keys::rotate_camera_key))
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
pub(crate) fn entry(camera: &Camera, deleted: bool) -> CameraEntry {
    CameraEntry {
        camera_id: camera.id,
        revision: camera.revision.unsigned_abs(),
        name: camera.name.clone(),
        enabled: camera.enabled,
        deleted,
        max_frames_per_second: camera.max_frames_per_second.unsigned_abs(),
    }
}

#[cfg(test)]
mod tests;
