//! `GET /admin/operators`.

use crate::{
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    state::Api,
    users::{UserBody, usable},
};
use axum::extract::State;
use rollcall_schemas::role::Role;
use rollcall_store::users::{self, UserFilter};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which operators are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WantedOperators {
    /// Those whose name or e-mail address has this in it, whatever the case; at most 200 characters.
    search: Option<String>,
}

/// A page of operators.
#[derive(Serialize, ToSchema)]
pub(crate) struct OperatorsData {
    operators: Vec<UserBody>,
}

/// List operators, by name.
#[utoipa::path(
    get,
    path = "/api/v1/admin/operators",
    tag = "admin",
    params(PageParams, WantedOperators),
    responses((status = 200, description = "A page of operators", body = PageEnvelope<OperatorsData>))
)]
pub(crate) async fn list_operators(
    State(api): State<Api>,
    listing: Listing<WantedOperators>,
) -> Reply<OperatorsData> {
    let search = usable(listing.filter.search.as_deref())?;
    let filter = UserFilter { role: Some(Role::Operator), search, ..UserFilter::default() };
    let found = users::list(&mut *api.connection().await?, filter, listing.page()).await?;
    let operators = found.rows.into_iter().map(UserBody::from).collect();
    Ok(listing.answer(OperatorsData { operators }, found.total))
}
