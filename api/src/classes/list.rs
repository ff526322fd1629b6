//! `GET /classes`.

use super::{ClassBody, ClassesData};
use crate::{
    extract::Caller,
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use rollcall_store::classes;

/// List classes, by name; a teacher sees their own.
#[utoipa::path(
    get,
    path = "/api/v1/classes",
    tag = "classes",
    params(PageParams),
    responses((status = 200, description = "A page of classes", body = PageEnvelope<ClassesData>))
)]
pub(crate) async fn list_classes(
    State(api): State<Api>,
    caller: Caller,
    listing: Listing,
) -> Reply<ClassesData> {
    let found = classes::list(&mut *api.connection().await?, caller.as_teacher(), listing.page()).await?;
    let classes = found.rows.into_iter().map(ClassBody::from).collect();
    Ok(listing.answer(ClassesData { classes }, found.total))
}
