//! Digests: what was gathered for somebody and is due becomes one delivery.

use super::letter::DIGEST;
use crate::{Deps, error::WorkError};
use chrono::{DateTime, Utc};
use rollcall_schemas::{id::DeliveryId, notification::Channel};
use rollcall_store::{
    StoreError,
    deliveries::{self, Known, NewDelivery, Recipient},
    digests::{self, Gathered},
};
use serde_json::{Value, json};

/// How many people's digests are made at a time.
const PEOPLE: i64 = 100;

/// Makes the digests that are due. Returns how many.
pub(super) async fn make_digests(deps: &Deps) -> Result<u64, WorkError> {
    let now = deps.clock.now();
    let mut db = deps.pool.acquire().await.map_err(StoreError::from)?;
    let people = digests::due(&mut db, now, PEOPLE).await?;
    drop(db);
    let mut made = 0;
    for recipient in people {
        let mut tx = deps.begin().await?;
        let gathered = digests::take_gathered(&mut tx, recipient, now).await?;
        if let Some(digest) = digest(recipient, &gathered, now) {
            made += deliveries::add(&mut tx, &[digest], Known::Stays, now).await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
    }
    Ok(made)
}

/// One delivery of all that was gathered, in the order in which it was.
fn digest(recipient: Recipient, gathered: &[Gathered], now: DateTime<Utc>) -> Option<NewDelivery> {
    let due_at = gathered.iter().map(|part| part.due_at).max()?;
    let parts: Vec<Value> =
        gathered.iter().map(|part| json!({ "topic": part.topic, "fact": part.content })).collect();
    // What came too late for one is another, even of the same hour.
    let first = gathered.first()?.content["factId"].as_str().unwrap_or_default().as_bytes().to_vec();
    let micros = due_at.timestamp_micros().to_be_bytes();
    let cause = DeliveryId::derive(&[DIGEST.as_bytes(), recipient.id().as_bytes(), &micros, &first]);
    Some(NewDelivery {
        cause: cause.0,
        channel: Channel::Email,
        recipient,
        topic: DIGEST.to_owned(),
        content: parts.into(),
        sequence: None,
        is_gathered: false,
        due_at: now,
    })
}
