//! `GET /auth/oidc`.

use crate::state::Api;
use axum::extract::State;
use rollcall_service::http::{Success, SuccessEnvelope};
use serde::Serialize;
use utoipa::ToSchema;

/// A provider to sign in with.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProviderBody {
    name: String,
    display_name: String,
    /// Where the browser goes to sign in.
    start: String,
}

/// The providers.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProvidersData {
    providers: Vec<ProviderBody>,
}

/// List the identity providers that one can sign in with.
#[utoipa::path(
    get,
    path = "/api/v1/auth/oidc",
    tag = "auth",
    responses((status = 200, description = "The providers", body = SuccessEnvelope<ProvidersData>))
)]
pub(crate) async fn list_oidc_providers(State(api): State<Api>) -> Success<ProvidersData> {
    let providers = api.providers().all().iter().map(|provider| ProviderBody {
        name: provider.config.name.clone(),
        display_name: provider.config.display_name.clone(),
        start: format!("/api/v1/auth/oidc/{}/start", provider.config.name),
    });
    Success::ok(ProvidersData { providers: providers.collect() })
}
