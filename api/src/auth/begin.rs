//! How every way of signing in ends: a sign-in is begun, with an access token and a refresh token.

use super::{cookies, token::OpaqueToken};
use crate::{error::ApiError, state::Api, users::UserBody};
use axum_extra::extract::CookieJar;
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::id::SignInId;
use rollcall_service::auth::Holder;
use rollcall_store::{
    PgConnection, sign_in_failures,
    sign_ins::{self, NewRefreshToken, NewSignIn},
    users::User,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How long a device is known that nobody signs in from.
pub(super) const DEVICE_LIFETIME_S: u32 = 180 * 24 * 60 * 60;

/// Where a client wants its refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RefreshIn {
    /// In a cookie that no script can read: for browsers.
    #[default]
    Cookie,
    /// In the body: for clients that keep no cookies.
    Body,
}

/// A token and whose it is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignedIn {
    /// The access token: a JWT signed with Ed25519, sent as `Authorization: Bearer`.
    token: String,
    /// The user.
    user: UserBody,
    /// Seconds until the token ends.
    expires_in: u32,
    /// The refresh token, for clients that asked for it in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

/// Begins a sign-in, and with cookies also makes the device a known one.
pub(super) async fn begin(
    api: &Api,
    tx: &mut PgConnection,
    user: User,
    refresh_in: RefreshIn,
    mut jar: CookieJar,
) -> Result<(CookieJar, SignedIn), ApiError> {
    let now = api.clock().now();
    let id = SignInId(api.entropy().uuid_v4());
    let refresh = OpaqueToken::draw(api.entropy());
    let sign_in = NewSignIn { id, user_id: user.id, created_at: now, expires_at: last_token_ends(api, now) };
    sign_ins::begin(tx, &sign_in, &new_refresh_token(api, &refresh, now)).await?;
    let refresh_token = match refresh_in {
        RefreshIn::Body => Some(refresh.reveal().to_owned()),
        RefreshIn::Cookie => {
            let device = device_of(api, tx, &user, &jar).await?;
            sign_in_failures::remember_device(tx, user.id, &device.sha256(), now).await?;
            jar = cookies::with_device(jar, &device, DEVICE_LIFETIME_S);
            jar = cookies::with_refresh(jar, &refresh, api.config().refresh_lifetime_s);
            None
        }
    };
    let expires_in = api.token_lifetime_s();
    let (token, _) = api.signer().issue_within(id, holder(&user, expires_in));
    tracing::info!(user_id = %user.id, sign_in_id = %id, "signed in");
    Ok((jar, SignedIn { token, user: user.into(), expires_in, refresh_token }))
}

pub(super) fn holder(user: &User, lifetime_s: u32) -> Holder<'_> {
    Holder { user_id: user.id, email: &user.email, role: user.role, lifetime_s }
}

/// The device's name if this person has signed in from it before, else a new one: a name that somebody else knows is not
/// taken.
async fn device_of(
    api: &Api,
    tx: &mut PgConnection,
    user: &User,
    jar: &CookieJar,
) -> Result<OpaqueToken, ApiError> {
    if let Some(device) = cookies::device(jar)
        && sign_in_failures::is_known_device(tx, user.id, &device.sha256()).await?
    {
        return Ok(device);
    }
    Ok(OpaqueToken::draw(api.entropy()))
}

pub(super) fn new_refresh_token(api: &Api, token: &OpaqueToken, now: DateTime<Utc>) -> NewRefreshToken {
    let lifetime = TimeDelta::seconds(api.config().refresh_lifetime_s.into());
    NewRefreshToken { token_sha256: token.sha256(), expires_at: now + lifetime }
}

/// When the last token of a sign-in ends that gets its tokens now.
pub(super) fn last_token_ends(api: &Api, now: DateTime<Utc>) -> DateTime<Utc> {
    let longest = api.config().refresh_lifetime_s.max(api.longest_token_lifetime_s());
    now + TimeDelta::seconds(longest.into())
}
