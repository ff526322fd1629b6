//! `GET /api-keys`.

use super::{KeyBody, KeysData};
use crate::{
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use rollcall_store::api_keys;

/// List the API keys of integrations that were not revoked, oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/api-keys",
    tag = "api-keys",
    params(PageParams),
    responses((status = 200, description = "A page of keys", body = PageEnvelope<KeysData>))
)]
pub(crate) async fn list_api_keys(State(api): State<Api>, listing: Listing) -> Reply<KeysData> {
    let found = api_keys::of_integrations(&mut *api.connection().await?, listing.page()).await?;
    let api_keys = found.rows.into_iter().map(KeyBody::from).collect();
    Ok(listing.answer(KeysData { api_keys }, found.total))
}
