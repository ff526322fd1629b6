//! When keys were used: what this process saw, and what `ingest` tells over the log, written many at a time.

use crate::{error::ApiError, state::Api};
use rollcall_bus::{ConsumerSpec, Delivery, HandleError, Handler};
use rollcall_schemas::{
    request::KeyUses,
    subject::{self, RequestKind, Stream},
};
use rollcall_store::{StoreError, api_keys};

/// The durable consumer of what `ingest` tells; several api processes share it.
const CONSUMER: &str = "api-key-uses";

/// Writes what `ingest` tells. The latest minute wins, so handling a message again changes nothing.
pub(crate) struct NoteKeyUses(pub(crate) Api);

impl NoteKeyUses {
    pub(crate) fn consumer() -> ConsumerSpec {
        let filter = Some(subject::request(RequestKind::KeyUses));
        ConsumerSpec { filter, ..ConsumerSpec::new(Stream::Requests, CONSUMER) }
    }
}

impl Handler for NoteKeyUses {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        let KeyUses { uses } = serde_json::from_slice(&delivery.payload).map_err(HandleError::reject)?;
        let note = async || -> Result<(), StoreError> {
            api_keys::note_uses(&mut *self.0.connection().await?, &uses).await
        };
        note().await.map_err(|error| match error {
            StoreError::Unavailable(_) => HandleError::unavailable(error),
            error => HandleError::retry(error),
        })
    }
}

/// Writes what this process saw since it was last asked.
pub(crate) async fn note_own_uses(api: &Api) -> Result<(), ApiError> {
    let uses = api.authenticator().take_key_uses();
    if !uses.is_empty() {
        api_keys::note_uses(&mut *api.connection().await?, &uses).await?;
    }
    Ok(())
}
