//! `GET /users`.

use super::UserBody;
use crate::{
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use rollcall_schemas::role::Role;
use rollcall_service::http::Problem;
use rollcall_store::users::{self, UserFilter};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// As long as a name may be.
const MAX_SEARCH: usize = 200;

/// Which people are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WantedUsers {
    /// Those of one role.
    role: Option<Role>,
    /// Those whose name, e-mail address or roll number has this in it, whatever the case; at most 200 characters.
    search: Option<String>,
    /// Those who were deleted and can be restored, instead of those who were not.
    #[serde(default)]
    #[param(default = false)]
    deleted: bool,
}

/// A page of people.
#[derive(Serialize, ToSchema)]
pub(crate) struct UsersData {
    users: Vec<UserBody>,
}

/// List people, by name: of a role, found by a part of their name, or deleted.
#[utoipa::path(
    get,
    path = "/api/v1/users",
    tag = "users",
    params(PageParams, WantedUsers),
    responses((status = 200, description = "A page of people", body = PageEnvelope<UsersData>))
)]
pub(crate) async fn list_users(State(api): State<Api>, listing: Listing<WantedUsers>) -> Reply<UsersData> {
    let WantedUsers { role, search, deleted } = &listing.filter;
    let filter =
        UserFilter { role: *role, search: usable(search.as_deref())?, deleted: *deleted, taught_by: None };
    let found = users::list(&mut *api.connection().await?, filter, listing.page()).await?;
    let users = found.rows.into_iter().map(UserBody::from).collect();
    Ok(listing.answer(UsersData { users }, found.total))
}

/// What to search for; an empty text finds everybody.
pub(crate) fn usable(search: Option<&str>) -> Result<Option<String>, Problem> {
    match search.map(str::trim) {
        Some(text) if text.chars().count() > MAX_SEARCH => {
            Err(Problem::validation([("search", format!("must be at most {MAX_SEARCH} characters"))]))
        }
        text => Ok(text.filter(|text| !text.is_empty()).map(str::to_owned)),
    }
}
