//! `GET /users/classes` for teachers and `GET /users/enrollments` for students.

use crate::{
    classes::{ClassBody, ClassesData, EnrolmentBody},
    extract::Caller,
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use rollcall_store::{
    classes::{self, ClassFilter},
    enrolments,
};
use serde::Serialize;
use utoipa::ToSchema;

/// List the classes one teaches.
#[utoipa::path(
    get,
    path = "/api/v1/users/classes",
    tag = "users",
    params(PageParams),
    responses((status = 200, description = "A page of classes", body = PageEnvelope<ClassesData>))
)]
pub(crate) async fn list_own_classes(
    State(api): State<Api>,
    caller: Caller,
    listing: Listing,
) -> Reply<ClassesData> {
    let own = ClassFilter { teacher: Some(caller.id()), archived: false };
    let found = classes::list(&mut *api.connection().await?, own, listing.page()).await?;
    let classes = found.rows.into_iter().map(ClassBody::from).collect();
    Ok(listing.answer(ClassesData { classes }, found.total))
}

/// A page of enrolments.
#[derive(Serialize, ToSchema)]
pub(crate) struct EnrolmentsData {
    enrollments: Vec<EnrolmentBody>,
}

/// List the classes one is enrolled in.
#[utoipa::path(
    get,
    path = "/api/v1/users/enrollments",
    tag = "users",
    params(PageParams),
    responses((status = 200, description = "A page of enrolments", body = PageEnvelope<EnrolmentsData>))
)]
pub(crate) async fn list_own_enrolments(
    State(api): State<Api>,
    caller: Caller,
    listing: Listing,
) -> Reply<EnrolmentsData> {
    let found = enrolments::of_student(&mut *api.connection().await?, caller.id(), listing.page()).await?;
    let enrollments = found.rows.into_iter().map(EnrolmentBody::from).collect();
    Ok(listing.answer(EnrolmentsData { enrollments }, found.total))
}
