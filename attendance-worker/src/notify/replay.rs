//! What is sent to a webhook again: facts of FACTS from a place on, some at a time.

use super::tell::{Told, wants};
use crate::{Deps, error::WorkError};
use rollcall_schemas::subject::Stream;
use rollcall_store::{
    StoreError,
    deliveries::{self, Known},
    webhook_sending::{self, Replay},
    webhooks,
};

/// How many places of FACTS are looked at in one go.
const PLACES: u64 = 200;

/// Goes on with the oldest replay that nobody else is working on. Returns how many facts are sent again.
pub(super) async fn advance(deps: &Deps) -> Result<u64, WorkError> {
    let now = deps.clock.now();
    let mut tx = deps.begin().await?;
    let Some(replay) = webhook_sending::lock_replay(&mut tx).await? else { return Ok(0) };
    let Some(webhook) = webhooks::find(&mut tx, replay.webhook_id).await?.filter(webhooks::Webhook::is_on)
    else {
        // Nobody listens any more.
        webhook_sending::advance_replay(&mut tx, Replay { next: replay.last + 1, ..replay }).await?;
        tx.commit().await.map_err(StoreError::from)?;
        return Ok(0);
    };
    // What has left the log cannot be sent again.
    let first = deps.bus.stream(Stream::Facts).await?.first_sequence.max(replay.next);
    let end = first.saturating_add(PLACES).min(replay.last + 1);
    let mut again = Vec::new();
    for sequence in first..end {
        let Some(delivery) = deps.bus.get(Stream::Facts, sequence).await? else { continue };
        match Told::read(&delivery) {
            Ok(told) if wants(&webhook, told.fact.event.name()) => again.push(told.to_webhook(&webhook, now)),
            Ok(_) => {}
            // Whoever tells of it for the first time parks it.
            Err(error) => tracing::warn!(sequence, kind = ?error.classify(), "a fact cannot be read"),
        }
    }
    let sent = deliveries::add(&mut tx, &again, Known::IsSentAgain, now).await?;
    webhook_sending::advance_replay(&mut tx, Replay { next: end.max(first), ..replay }).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(sent)
}
