//! Signing in with an identity provider (OpenID Connect): the list, the way there, the way back.

mod account;
mod callback;
mod config;
mod list;
mod provider;
mod start;

pub use config::{CreateAccounts, OidcConfig, OidcProvider};
pub(crate) use provider::Providers;

use crate::state::Api;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list::list_oidc_providers))
        .routes(routes!(start::start_oidc_sign_in))
        .routes(routes!(callback::finish_oidc_sign_in))
}

#[cfg(test)]
mod tests;
