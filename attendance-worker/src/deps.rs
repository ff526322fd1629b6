//! What every handler works with, and how what follows from a transaction leaves it.

use crate::error::WorkError;
use rollcall_bus::{Bus, Delivery, Message, PublishError};
use rollcall_schemas::header::{self, Headers};
use rollcall_service::{
    clock::{Clock, Entropy},
    seal::Sealer,
};
use rollcall_store::{
    PgTransaction, Pool, Postgres, StoreError,
    outbox::{self, OutboxMessage},
};
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// The most times a decision is made again because another writer was quicker.
pub(crate) const MAX_CROSSINGS: usize = 10;

/// What the worker works with.
#[derive(Clone)]
pub struct Deps {
    /// The log.
    pub bus: Bus,
    /// The database, with at least [`crate::AttendanceConfig::connections`] connections.
    pub pool: Pool<Postgres>,
    /// The time: for what is due and when something was written, never for what a record says.
    pub clock: Clock,
    /// Where codes are drawn from.
    pub entropy: Entropy,
    /// Opens what the database keeps sealed.
    pub sealer: Sealer,
}

impl Deps {
    pub(crate) async fn begin(&self) -> Result<PgTransaction<'static>, StoreError> {
        Ok(self.pool.begin().await?)
    }

    /// Publishes what `cause` left in the outbox, in order, and marks it.
    pub(crate) async fn deliver(&self, cause: Uuid) -> Result<(), WorkError> {
        let bus = self.bus.clone();
        outbox::deliver(&self.pool, cause, move |message| publish(bus.clone(), message)).await?;
        Ok(())
    }
}

/// Publishes a message of the outbox. Its trace is the only header it has.
pub(crate) async fn publish(bus: Bus, message: OutboxMessage) -> Result<(), PublishError> {
    let OutboxMessage { id, subject, mut headers, payload, .. } = message;
    let trace = headers.remove(header::TRACEPARENT).map(|parent| (header::TRACEPARENT, parent));
    let message = Message::new(subject, id, payload).with_headers(trace.into_iter().collect());
    bus.publish(message).await.map(drop)
}

/// Reads a message of JSON.
pub(crate) fn read<T: DeserializeOwned>(delivery: &Delivery) -> Result<T, WorkError> {
    Ok(serde_json::from_slice(&delivery.payload)?)
}

/// Does `work` until no other writer has been quicker.
pub(crate) async fn until_uncrossed<T, F>(mut work: impl FnMut() -> F) -> Result<T, WorkError>
where
    F: Future<Output = Result<T, WorkError>>,
{
    for _ in 1..MAX_CROSSINGS {
        match work().await {
            Err(WorkError::Crossed) => {}
            result => return result,
        }
    }
    work().await
}

/// Messages as they leave, with the headers of the trace.
pub(crate) fn traced(messages: Vec<OutboxMessage>, headers: &Headers) -> Vec<OutboxMessage> {
    messages.into_iter().map(|message| message.with_headers(headers.clone())).collect()
}
