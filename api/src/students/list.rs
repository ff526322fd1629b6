//! `GET /students`.

use super::StudentBody;
use crate::{
    extract::Caller,
    listing::{Listing, PageParams},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use rollcall_schemas::role::Role;
use rollcall_service::http::SuccessEnvelope;
use rollcall_store::users::{self, UserFilter};
use serde::Serialize;
use utoipa::ToSchema;

/// A page of students.
#[derive(Serialize, ToSchema)]
pub(crate) struct StudentsData {
    students: Vec<StudentBody>,
}

/// List students, by name; a teacher sees those of their own classes.
#[utoipa::path(
    get,
    path = "/api/v1/students",
    tag = "students",
    params(PageParams),
    responses((status = 200, description = "A page of students", body = SuccessEnvelope<StudentsData>))
)]
pub(crate) async fn list_students(
    State(api): State<Api>,
    caller: Caller,
    listing: Listing,
) -> Reply<StudentsData> {
    let filter = UserFilter { role: Some(Role::Student), taught_by: caller.as_teacher() };
    let found = users::list(&mut *api.connection().await?, filter, listing.page()).await?;
    let students = found.rows.into_iter().map(StudentBody::from).collect();
    Ok(listing.answer(StudentsData { students }, found.total))
}
