//! `POST /webhooks/{id}/ping` and `POST /webhooks/{id}/replay`: asked of the attendance worker, which sends.

use super::lock;
use crate::{
    ask::{Asked, IdempotencyKey, mismatched, trace_headers},
    audit::{Act, Audit},
    error::ApiError,
    extract::{Body, Caller},
    state::Api,
};
use axum::{
    extract::{FromRequestParts, State},
    response::{IntoResponse, Response},
};
use garde::Validate;
use rollcall_bus::Message;
use rollcall_schemas::{
    header::REQUEST_ID,
    id::WebhookId,
    outcome::{Answer, WebhookAnswer},
    request::{WebhookCommand, WebhookRequest},
    subject::{self, RequestKind},
};
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Success, SuccessEnvelope};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

/// Who asks, on record, and under which key.
#[derive(FromRequestParts)]
pub(crate) struct Asker {
    caller: Caller,
    audit: Audit,
    key: IdempotencyKey,
}

/// What is being sent.
#[derive(Serialize, ToSchema)]
pub(crate) struct SendingData {
    sending: WebhookAnswer,
}

/// Send something that means nothing, to see whether it arrives: the log of deliveries tells.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/ping",
    tag = "webhooks",
    params(
        ("id" = Uuid, Path, description = "The webhook"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats a call without repeating its effect"),
    ),
    responses(
        (status = 202, description = "It is being sent, or the answer is still to come", body = SuccessEnvelope<SendingData>),
        (status = 409, description = "`CONFLICT`: the webhook is switched off", body = ErrorEnvelope),
    )
)]
pub(crate) async fn ping_webhook(
    State(api): State<Api>,
    asker: Asker,
    Path(id): Path<WebhookId>,
) -> Result<Response, ApiError> {
    Wish { id, command: WebhookCommand::Ping, code: "WEBHOOK_PING_SENT", act: "webhook.pinged" }
        .ask(&api, &asker)
        .await
}

/// From where on things are sent again.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "since": 4711 }))]
pub(crate) struct ReplayBody {
    /// The last place in FACTS that the receiver has: what comes after it is sent. 0 for everything that there is.
    #[garde(range(max = i64::MAX.unsigned_abs()))]
    since: u64,
}

/// Send again what happened after a place in FACTS, as far as it is kept, and as far as the webhook wants it.
///
/// The receiver knows by `webhook-id` what it has already.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/replay",
    tag = "webhooks",
    params(
        ("id" = Uuid, Path, description = "The webhook"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats a call without repeating its effect"),
    ),
    request_body = ReplayBody,
    responses(
        (status = 202, description = "It is being sent, or the answer is still to come", body = SuccessEnvelope<SendingData>),
        (status = 409, description = "`CONFLICT`: the webhook is switched off", body = ErrorEnvelope),
    )
)]
pub(crate) async fn replay_webhook(
    State(api): State<Api>,
    asker: Asker,
    Path(id): Path<WebhookId>,
    Body(body): Body<ReplayBody>,
) -> Result<Response, ApiError> {
    let command = WebhookCommand::Replay { since: body.since };
    Wish { id, command, code: "WEBHOOK_REPLAY_STARTED", act: "webhook.replayed" }.ask(&api, &asker).await
}

/// Something that is asked of the worker.
struct Wish {
    id: WebhookId,
    command: WebhookCommand,
    code: &'static str,
    act: &'static str,
}

impl Wish {
    async fn ask(self, api: &Api, asker: &Asker) -> Result<Response, ApiError> {
        let Asker { caller, audit, key } = asker;
        let content = serde_json::to_vec(&(self.id, &self.command)).map_err(Problem::internal)?;
        let request_id = key.request_id(api, caller, RequestKind::Webhook.name(), &content);
        let mut tx = api.begin().await?;
        lock(&mut tx, self.id).await?;
        let wish = json!({ "requestId": request_id, "command": self.command });
        audit.record(&mut tx, Act::of(self.act, self.id).after(&wish)).await?;
        api.commit(tx, vec![]).await?;
        let request = WebhookRequest {
            request_id,
            requested_by: caller.id(),
            requested_at: api.clock().now(),
            webhook_id: self.id,
            command: self.command,
        };
        let mut headers = trace_headers();
        headers.push((REQUEST_ID, request_id.to_string()));
        let question = Message::json(subject::request(RequestKind::Webhook), request_id, &request)
            .map_err(Problem::internal)?
            .with_headers(headers);
        match api.ask(question, request_id).await? {
            Asked::Answered(Answer::Webhook(sending)) => {
                Ok(Success::accepted(self.code, SendingData { sending }).into_response())
            }
            Asked::Answered(_) => Err(mismatched()),
            Asked::Pending(pending) => Ok(pending.into_response()),
        }
    }
}
