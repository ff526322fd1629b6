//! `GET /sessions/class/{classId}`.

use super::SessionBody;
use crate::{
    classes,
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use rollcall_schemas::id::ClassId;
use rollcall_service::http::Path;
use rollcall_store::session_views;
use serde::Serialize;
use utoipa::ToSchema;

/// A page of sessions.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionsData {
    sessions: Vec<SessionBody>,
}

/// List the sessions of a class, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/sessions/class/{classId}",
    tag = "sessions",
    params(("classId" = Uuid, Path, description = "The class"), PageParams),
    responses((status = 200, description = "A page of sessions", body = PageEnvelope<SessionsData>))
)]
pub(crate) async fn list_sessions(
    State(api): State<Api>,
    Path(class_id): Path<ClassId>,
    listing: Listing,
) -> Reply<SessionsData> {
    let mut db = api.connection().await?;
    classes::find(&mut db, class_id).await?;
    let found = session_views::of_class(&mut db, class_id, listing.page()).await?;
    let sessions = found.rows.into_iter().map(SessionBody::from).collect();
    Ok(listing.answer(SessionsData { sessions }, found.total))
}
