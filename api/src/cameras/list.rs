//! `GET /cameras`.

use super::CameraBody;
use crate::{
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use rollcall_store::cameras;
use serde::Serialize;
use utoipa::ToSchema;

/// A page of cameras.
#[derive(Serialize, ToSchema)]
pub(crate) struct CamerasData {
    cameras: Vec<CameraBody>,
}

/// List cameras, by name.
#[utoipa::path(
    get,
    path = "/api/v1/cameras",
    tag = "cameras",
    params(PageParams),
    responses((status = 200, description = "A page of cameras", body = PageEnvelope<CamerasData>))
)]
pub(crate) async fn list_cameras(State(api): State<Api>, listing: Listing) -> Reply<CamerasData> {
    let found = cameras::list(&mut *api.connection().await?, listing.page()).await?;
    let cameras = found.rows.into_iter().map(CameraBody::from).collect();
    Ok(listing.answer(CamerasData { cameras }, found.total))
}
