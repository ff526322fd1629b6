//! `GET /user/attendance`.

use super::{AttendanceBody, student::StudentAttendance};
use crate::{
    extract::Caller,
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use rollcall_store::attendance_views;

/// List one's own records, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/user/attendance",
    tag = "attendance",
    params(PageParams),
    responses((status = 200, description = "A page of records", body = PageEnvelope<StudentAttendance>))
)]
pub(crate) async fn list_own_attendance(
    State(api): State<Api>,
    caller: Caller,
    listing: Listing,
) -> Reply<StudentAttendance> {
    let mut db = api.connection().await?;
    let found = attendance_views::of_student(&mut db, caller.id(), None, listing.page()).await?;
    let attendance_history = found.rows.into_iter().map(AttendanceBody::from).collect();
    Ok(listing.answer(StudentAttendance { attendance_history }, found.total))
}
