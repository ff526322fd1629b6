//! `GET /classes`.

use super::{ClassBody, ClassesData};
use crate::{
    extract::Caller,
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use rollcall_store::classes::{self, ClassFilter};
use serde::Deserialize;
use utoipa::IntoParams;

/// Which classes are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WantedClasses {
    /// Those in the archive, instead of those that are not.
    #[serde(default)]
    #[param(default = false)]
    archived: bool,
}

/// List classes, by name; a teacher sees their own.
#[utoipa::path(
    get,
    path = "/api/v1/classes",
    tag = "classes",
    params(PageParams, WantedClasses),
    responses((status = 200, description = "A page of classes", body = PageEnvelope<ClassesData>))
)]
pub(crate) async fn list_classes(
    State(api): State<Api>,
    caller: Caller,
    listing: Listing<WantedClasses>,
) -> Reply<ClassesData> {
    let filter = ClassFilter { teacher: caller.as_teacher(), archived: listing.filter.archived };
    let found = classes::list(&mut *api.connection().await?, filter, listing.page()).await?;
    let classes = found.rows.into_iter().map(ClassBody::from).collect();
    Ok(listing.answer(ClassesData { classes }, found.total))
}
