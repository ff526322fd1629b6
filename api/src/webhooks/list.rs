//! `GET /webhooks`.

use super::WebhookBody;
use crate::{
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use rollcall_store::webhooks;
use serde::Serialize;
use utoipa::ToSchema;

/// A page of webhooks.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhooksData {
    webhooks: Vec<WebhookBody>,
}

/// List the webhooks, oldest first, without their secrets.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks",
    tag = "webhooks",
    params(PageParams),
    responses((status = 200, description = "A page of webhooks", body = PageEnvelope<WebhooksData>))
)]
pub(crate) async fn list_webhooks(State(api): State<Api>, listing: Listing) -> Reply<WebhooksData> {
    let found = webhooks::list(&mut *api.connection().await?, listing.page()).await?;
    let webhooks = found.rows.into_iter().map(WebhookBody::from).collect();
    Ok(listing.answer(WebhooksData { webhooks }, found.total))
}
