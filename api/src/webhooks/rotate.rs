//! `POST /webhooks/{id}/rotate`.

use super::{WebhookBody, WebhookSecretData, draw_secret, lock};
use crate::{
    audit::{Act, Audit},
    extract::Body,
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use chrono::TimeDelta;
use garde::Validate;
use rollcall_schemas::id::WebhookId;
use rollcall_service::http::{Path, Success, SuccessEnvelope};
use rollcall_store::webhooks::{self, Webhook};
use serde::Deserialize;
use utoipa::ToSchema;

const DAY_S: u32 = 24 * 60 * 60;

/// How a secret is replaced.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "overlapSeconds": 3600 }))]
pub(crate) struct SecretRotation {
    /// How long the old secret signs beside the new one, in seconds; at most 30 days.
    #[garde(range(max = 30 * DAY_S))]
    #[serde(default = "a_day")]
    overlap_seconds: u32,
}

fn a_day() -> u32 {
    DAY_S
}

/// Replace the secret of a webhook. For a while both sign, so that the receiver can change over.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/rotate",
    tag = "webhooks",
    params(("id" = Uuid, Path, description = "The webhook")),
    request_body = SecretRotation,
    responses((status = 201, description = "Replaced", body = SuccessEnvelope<WebhookSecretData>))
)]
pub(crate) async fn rotate_webhook_secret(
    State(api): State<Api>,
    audit: Audit,
    Path(id): Path<WebhookId>,
    Body(rotation): Body<SecretRotation>,
) -> Reply<WebhookSecretData> {
    let now = api.clock().now();
    let (sealed, secret) = draw_secret(&api, id);
    let mut tx = api.begin().await?;
    let before = lock(&mut tx, id).await?;
    let until = now + TimeDelta::seconds(rotation.overlap_seconds.into());
    let previous = Some((before.secret.clone(), until));
    let rotated = Webhook { secret: sealed, previous, updated_at: now, ..before };
    webhooks::update(&mut tx, &rotated).await?;
    let webhook = WebhookBody::from(rotated);
    audit.record(&mut tx, Act::of("webhook.rotated", id).after(&webhook)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::created("WEBHOOK_SECRET_ROTATED", WebhookSecretData { webhook, secret }))
}
