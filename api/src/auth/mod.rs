//! Signing in and out, registering, and what a caller is told of themselves. What is decided here and why:
//! `docs/adr/0010-sign-ins.md`.

mod begin;
mod cookies;
mod end;
mod invitations;
mod jwks;
mod lock;
mod login;
mod logout;
mod me;
mod oidc;
mod password;
mod refresh;
mod register;
mod sweep;
mod token;

pub(crate) use cookies::REFRESH as REFRESH_COOKIE;
pub(crate) use end::{end_everywhere, ended_entries};
pub(crate) use lock::Turns;
pub(crate) use oidc::Providers;
pub use oidc::{CreateAccounts, OidcConfig, OidcProvider};
pub(crate) use sweep::sweep;

use crate::state::Api;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(register::register))
        .routes(routes!(login::login))
        .routes(routes!(refresh::refresh_sign_in))
        .routes(routes!(logout::logout))
        .routes(routes!(invitations::create_invitation))
        .routes(routes!(password::change_password))
        .merge(oidc::routes())
        .routes(routes!(me::get_own_account))
        .routes(routes!(me::verify_access_token))
        .routes(routes!(jwks::list_signing_keys))
}

#[cfg(test)]
mod tests;
