//! `GET /attendance/session/{id}`.

use super::AttendanceBody;
use crate::{
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    sessions,
    state::Api,
};
use axum::extract::State;
use rollcall_schemas::id::SessionId;
use rollcall_service::http::Path;
use rollcall_store::attendance_views;
use serde::Serialize;
use utoipa::ToSchema;

/// A page of the records of a session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionAttendance {
    attendance_records: Vec<AttendanceBody>,
}

/// List the records of a session, by the students' names.
#[utoipa::path(
    get,
    path = "/api/v1/attendance/session/{id}",
    tag = "attendance",
    params(("id" = Uuid, Path, description = "The session"), PageParams),
    responses((status = 200, description = "A page of records", body = PageEnvelope<SessionAttendance>))
)]
pub(crate) async fn list_session_attendance(
    State(api): State<Api>,
    Path(id): Path<SessionId>,
    listing: Listing,
) -> Reply<SessionAttendance> {
    let mut db = api.connection().await?;
    sessions::find(&mut db, id).await?;
    let found = attendance_views::of_session(&mut db, id, listing.page()).await?;
    let attendance_records = found.rows.into_iter().map(AttendanceBody::from).collect();
    Ok(listing.answer(SessionAttendance { attendance_records }, found.total))
}
