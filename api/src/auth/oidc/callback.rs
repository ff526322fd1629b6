//! `GET /auth/oidc/{provider}/callback`.

use super::account::resolve;
use crate::{
    audit::{Act, Audit},
    auth::{
        begin::{RefreshIn, SignedIn, begin},
        cookies,
        token::OpaqueToken,
    },
    error::ApiError,
    state::Api,
};
use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use axum_extra::extract::CookieJar;
use rollcall_schemas::code::Code;
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Query, Success, SuccessEnvelope};
use rollcall_store::provider_visits::{self, Return};
use serde::Deserialize;
use utoipa::IntoParams;

/// What the provider sends the browser back with. Providers add more, which says nothing to us.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Returned {
    /// What `start` sent along.
    state: Option<String>,
    /// What is exchanged for the identity.
    code: Option<String>,
    /// Why there is none.
    error: Option<String>,
}

/// Come back from an identity provider, signed in.
///
/// Sets the cookies of a sign-in, and goes on to the configured page; without one, answers as `login` does.
#[utoipa::path(
    get,
    path = "/api/v1/auth/oidc/{provider}/callback",
    tag = "auth",
    params(("provider" = String, Path, description = "The provider's name"), Returned),
    responses(
        (status = 200, description = "Signed in", body = SuccessEnvelope<SignedIn>),
        (status = 303, description = "Signed in; go on to the configured page"),
        (status = 401, description = "`AUTH_TOKEN_INVALID`: not what the provider was asked for; `AUTH_INVALID_CREDENTIALS`: it refused", body = ErrorEnvelope),
        (status = 403, description = "`AUTH_UNAUTHORIZED`: nobody here, and no account is made", body = ErrorEnvelope),
        (status = 409, description = "`CONFLICT`: the address belongs to another account", body = ErrorEnvelope),
    )
)]
pub(crate) async fn finish_oidc_sign_in(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(returned): Query<Returned>,
    jar: CookieJar,
    audit: Audit,
) -> Result<Response, ApiError> {
    let provider = api.providers().find(&name)?;
    let (state, browser) =
        returned.state.as_deref().map(OpaqueToken::of).zip(cookies::visit(&jar)).ok_or_else(stray)?;
    let (state_sha256, browser_sha256) = (&state.sha256(), &browser.sha256());
    let visit = Return { state_sha256, browser_sha256, provider: &name };
    let ended = provider_visits::end(&mut *api.connection().await?, visit, api.clock().now()).await?;
    let (nonce, pkce_verifier) = ended.ok_or_else(stray)?;
    let Some(code) = returned.code else {
        tracing::debug!(provider = name, error = returned.error, "an identity provider refused");
        return Err(
            Problem::new(Code::AuthInvalidCredentials, "the identity provider did not sign you in").into()
        );
    };
    // No connection is held while the provider is asked.
    let who = provider.identify(code, nonce, pkce_verifier).await?;
    let mut tx = api.begin().await?;
    let user = resolve(&api, &mut tx, &provider.config, who).await?;
    audit.by(user.id).record(&mut tx, Act::of("user.signed_in", user.id)).await?;
    let jar = cookies::without_visit(jar);
    let (jar, signed_in) = begin(&api, &mut tx, user, RefreshIn::Cookie, jar).await?;
    api.commit(tx, vec![]).await?;
    Ok(match &api.providers().after_sign_in {
        Some(page) => (jar, Redirect::to(page)).into_response(),
        None => (jar, Success::ok(signed_in)).into_response(),
    })
}

/// Not begun here, begun in another browser, taken too long, or come back before: which one is not said.
fn stray() -> Problem {
    Problem::new(
        Code::AuthTokenInvalid,
        "this sign-in was not begun in this browser, or took too long; start again",
    )
}
