//! `GET /users`.

use super::UserBody;
use crate::{
    listing::{Listing, PageParams},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use rollcall_schemas::role::Role;
use rollcall_service::http::SuccessEnvelope;
use rollcall_store::users::{self, UserFilter};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which people are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ByRole {
    /// Those of one role.
    #[param(value_type = Option<String>)]
    role: Option<Role>,
}

/// A page of people.
#[derive(Serialize, ToSchema)]
pub(crate) struct UsersData {
    users: Vec<UserBody>,
}

/// List people, by name.
#[utoipa::path(
    get,
    path = "/api/v1/users",
    tag = "users",
    params(PageParams, ByRole),
    responses((status = 200, description = "A page of people", body = SuccessEnvelope<UsersData>))
)]
pub(crate) async fn list_users(State(api): State<Api>, listing: Listing<ByRole>) -> Reply<UsersData> {
    let filter = UserFilter { role: listing.filter.role, ..UserFilter::default() };
    let found = users::list(&mut *api.connection().await?, filter, listing.page()).await?;
    let users = found.rows.into_iter().map(UserBody::from).collect();
    Ok(listing.answer(UsersData { users }, found.total))
}
