//! What administrators ask for a webhook: a ping, or what it missed.

use crate::{
    Deps,
    answers::{self, To},
    deps::{read, traced},
    error::WorkError,
    trace::Trace,
};
use rollcall_bus::{Delivery, HandleError, Handler};
use rollcall_schemas::{
    code::Code,
    frame::rfc3339,
    notification::Channel,
    outcome::{Answer, Refusal, WebhookAnswer},
    request::{WebhookCommand, WebhookRequest},
    subject::Stream,
};
use rollcall_store::{
    PgConnection, StoreError,
    deliveries::{self, Known, NewDelivery, Recipient},
    outbox::{self, OutboxMessage},
    webhook_sending::{self, Replay},
    webhooks::{self, Webhook},
};
use serde_json::json;
use tracing::Instrument;

/// The type of what means nothing.
const PING: &str = "webhook.ping";

/// Handles the requests of kind `webhook`.
pub(super) struct AskWebhook(pub(super) Deps);

impl Handler for AskWebhook {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        let span = tracing::info_span!("ask_webhook");
        let trace = Trace::take_up(&delivery, &span);
        let request: WebhookRequest = read(&delivery)?;
        async {
            self.ask(&request, &trace).await?;
            self.0.deliver(request.request_id.0).await
        }
        .instrument(span)
        .await?;
        Ok(())
    }
}

impl AskWebhook {
    async fn ask(&self, request: &WebhookRequest, trace: &Trace) -> Result<(), WorkError> {
        let now = self.0.clock.now();
        let mut tx = self.0.begin().await?;
        if outbox::begin_handling(&mut tx, request.request_id.0, now).await? {
            let to = To { request_id: request.request_id, caller: request.requested_by, decided_at: now };
            let outcome = match usable(&mut tx, request).await? {
                Ok(webhook) => {
                    to.succeeded(Answer::Webhook(self.carry_out(&mut tx, request, &webhook).await?))
                }
                Err(refusal) => to.failed(refusal),
            };
            let message = vec![OutboxMessage::outcome(&outcome)];
            outbox::enqueue(&mut tx, request.request_id.0, now, &traced(message, &trace.headers())).await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
        Ok(())
    }

    async fn carry_out(
        &self,
        tx: &mut PgConnection,
        request: &WebhookRequest,
        webhook: &Webhook,
    ) -> Result<WebhookAnswer, WorkError> {
        let now = self.0.clock.now();
        let answer = WebhookAnswer { webhook_id: webhook.id, delivery_id: None, until: None };
        match request.command {
            WebhookCommand::Ping => {
                let ping = ping(request, webhook);
                deliveries::add(tx, std::slice::from_ref(&ping), Known::Stays, now).await?;
                Ok(WebhookAnswer { delivery_id: Some(ping.id()), ..answer })
            }
            WebhookCommand::Replay { since } => {
                let last = self.0.bus.stream(Stream::Facts).await?.last_sequence;
                let id = request.request_id.0;
                let replay = Replay { id, webhook_id: webhook.id, next: since.saturating_add(1), last };
                if replay.next <= replay.last {
                    webhook_sending::begin_replay(tx, replay, now).await?;
                }
                Ok(WebhookAnswer { until: Some(last), ..answer })
            }
        }
    }
}

async fn usable(
    tx: &mut PgConnection,
    request: &WebhookRequest,
) -> Result<Result<Webhook, Refusal>, StoreError> {
    let details = json!({ "webhookId": request.webhook_id });
    Ok(match webhooks::find(tx, request.webhook_id).await? {
        None => Err(answers::refusal(Code::NotFound, "There is no such webhook.", details)),
        Some(webhook) if !webhook.is_on() => {
            let message = "The webhook is switched off: switch it on first.";
            Err(answers::refusal(Code::Conflict, message, details))
        }
        Some(webhook) => Ok(webhook),
    })
}

fn ping(request: &WebhookRequest, webhook: &Webhook) -> NewDelivery {
    NewDelivery {
        cause: request.request_id.0,
        channel: Channel::Webhook,
        recipient: Recipient::Webhook(webhook.id),
        topic: PING.to_owned(),
        content: json!({ "type": PING, "at": rfc3339(request.requested_at), "data": {} }),
        sequence: None,
        is_gathered: false,
        due_at: request.requested_at,
    }
}
