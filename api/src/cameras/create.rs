//! `POST /cameras`.

use super::{CameraBody, CameraData, entry};
use crate::{
    audit::{Act, Audit},
    extract::{Body, Caller},
    reply::Reply,
    state::Api,
    users,
};
use axum::extract::State;
use garde::Validate;
use rollcall_schemas::id::CameraId;
use rollcall_service::http::{ErrorEnvelope, Success, SuccessEnvelope};
use rollcall_store::{
    cameras::{self, NewCamera},
    outbox::OutboxMessage,
};
use serde::Deserialize;
use utoipa::ToSchema;

/// A camera to be added.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "name": "Room 12", "enabled": true, "maxFramesPerSecond": 10 }))]
pub(crate) struct NewCameraBody {
    /// What people call it, unique in the organisation.
    #[garde(length(chars, min = 1, max = 200))]
    name: String,
    /// Whether its frames are taken.
    #[garde(skip)]
    #[serde(default = "enabled_by_default")]
    enabled: bool,
    /// The most frames a second that are taken from it.
    #[garde(range(min = 1, max = 60))]
    #[serde(default = "ten_frames")]
    max_frames_per_second: i32,
}

fn enabled_by_default() -> bool {
    true
}

fn ten_frames() -> i32 {
    10
}

/// Add a camera.
#[utoipa::path(
    post,
    path = "/api/v1/cameras",
    tag = "cameras",
    request_body = NewCameraBody,
    responses(
        (status = 201, description = "Added", body = SuccessEnvelope<CameraData>),
        (status = 409, description = "`CONFLICT`: the name is taken", body = ErrorEnvelope),
    )
)]
pub(crate) async fn create_camera(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Body(new): Body<NewCameraBody>,
) -> Reply<CameraData> {
    let mut tx = api.begin().await?;
    let camera = NewCamera {
        id: CameraId(api.entropy().uuid_v4()),
        organisation_id: users::find(&mut tx, caller.id()).await?.organisation_id,
        name: new.name,
        enabled: new.enabled,
        max_frames_per_second: new.max_frames_per_second,
        created_at: api.clock().now(),
    };
    let camera = cameras::create(&mut tx, &camera).await?;
    let message = OutboxMessage::feed(&entry(&camera, false));
    let camera = CameraBody::from(camera);
    audit.record(&mut tx, Act::of("camera.created", camera.id).after(&camera)).await?;
    api.commit(tx, vec![message]).await?;
    Ok(Success::created("CAMERA_CREATED", CameraData { camera }))
}
