//! `PUT` and `DELETE /classes/{id}/cameras/{cameraId}`: which cameras look at a class.

use super::find_current;
use crate::{
    audit::{Act, Audit},
    cameras,
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use rollcall_schemas::id::{CameraId, ClassId};
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Success, SuccessEnvelope};
use rollcall_store::classes;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// The cameras of a class.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClassCamerasData {
    #[schema(value_type = Uuid)]
    class_id: ClassId,
    /// The cameras that look at it now.
    #[schema(value_type = Vec<Uuid>)]
    camera_ids: Vec<CameraId>,
}

/// Let a camera look at a class from now on.
#[utoipa::path(
    put,
    path = "/api/v1/classes/{id}/cameras/{cameraId}",
    tag = "classes",
    params(
        ("id" = Uuid, Path, description = "The class"),
        ("cameraId" = Uuid, Path, description = "The camera"),
    ),
    responses(
        (status = 200, description = "The cameras of the class", body = SuccessEnvelope<ClassCamerasData>),
        (status = 409, description = "`CONFLICT`: the class is archived", body = ErrorEnvelope),
    )
)]
pub(crate) async fn add_class_camera(
    State(api): State<Api>,
    audit: Audit,
    Path((class_id, camera_id)): Path<(ClassId, CameraId)>,
) -> Reply<ClassCamerasData> {
    let mut tx = api.begin().await?;
    find_current(&mut tx, class_id).await?;
    cameras::find(&mut tx, camera_id).await?;
    classes::add_camera(&mut tx, class_id, camera_id, api.clock().now()).await?;
    let added = json!({ "cameraId": camera_id });
    audit.record(&mut tx, Act::of("class.camera_added", class_id).after(&added)).await?;
    let camera_ids = classes::cameras(&mut tx, class_id).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::ok(ClassCamerasData { class_id, camera_ids }))
}

/// Take a camera away from a class from now on.
#[utoipa::path(
    delete,
    path = "/api/v1/classes/{id}/cameras/{cameraId}",
    tag = "classes",
    params(
        ("id" = Uuid, Path, description = "The class"),
        ("cameraId" = Uuid, Path, description = "The camera"),
    ),
    responses((status = 200, description = "The cameras of the class", body = SuccessEnvelope<ClassCamerasData>))
)]
pub(crate) async fn remove_class_camera(
    State(api): State<Api>,
    audit: Audit,
    Path((class_id, camera_id)): Path<(ClassId, CameraId)>,
) -> Reply<ClassCamerasData> {
    let mut tx = api.begin().await?;
    if !classes::remove_camera(&mut tx, class_id, camera_id, api.clock().now()).await? {
        return Err(Problem::not_found("camera of this class").into());
    }
    let removed = json!({ "cameraId": camera_id });
    audit.record(&mut tx, Act::of("class.camera_removed", class_id).before(&removed)).await?;
    let camera_ids = classes::cameras(&mut tx, class_id).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::ok(ClassCamerasData { class_id, camera_ids }))
}
