//! `POST /webhooks`.

use super::{WebhookBody, WebhookSecretData, are_events, draw_secret, is_address, sorted};
use crate::{
    audit::{Act, Audit},
    extract::Body,
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use garde::Validate;
use rollcall_schemas::{id::WebhookId, subject::Stream};
use rollcall_service::http::{Success, SuccessEnvelope};
use rollcall_store::webhooks::{self, Webhook};
use serde::Deserialize;
use utoipa::ToSchema;

/// A webhook to be made.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "url": "https://register.example/rollcall", "description": "Student register", "events": ["attendance.recorded", "attendance.corrected"] }))]
pub(crate) struct NewWebhook {
    /// Where it is sent to.
    #[garde(custom(is_address))]
    url: String,
    /// What people call it.
    #[garde(length(chars, min = 1, max = 200))]
    description: String,
    /// The types of facts that it is told; empty for all.
    #[garde(custom(are_events))]
    #[serde(default)]
    events: Vec<String>,
}

/// Make a webhook. The answer is the only one that ever holds its secret.
///
/// It is told what happens from now on; what happened before is sent by replaying it.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks",
    tag = "webhooks",
    request_body = NewWebhook,
    responses((status = 201, description = "Made", body = SuccessEnvelope<WebhookSecretData>))
)]
pub(crate) async fn create_webhook(
    State(api): State<Api>,
    audit: Audit,
    Body(new): Body<NewWebhook>,
) -> Reply<WebhookSecretData> {
    let id = WebhookId(api.entropy().uuid_v4());
    let (sealed, secret) = draw_secret(&api, id);
    let now = api.clock().now();
    let webhook = Webhook {
        id,
        url: new.url,
        description: new.description,
        events: sorted(new.events),
        secret: sealed,
        previous: None,
        after_sequence: api.bus().stream(Stream::Facts).await?.last_sequence,
        enabled_at: Some(now),
        failing_since: None,
        disabled_at: None,
        created_at: now,
        updated_at: now,
    };
    let mut tx = api.begin().await?;
    webhooks::create(&mut tx, &webhook).await?;
    let webhook = WebhookBody::from(webhook);
    audit.record(&mut tx, Act::of("webhook.created", id).after(&webhook)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::created("WEBHOOK_CREATED", WebhookSecretData { webhook, secret }))
}
