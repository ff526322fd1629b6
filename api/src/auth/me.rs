//! `GET /auth/me` and `GET /auth/verify`.

use crate::{
    extract::Caller,
    reply::Reply,
    state::Api,
    users::{UserBody, UserData, find},
};
use axum::extract::State;
use rollcall_service::http::{Success, SuccessEnvelope};
use serde::Serialize;
use utoipa::ToSchema;

/// Who am I?
#[utoipa::path(
    get,
    path = "/api/v1/auth/me",
    tag = "auth",
    responses((status = 200, description = "The caller", body = SuccessEnvelope<UserData>))
)]
pub(crate) async fn me(State(api): State<Api>, caller: Caller) -> Reply<UserData> {
    let user = find(&mut *api.connection().await?, caller.id()).await?;
    Ok(Success::ok(UserData { user: user.into() }))
}

/// A good token, and whose it is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Verified {
    /// Always true: a token that is not good is refused.
    valid: bool,
    /// The user.
    user: UserBody,
}

/// Is my token good?
#[utoipa::path(
    get,
    path = "/api/v1/auth/verify",
    tag = "auth",
    responses((status = 200, description = "It is", body = SuccessEnvelope<Verified>))
)]
pub(crate) async fn verify(State(api): State<Api>, caller: Caller) -> Reply<Verified> {
    let user = find(&mut *api.connection().await?, caller.id()).await?;
    Ok(Success::ok(Verified { valid: true, user: user.into() }))
}
