//! `GET`, `PUT` and `DELETE /webhooks/{id}`.

use super::{WebhookBody, WebhookData, are_events, find, is_address, lock, sorted};
use crate::{
    audit::{Act, Audit},
    extract::Body,
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use garde::Validate;
use rollcall_schemas::id::WebhookId;
use rollcall_service::http::{Path, Success, SuccessEnvelope};
use rollcall_store::webhooks::{self, Webhook};
use serde::Deserialize;
use utoipa::ToSchema;

/// Read one webhook, without its secret.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/{id}",
    tag = "webhooks",
    params(("id" = Uuid, Path, description = "The webhook")),
    responses((status = 200, description = "The webhook", body = SuccessEnvelope<WebhookData>))
)]
pub(crate) async fn get_webhook(State(api): State<Api>, Path(id): Path<WebhookId>) -> Reply<WebhookData> {
    let webhook = find(&mut *api.connection().await?, id).await?.into();
    Ok(Success::ok(WebhookData { webhook }))
}

/// What changes about a webhook; what is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "enabled": true }))]
pub(crate) struct WebhookChange {
    /// Where it is sent to.
    #[garde(inner(custom(is_address)))]
    url: Option<String>,
    /// What people call it.
    #[garde(length(chars, min = 1, max = 200))]
    description: Option<String>,
    /// The types of facts that it is told; empty for all.
    #[garde(inner(custom(are_events)))]
    events: Option<Vec<String>>,
    /// Whether it is sent to. What happens while it is off is not sent afterwards, unless it is replayed.
    #[garde(skip)]
    enabled: Option<bool>,
}

/// Change a webhook, or switch it on again after it was given up.
#[utoipa::path(
    put,
    path = "/api/v1/webhooks/{id}",
    tag = "webhooks",
    params(("id" = Uuid, Path, description = "The webhook")),
    request_body = WebhookChange,
    responses((status = 200, description = "The webhook as changed", body = SuccessEnvelope<WebhookData>))
)]
pub(crate) async fn update_webhook(
    State(api): State<Api>,
    audit: Audit,
    Path(id): Path<WebhookId>,
    Body(change): Body<WebhookChange>,
) -> Reply<WebhookData> {
    let now = api.clock().now();
    let mut tx = api.begin().await?;
    let before = lock(&mut tx, id).await?;
    let enabled_at = match change.enabled {
        Some(true) if !before.is_on() => Some(now),
        Some(false) => None,
        _ => before.enabled_at,
    };
    let changed = Webhook {
        url: change.url.unwrap_or_else(|| before.url.clone()),
        description: change.description.unwrap_or_else(|| before.description.clone()),
        events: change.events.map_or_else(|| before.events.clone(), sorted),
        enabled_at,
        updated_at: now,
        ..before.clone()
    };
    webhooks::update(&mut tx, &changed).await?;
    let webhook = WebhookBody::from(find(&mut tx, id).await?);
    let before = WebhookBody::from(before);
    audit.record(&mut tx, Act::of("webhook.updated", id).before(&before).after(&webhook)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::ok(WebhookData { webhook }))
}

/// Delete a webhook. What was sent to it stays on record for a while.
#[utoipa::path(
    delete,
    path = "/api/v1/webhooks/{id}",
    tag = "webhooks",
    params(("id" = Uuid, Path, description = "The webhook")),
    responses((status = 200, description = "The webhook as it was", body = SuccessEnvelope<WebhookData>))
)]
pub(crate) async fn delete_webhook(
    State(api): State<Api>,
    audit: Audit,
    Path(id): Path<WebhookId>,
) -> Reply<WebhookData> {
    let mut tx = api.begin().await?;
    let webhook = WebhookBody::from(lock(&mut tx, id).await?);
    webhooks::delete(&mut tx, id, api.clock().now()).await?;
    audit.record(&mut tx, Act::of("webhook.deleted", id).before(&webhook)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::new(http::StatusCode::OK, "WEBHOOK_DELETED", WebhookData { webhook }))
}
