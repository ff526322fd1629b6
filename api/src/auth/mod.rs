//! Sign-in, and what a caller is told of themselves.

mod jwks;
mod login;
mod me;
mod rate;

pub(crate) use rate::SignInRates;

use crate::state::Api;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(login::login))
        .routes(routes!(me::me))
        .routes(routes!(me::verify))
        .routes(routes!(jwks::jwks))
}
