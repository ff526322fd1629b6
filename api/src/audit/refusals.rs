//! Refusals of authority on record: the api's own, and those that `ingest` tells over the log.

use crate::{error::ApiError, state::Api};
use rollcall_bus::{ConsumerSpec, Delivery, HandleError, Handler};
use rollcall_schemas::{
    request::{Refusal, Refusals, Refused},
    subject::{self, RequestKind, Stream},
};
use rollcall_service::refusals::TAKE_EVERY;
use rollcall_store::{
    StoreError,
    audit::{self, Actor, Details, Entry, Outcome, Target},
    outbox,
};
use serde_json::json;

/// The durable consumer of what `ingest` tells; several api processes share it.
const CONSUMER: &str = "api-refusals";

impl Api {
    /// Puts a refusal on record. The call is refused whether or not that succeeds.
    pub(crate) async fn record_refusal(&self, refusal: Refusal) {
        self.write_refusals(self.refusals().add(refusal)).await;
    }

    /// Writes the counts of past minutes until `stop`, and then what is left.
    pub(crate) async fn write_refusals_until(&self, stop: tokio_util::sync::CancellationToken) {
        let mut ticks = tokio::time::interval(TAKE_EVERY);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.write_refusals(self.refusals().take_over(self.clock().now())).await;
        }
        self.write_refusals(self.refusals().take_all()).await;
    }

    async fn write_refusals(&self, refusals: Vec<Refusal>) {
        if refusals.is_empty() {
            return;
        }
        let written = async {
            let mut tx = self.begin().await?;
            for refusal in &refusals {
                audit::append(&mut tx, &self.line_of(refusal)).await?;
            }
            tx.commit().await.map_err(StoreError::from)?;
            Ok::<_, ApiError>(())
        };
        if let Err(error) = written.await {
            let refusals: u32 = refusals.iter().map(|refusal| refusal.occurrences).sum();
            tracing::error!(%error, refusals, "refusals could not be put on record");
        }
    }

    fn line_of(&self, refusal: &Refusal) -> Entry {
        let mut details = json!({ "path": refusal.path, "reason": refusal.reason });
        if let Some(address) = refusal.address {
            details["address"] = json!(address);
        }
        Entry {
            at: refusal.at,
            actor: match refusal.caller {
                Refused::User(id) => Actor::User(id),
                Refused::ApiKey(id) => Actor::ApiKey(id),
                Refused::Nobody => Actor::Anonymous,
            },
            action: "access.refused".into(),
            outcome: Outcome::Refused,
            target: Target { kind: "route".into(), id: Some(refusal.route.clone()) },
            occurrences: refusal.occurrences,
            request_id: refusal.request_id.clone(),
            trace_id: refusal.trace_id.clone(),
            details: Some(Details::new(self.entropy().bytes(), &details)),
        }
    }
}

/// Puts on record what `ingest` refused, once however often it is told.
pub(crate) struct RecordRefusals(pub(crate) Api);

impl RecordRefusals {
    pub(crate) fn consumer() -> ConsumerSpec {
        let filter = Some(subject::request(RequestKind::Refusals));
        ConsumerSpec { filter, ..ConsumerSpec::new(Stream::Requests, CONSUMER) }
    }

    async fn record(&self, told: &Refusals) -> Result<(), StoreError> {
        let api = &self.0;
        let mut tx = api.begin().await?;
        if outbox::begin_handling(&mut tx, told.id, api.clock().now()).await? {
            for refusal in &told.refusals {
                audit::append(&mut tx, &api.line_of(refusal)).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }
}

impl Handler for RecordRefusals {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        let told = serde_json::from_slice(&delivery.payload).map_err(HandleError::reject)?;
        self.record(&told).await.map_err(|error| match error {
            StoreError::Unavailable(_) => HandleError::unavailable(error),
            error => HandleError::retry(error),
        })
    }
}
