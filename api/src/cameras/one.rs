//! `GET`, `PUT` and `DELETE /cameras/{id}`.

use super::{CameraBody, CameraData, entry, find};
use crate::{
    api_keys::{self, KeyBody},
    audit::{Act, Audit},
    extract::Body,
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use garde::Validate;
use rollcall_schemas::id::CameraId;
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Success, SuccessEnvelope};
use rollcall_store::{
    api_keys as keys,
    cameras::{self, CameraChange},
    outbox::OutboxMessage,
    pages::Page,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// More keys than a camera has; the list has pages.
const KEYS_SHOWN: i64 = 100;

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
    let keys = keys::of_camera(&mut db, id, Page { limit: KEYS_SHOWN, offset: 0 }).await?;
    let keys = keys.rows.into_iter().map(KeyBody::from).collect();
    Ok(Success::ok(CameraDetail { camera: camera.into(), keys }))
}

/// What changes about a camera; what is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "enabled": false }))]
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
    responses(
        (status = 200, description = "The camera as changed", body = SuccessEnvelope<CameraData>),
        (status = 409, description = "`CONFLICT`: the name is taken", body = ErrorEnvelope),
    )
)]
pub(crate) async fn update_camera(
    State(api): State<Api>,
    audit: Audit,
    Path(id): Path<CameraId>,
    Body(change): Body<CameraChangeBody>,
) -> Reply<CameraData> {
    let change = CameraChange {
        name: change.name,
        enabled: change.enabled,
        max_frames_per_second: change.max_frames_per_second,
    };
    let mut tx = api.begin().await?;
    let before = CameraBody::from(find(&mut tx, id).await?);
    let camera = cameras::update(&mut tx, id, &change).await?.ok_or_else(|| Problem::not_found("camera"))?;
    let message = OutboxMessage::feed(&entry(&camera, false));
    let camera = CameraBody::from(camera);
    audit.record(&mut tx, Act::of("camera.updated", id).before(&before).after(&camera)).await?;
    api.commit(tx, vec![message]).await?;
    Ok(Success::ok(CameraData { camera }))
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
pub(crate) async fn delete_camera(
    State(api): State<Api>,
    audit: Audit,
    Path(id): Path<CameraId>,
) -> Reply<CameraData> {
    let now = api.clock().now();
    let mut tx = api.begin().await?;
    let camera = cameras::delete(&mut tx, id, now).await?.ok_or_else(|| Problem::not_found("camera"))?;
    let revoked = keys::revoke_those_of(&mut tx, id, now).await?;
    let mut messages = vec![OutboxMessage::feed(&entry(&camera, true))];
    messages.extend(revoked.iter().map(|key| OutboxMessage::feed(&api_keys::entry(key))));
    let camera = CameraBody::from(camera);
    audit.record(&mut tx, Act::of("camera.deleted", id).before(&camera)).await?;
    api.commit(tx, messages).await?;
    Ok(Success::new(http::StatusCode::OK, "CAMERA_DELETED", CameraData { camera }))
}
