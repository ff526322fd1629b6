//! `POST /auth/logout`.

use super::{
    cookies,
    end::{end_one, is_known},
    refresh::{RefreshBody, presented_token},
};
use crate::{audit::Audit, error::ApiError, extract::OptionalBody, state::Api};
use axum::extract::State;
use axum_extra::extract::CookieJar;
use http::{HeaderMap, header::AUTHORIZATION};
use rollcall_schemas::id::{SignInId, UserId};
use rollcall_service::{
    auth::Principal,
    http::{ErrorEnvelope, Problem, Success, SuccessEnvelope},
};
use rollcall_store::sign_ins;
use serde::Serialize;
use utoipa::ToSchema;

/// What has been done.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignedOut {
    message: &'static str,
}

/// Sign out.
///
/// Ends the sign-in: its refresh token, and its access tokens before their time, here and at the front door for scans. The
/// sign-in is the one of the access token, of the refresh token in the body or in the cookie, or of all that are given.
/// Signing out again changes nothing. With the cookie the call needs the header `X-Requested-With`, of any value.
#[utoipa::path(
    post,
    path = "/api/v1/auth/logout",
    tag = "auth",
    request_body = Option<RefreshBody>,
    security((), ("refreshCookie" = [])),
    responses(
        (status = 200, description = "Signed out", body = SuccessEnvelope<SignedOut>),
        (status = 401, description = "`AUTH_TOKEN_INVALID` or `AUTH_TOKEN_EXPIRED`: nothing that says who", body = ErrorEnvelope),
        (status = 403, description = "`AUTH_UNAUTHORIZED`: the cookie without `X-Requested-With`", body = ErrorEnvelope),
    )
)]
pub(crate) async fn logout(
    State(api): State<Api>,
    jar: CookieJar,
    headers: HeaderMap,
    audit: Audit,
    OptionalBody(body): OptionalBody<RefreshBody>,
) -> Result<(CookieJar, Success<SignedOut>), ApiError> {
    let token = presented_token(body, &jar, &headers)?;
    let mut ended: Vec<(SignInId, UserId)> = Vec::new();
    if headers.contains_key(AUTHORIZATION) {
        match api.authenticator().authenticate(&headers) {
            Ok(Principal::User(user)) => ended.push((user.sign_in_id, user.user_id)),
            Ok(_) => return Err(Problem::forbidden("only users sign out; revoke an API key instead").into()),
            // An access token may have ended before its refresh token.
            Err(problem) if token.is_none() => return Err(problem.into()),
            Err(_) => {}
        }
    } else if token.is_none() {
        return Err(Problem::unauthenticated("an access token or a refresh token is needed").into());
    }
    let mut tx = api.begin().await?;
    if let Some(token) = token
        && let Some(presented) = sign_ins::present(&mut tx, &token.sha256()).await?
    {
        ended.push((presented.sign_in_id, presented.user_id));
    }
    if ended.is_empty() {
        audit.changed_nothing();
    }
    let mut messages = Vec::new();
    for (id, user) in &ended {
        messages.push(end_one(&api, &mut tx, &audit.by(*user), (*id, "signed out")).await?);
    }
    api.commit(tx, messages).await?;
    for (id, _) in ended {
        is_known(&api, id).await;
    }
    Ok((cookies::without_refresh(jar), Success::ok(SignedOut { message: "signed out" })))
}
