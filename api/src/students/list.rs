//! `GET /students`.

use super::StudentBody;
use crate::{
    extract::Caller,
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    state::Api,
    users::usable,
};
use axum::extract::State;
use rollcall_schemas::role::Role;
use rollcall_store::users::{self, UserFilter};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which students are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WantedStudents {
    /// Those whose name, e-mail address or roll number has this in it, whatever the case; at most 200 characters.
    search: Option<String>,
}

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
    params(PageParams, WantedStudents),
    responses((status = 200, description = "A page of students", body = PageEnvelope<StudentsData>))
)]
pub(crate) async fn list_students(
    State(api): State<Api>,
    caller: Caller,
    listing: Listing<WantedStudents>,
) -> Reply<StudentsData> {
    let search = usable(listing.filter.search.as_deref())?;
    let filter = UserFilter {
        role: Some(Role::Student),
        taught_by: caller.as_teacher(),
        search,
        ..UserFilter::default()
    };
    let found = users::list(&mut *api.connection().await?, filter, listing.page()).await?;
    let students = found.rows.into_iter().map(StudentBody::from).collect();
    Ok(listing.answer(StudentsData { students }, found.total))
}
