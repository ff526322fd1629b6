//! `POST /auth/refresh`.

use super::{
    begin::{holder, last_token_ends, new_refresh_token},
    cookies,
    end::end_one,
    token::OpaqueToken,
};
use crate::{
    audit::{Act, Audit},
    error::ApiError,
    extract::OptionalBody,
    state::Api,
    users,
};
use axum::extract::State;
use axum_extra::extract::CookieJar;
use chrono::{DateTime, TimeDelta, Utc};
use garde::Validate;
use http::HeaderMap;
use rollcall_schemas::code::Code;
use rollcall_service::http::{ErrorEnvelope, Problem, Success, SuccessEnvelope};
use rollcall_store::sign_ins::{self, Presented};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Tabs of one browser, and retries of one client, present the same token within moments: that is no theft.
const RACE: TimeDelta = TimeDelta::seconds(10);

/// For clients that keep no cookies.
#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "refreshToken": "as login gave it" }))]
pub(crate) struct RefreshBody {
    /// The refresh token. Browsers send it in a cookie.
    #[garde(length(min = 1, max = 100))]
    pub(super) refresh_token: Option<String>,
}

/// A new access token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refreshed {
    /// The access token.
    token: String,
    /// Seconds until it ends.
    expires_in: u32,
    /// The next refresh token, for clients that sent theirs in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

/// Stay signed in.
///
/// Exchanges the refresh token for a new one and an access token. A refresh token is good once: one that is presented again
/// later was stolen, and ends the whole sign-in. Presented again within seconds it is a race of the same client: refused
/// (`CONFLICT`), and the sign-in goes on with the token that the first call got.
///
/// With the cookie the call needs the header `X-Requested-With`, of any value.
#[utoipa::path(
    post,
    path = "/api/v1/auth/refresh",
    tag = "auth",
    request_body = Option<RefreshBody>,
    security((), ("refreshCookie" = [])),
    responses(
        (status = 200, description = "Refreshed", body = SuccessEnvelope<Refreshed>),
        (status = 401, description = "`AUTH_TOKEN_INVALID` or `AUTH_TOKEN_EXPIRED`: no refresh token, or not good any more", body = ErrorEnvelope),
        (status = 403, description = "`AUTH_UNAUTHORIZED`: the cookie without `X-Requested-With`", body = ErrorEnvelope),
        (status = 409, description = "`CONFLICT`: used a moment ago", body = ErrorEnvelope),
    )
)]
pub(crate) async fn refresh_sign_in(
    State(api): State<Api>,
    jar: CookieJar,
    headers: HeaderMap,
    audit: Audit,
    OptionalBody(body): OptionalBody<RefreshBody>,
) -> Result<(CookieJar, Success<Refreshed>), ApiError> {
    let in_body = body.refresh_token.is_some();
    let used = presented_token(body, &jar, &headers)?.ok_or_else(none_presented)?;
    let mut tx = api.begin().await?;
    let now = api.clock().now();
    let presented = sign_ins::present(&mut tx, &used.sha256()).await?.ok_or_else(unknown)?;
    match judge(&presented, now) {
        Verdict::Good => {}
        Verdict::Ended => return Err(ended().into()),
        Verdict::Raced => {
            return Err(
                Problem::conflict("the refresh token was exchanged just now: use its successor").into()
            );
        }
        Verdict::Stolen => {
            let Presented { sign_in_id, user_id, .. } = presented;
            tracing::warn!(%sign_in_id, %user_id, "a used refresh token came back; the sign-in is ended");
            let why = "a used refresh token came back";
            let message = end_one(&api, &mut tx, &audit, (sign_in_id, why)).await?;
            api.commit(tx, vec![message]).await?;
            return Err(ended().into());
        }
    }
    let user = users::find(&mut tx, presented.user_id).await?;
    let next = OpaqueToken::draw(api.entropy());
    let new = new_refresh_token(&api, &next, now);
    sign_ins::rotate(&mut tx, &used.sha256(), now, &new, last_token_ends(&api, now)).await?;
    audit.by(user.id).record(&mut tx, Act::of("sign_in.refreshed", presented.sign_in_id)).await?;
    api.commit(tx, vec![]).await?;
    let expires_in = api.token_lifetime_s();
    let (token, _) = api.signer().issue_within(presented.sign_in_id, holder(&user, expires_in));
    let refresh_token = in_body.then(|| next.reveal().to_owned());
    let jar = if in_body { jar } else { cookies::with_refresh(jar, &next, api.config().refresh_lifetime_s) };
    Ok((jar, Success::ok(Refreshed { token, expires_in, refresh_token })))
}

/// The refresh token of a call: in the body, or else in the cookie.
pub(super) fn presented_token(
    body: RefreshBody,
    jar: &CookieJar,
    headers: &HeaderMap,
) -> Result<Option<OpaqueToken>, Problem> {
    match body.refresh_token {
        Some(text) => Ok(Some(OpaqueToken::of(&text))),
        None => cookies::refresh(jar, headers),
    }
}

/// What to make of a refresh token.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Ended,
    Raced,
    Stolen,
}

fn judge(presented: &Presented, now: DateTime<Utc>) -> Verdict {
    match presented.used_at {
        _ if presented.ended_at.is_some() || presented.expires_at <= now => Verdict::Ended,
        None => Verdict::Good,
        Some(used_at) if now <= used_at + RACE => Verdict::Raced,
        Some(_) => Verdict::Stolen,
    }
}

fn none_presented() -> Problem {
    Problem::unauthenticated("a refresh token is needed, in the cookie or as refreshToken in the body")
}

fn unknown() -> Problem {
    Problem::new(Code::AuthTokenInvalid, "the refresh token is not one of ours; sign in again")
}

fn ended() -> Problem {
    Problem::new(Code::AuthTokenExpired, "the sign-in has ended; sign in again")
}
