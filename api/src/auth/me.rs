//! `GET /auth/me` and `GET /auth/verify`.

use crate::{
    extract::Caller,
    reply::Reply,
    state::Api,
    users::{UserData, find},
};
use axum::extract::State;
use rollcall_schemas::{id::UserId, role::Role};
use rollcall_service::{
    auth::User,
    http::{Problem, Success, SuccessEnvelope},
};
use serde::Serialize;
use utoipa::ToSchema;

/// Who am I?
#[utoipa::path(
    get,
    path = "/api/v1/auth/me",
    tag = "auth",
    responses((status = 200, description = "The caller", body = SuccessEnvelope<UserData>))
)]
pub(crate) async fn get_own_account(State(api): State<Api>, caller: Caller) -> Reply<UserData> {
    let user = find(&mut *api.connection().await?, caller.id()).await?;
    Ok(Success::ok(UserData { user: user.into() }))
}

/// A good token, and whose it is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Verified {
    /// Always true: a token that is not good is refused.
    valid: bool,
    /// The user.
    user: Holder,
}

/// Whose a token is, by its own claims.
#[derive(Serialize, ToSchema)]
#[schema(as = TokenHolder)]
struct Holder {
    #[schema(value_type = Uuid)]
    id: UserId,
    email: String,
    /// `admin`, `operator`, `teacher` or `student`.
    role: Role,
}

/// Is my token good?
///
/// Answered from the token and what is known of keys and ended sign-ins: nothing is read for it, so other services can ask
/// it for each of their own calls. `GET /auth/me` tells how the account stands.
#[utoipa::path(
    get,
    path = "/api/v1/auth/verify",
    tag = "auth",
    responses((status = 200, description = "It is", body = SuccessEnvelope<Verified>))
)]
pub(crate) async fn verify_access_token(caller: Caller) -> Reply<Verified> {
    let Caller::User(User { user_id: id, email, role, .. }) = caller else {
        return Err(Problem::forbidden("this is not for API keys: sign in as a user").into());
    };
    Ok(Success::ok(Verified { valid: true, user: Holder { id, email, role } }))
}
