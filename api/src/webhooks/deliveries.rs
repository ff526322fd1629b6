//! `GET /webhooks/{id}/deliveries`.

use super::find;
use crate::{
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use chrono::{DateTime, Utc};
use rollcall_schemas::id::WebhookId;
use rollcall_service::http::{Path, Problem};
use rollcall_store::deliveries::{self, DeliveryView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Something that was sent, or is to be.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryBody {
    /// What the receiver knows it by: `webhook-id`.
    id: Uuid,
    /// The type of the fact, or `webhook.ping`.
    event: String,
    /// The place of the fact in FACTS; null for a ping.
    sequence: Option<i64>,
    /// `waiting`, `delivered`, `failed` (given up) or `cancelled` (nobody wanted it any more).
    state: String,
    created_at: DateTime<Utc>,
    /// When it is tried next; null when it is not.
    next_attempt_at: Option<DateTime<Utc>>,
    /// When it was delivered or given up.
    settled_at: Option<DateTime<Utc>>,
    /// Oldest first.
    attempts: Vec<AttemptBody>,
}

/// What came of an attempt.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttemptBody {
    /// From 1.
    attempt: i32,
    at: DateTime<Utc>,
    /// The status that was answered; null where there was no answer.
    code: Option<i32>,
    /// How long it took.
    latency_ms: i32,
    /// Why it failed; null where it did not.
    failure: Option<String>,
}

/// A page of deliveries.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeliveriesData {
    deliveries: Vec<DeliveryBody>,
}

/// List what was sent to a webhook, newest first, with every attempt.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/{id}/deliveries",
    tag = "webhooks",
    params(("id" = Uuid, Path, description = "The webhook"), PageParams),
    responses((status = 200, description = "A page of deliveries", body = PageEnvelope<DeliveriesData>))
)]
pub(crate) async fn list_deliveries(
    State(api): State<Api>,
    Path(id): Path<WebhookId>,
    listing: Listing,
) -> Reply<DeliveriesData> {
    let mut db = api.connection().await?;
    find(&mut db, id).await?;
    let found = deliveries::of_webhook(&mut db, id, listing.page()).await?;
    let deliveries = found.rows.into_iter().map(body).collect::<Result<_, _>>().map_err(Problem::internal)?;
    Ok(listing.answer(DeliveriesData { deliveries }, found.total))
}

fn body(view: DeliveryView) -> Result<DeliveryBody, serde_json::Error> {
    Ok(DeliveryBody {
        id: view.id,
        event: view.topic,
        sequence: view.sequence,
        state: view.state,
        created_at: view.created_at,
        next_attempt_at: view.settled_at.is_none().then_some(view.due_at),
        settled_at: view.settled_at,
        attempts: serde_json::from_value(view.log)?,
    })
}
