//! `GET /attendance/student/{id}`.

use super::AttendanceBody;
use crate::{
    extract::Caller,
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    state::Api,
    students,
};
use axum::extract::State;
use rollcall_schemas::id::UserId;
use rollcall_service::http::Path;
use rollcall_store::attendance_views;
use serde::Serialize;
use utoipa::ToSchema;

/// A page of the records of a student.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StudentAttendance {
    pub(super) attendance_history: Vec<AttendanceBody>,
}

/// List the records of a student, newest first; a teacher sees those in their own classes.
#[utoipa::path(
    get,
    path = "/api/v1/attendance/student/{id}",
    tag = "attendance",
    params(("id" = Uuid, Path, description = "The student"), PageParams),
    responses((status = 200, description = "A page of records", body = PageEnvelope<StudentAttendance>))
)]
pub(crate) async fn list_student_attendance(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<UserId>,
    listing: Listing,
) -> Reply<StudentAttendance> {
    let mut db = api.connection().await?;
    students::find(&mut db, id).await?;
    let found = attendance_views::of_student(&mut db, id, caller.as_teacher(), listing.page()).await?;
    let attendance_history = found.rows.into_iter().map(AttendanceBody::from).collect();
    Ok(listing.answer(StudentAttendance { attendance_history }, found.total))
}
