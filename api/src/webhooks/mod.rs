//! Webhooks: addresses of other systems that are told what happens. Administered here; what is sent to them, and what came of
//! it, is the attendance worker's, which is asked to send something by itself or again.
//!
//! A secret is shown by the answer that makes it. It is kept sealed, as it must be known to sign.

mod ask;
mod create;
mod deliveries;
mod list;
mod one;
mod rotate;

use crate::{error::ApiError, state::Api};
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use rollcall_schemas::{fact::FactEvent, id::WebhookId};
use rollcall_service::http::Problem;
use rollcall_store::{
    PgConnection,
    webhooks::{self, Webhook},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The longest address that is kept.
const MAX_URL: usize = 2_000;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list::list_webhooks, create::create_webhook))
        .routes(routes!(one::get_webhook, one::update_webhook, one::delete_webhook))
        .routes(routes!(rotate::rotate_webhook_secret))
        .routes(routes!(ask::ping_webhook))
        .routes(routes!(ask::replay_webhook))
        .routes(routes!(deliveries::list_deliveries))
}

/// A webhook as the api shows one: without its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebhookBody {
    #[schema(value_type = Uuid)]
    id: WebhookId,
    /// Where it is sent to.
    url: String,
    /// What people call it.
    description: String,
    /// The types of facts that it is told; empty for all.
    events: Vec<String>,
    /// Whether it is switched on.
    enabled: bool,
    /// Since when every attempt has failed; null while the last one did not.
    failing_since: Option<DateTime<Utc>>,
    /// When it was given up; null while it is not, or after it was switched on again.
    disabled_at: Option<DateTime<Utc>>,
    /// Until when the secret before this one signs too; null when there is none.
    previous_secret_until: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Webhook> for WebhookBody {
    fn from(webhook: Webhook) -> Self {
        Self {
            id: webhook.id,
            enabled: webhook.is_on(),
            url: webhook.url,
            description: webhook.description,
            events: webhook.events,
            failing_since: webhook.failing_since,
            disabled_at: webhook.disabled_at,
            previous_secret_until: webhook.previous.map(|(_, until)| until),
            created_at: webhook.created_at,
            updated_at: webhook.updated_at,
        }
    }
}

/// One webhook.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookData {
    webhook: WebhookBody,
}

/// A webhook with its new secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookSecretData {
    webhook: WebhookBody,
    /// What its receiver verifies with. It is shown this once.
    secret: String,
}

/// A webhook that must exist.
async fn find(db: &mut PgConnection, id: WebhookId) -> Result<Webhook, ApiError> {
    Ok(webhooks::find(db, id).await?.ok_or_else(|| Problem::not_found("webhook"))?)
}

/// The same, held so that it stays as it is.
async fn lock(db: &mut PgConnection, id: WebhookId) -> Result<Webhook, ApiError> {
    Ok(webhooks::lock(db, id).await?.ok_or_else(|| Problem::not_found("webhook"))?)
}

/// A new secret of a webhook: as it is kept, and as its receiver gets it.
fn draw_secret(api: &Api, id: WebhookId) -> (Vec<u8>, String) {
    let secret: [u8; 32] = api.entropy().bytes();
    let sealed = api.deps().sealer.seal(id.0.as_bytes(), &secret, api.entropy());
    (sealed, format!("whsec_{}", BASE64_STANDARD.encode(secret)))
}

/// Refuses what can never be sent to. Where a name leads is only known when something is sent.
fn is_address(url: &str, (): &()) -> garde::Result {
    let refused = |reason: &str| Err(garde::Error::new(reason));
    if url.len() > MAX_URL {
        return refused("is too long");
    }
    match reqwest::Url::parse(url) {
        Ok(url) if !matches!(url.scheme(), "https" | "http") || !url.has_host() => {
            refused("must begin with https://, or with http:// in a network of one's own")
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            refused("must hold no user and no password: the receiver knows us by our signature")
        }
        Ok(_) => Ok(()),
        Err(_) => refused("must be an address, such as https://register.example/rollcall"),
    }
}

fn are_events(events: &[String], (): &()) -> garde::Result {
    match events.iter().find(|event| !FactEvent::NAMES.contains(&event.as_str())) {
        Some(unknown) => Err(garde::Error::new(format!(
            "{unknown} is no type of event; known: {}",
            FactEvent::NAMES.join(", ")
        ))),
        None => Ok(()),
    }
}

/// Each type once, in order.
fn sorted(mut events: Vec<String>) -> Vec<String> {
    events.sort_unstable();
    events.dedup();
    events
}

#[cfg(test)]
mod tests;
