//! `GET /auth/oidc/{provider}/start`.

use super::provider::Secrets;
use crate::{
    auth::{cookies, token::OpaqueToken},
    error::ApiError,
    state::Api,
};
use axum::{extract::State, response::Redirect};
use axum_extra::extract::CookieJar;
use chrono::TimeDelta;
use rollcall_service::http::Path;
use rollcall_store::provider_visits::{self, Visit};

/// How long somebody may take to sign in at the provider.
const VISIT_S: u32 = 10 * 60;

/// Sign in with an identity provider: sends the browser there.
#[utoipa::path(
    get,
    path = "/api/v1/auth/oidc/{provider}/start",
    tag = "auth",
    params(("provider" = String, Path, description = "The provider's name")),
    responses((status = 303, description = "Go to the provider"))
)]
pub(crate) async fn start_oidc_sign_in(
    State(api): State<Api>,
    Path(name): Path<String>,
    jar: CookieJar,
) -> Result<(CookieJar, Redirect), ApiError> {
    let provider = api.providers().find(&name)?;
    let [state, browser, nonce, verifier] = std::array::from_fn(|_| OpaqueToken::draw(api.entropy()));
    let secrets = Secrets { state: state.reveal(), nonce: nonce.reveal(), pkce_verifier: verifier.reveal() };
    let there = provider.address(&secrets).await?;
    let visit = Visit {
        state_sha256: state.sha256(),
        browser_sha256: browser.sha256(),
        provider: name,
        nonce: nonce.reveal().to_owned(),
        pkce_verifier: verifier.reveal().to_owned(),
        expires_at: api.clock().now() + TimeDelta::seconds(VISIT_S.into()),
    };
    provider_visits::begin(&mut *api.connection().await?, &visit).await?;
    Ok((cookies::with_visit(jar, &browser, VISIT_S), Redirect::to(&there)))
}
