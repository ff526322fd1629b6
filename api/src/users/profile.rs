//! `GET` and `PUT /users/profile`.

use super::{UserBody, UserData, find};
use crate::{
    audit::{Act, Audit},
    extract::{Body, Caller},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use garde::Validate;
use rollcall_service::http::{ErrorEnvelope, Success, SuccessEnvelope};
use rollcall_store::users::{self, UserChange};
use serde::Deserialize;
use utoipa::ToSchema;

/// Read one's own profile.
#[utoipa::path(
    get,
    path = "/api/v1/users/profile",
    tag = "users",
    responses((status = 200, description = "The caller", body = SuccessEnvelope<UserData>))
)]
pub(crate) async fn get_profile(State(api): State<Api>, caller: Caller) -> Reply<UserData> {
    let user = find(&mut *api.connection().await?, caller.id()).await?;
    Ok(Success::ok(UserData { user: user.into() }))
}

/// What changes about oneself; what is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "fullName": "Tom T. Teacher" }))]
pub(crate) struct ProfileChange {
    /// The full name.
    #[garde(length(chars, min = 1, max = 200))]
    full_name: Option<String>,
    /// The e-mail address.
    #[garde(email, length(max = 254))]
    email: Option<String>,
}

/// Change one's own profile.
#[utoipa::path(
    put,
    path = "/api/v1/users/profile",
    tag = "users",
    request_body = ProfileChange,
    responses(
        (status = 200, description = "The caller as changed", body = SuccessEnvelope<UserData>),
        (status = 409, description = "`CONFLICT`: the e-mail address is taken", body = ErrorEnvelope),
    )
)]
pub(crate) async fn update_profile(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Body(change): Body<ProfileChange>,
) -> Reply<UserData> {
    let mut tx = api.begin().await?;
    let before = find(&mut tx, caller.id()).await?;
    let change = UserChange { full_name: change.full_name, email: change.email, ..UserChange::default() };
    users::update(&mut tx, caller.id(), &change, api.clock().now()).await?;
    let user = find(&mut tx, caller.id()).await?;
    if user.email != before.email {
        // Nobody but themselves says so.
        users::confirm_email(&mut tx, caller.id(), false).await?;
    }
    let (before, user) = (UserBody::from(before), UserBody::from(user));
    audit.record(&mut tx, Act::of("user.updated", caller.id()).before(&before).after(&user)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::ok(UserData { user }))
}
