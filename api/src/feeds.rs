//! The feeds that are told from rows, CAMERAS, and of AUTH the API keys and the sign-ins that ended: what the log lacks, or
//! has otherwise, is told again. A person who lost their role or their account is known by the sign-ins that ended with it.
//!
//! In ordinary times the outbox keeps the two alike. This is for a log that was lost, or older than the database, and for
//! a database that was restored and is older than the log: whatever the rows say now gets a revision that everybody takes.

use crate::{api_keys, auth, cameras, error::ApiError, signing::Signing, state::Api};
use rollcall_bus::{Change, Feed};
use rollcall_schemas::{
    feed::{AuthEntry, CameraEntry, FeedEntry},
    id::{ApiKeyId, CameraId},
};
use rollcall_store::{
    PgTransaction, StoreError,
    api_keys::ApiKey,
    cameras::Camera,
    outbox::{self, OutboxMessage},
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// How long to wait before it is tried again, when the database or the log is away.
const RETRY: Duration = Duration::from_secs(1);

/// Compares at the start, and whenever a stream was made anew.
pub(crate) async fn keep_told(api: Api, keys: Feed<AuthEntry>, cameras: Feed<CameraEntry>) {
    let (mut key_changes, mut camera_changes) = (keys.subscribe(), cameras.subscribe());
    loop {
        keys.ready().await;
        cameras.ready().await;
        match tell_what_is_missing(&api, &keys, &cameras).await {
            Ok(0) => {}
            Ok(count) => tracing::warn!(count, "the log lacked entries of its feeds; they are told again"),
            Err(error) => {
                tracing::debug!(%error, "the feeds cannot be compared with the database yet");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        }
        tokio::select! {
            () = made_anew(&mut key_changes) => {}
            () = made_anew(&mut camera_changes) => {}
        }
        Signing::publish(&api).await;
    }
}

async fn made_anew<T: Clone>(changes: &mut Receiver<Change<T>>) {
    loop {
        match changes.recv().await {
            Ok(Change::Put(_)) => {}
            Ok(Change::Reset) | Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Returns how many entries were told.
async fn tell_what_is_missing(
    api: &Api,
    keys: &Feed<AuthEntry>,
    cameras: &Feed<CameraEntry>,
) -> Result<usize, ApiError> {
    // The feeds first: the rows are then at least as new, unless something was lost.
    let (keys, cameras) = (told(keys), told(cameras));
    let mut db = api.connection().await?;
    let missing_keys: Vec<ApiKeyId> = rollcall_store::api_keys::every(&mut db)
        .await?
        .iter()
        .filter(|key| key_to_tell(&keys, key).is_some())
        .map(|key| key.id)
        .collect();
    let missing_cameras: Vec<CameraId> = rollcall_store::cameras::every(&mut db)
        .await?
        .iter()
        .filter(|(camera, deleted)| camera_to_tell(&cameras, camera, *deleted).is_some())
        .map(|(camera, _)| camera.id)
        .collect();
    // That a sign-in ended never changes: it is known or it is not.
    let mut ended = auth::ended_entries(api, &mut db).await?;
    ended.retain(|entry| !keys.contains_key(&entry.key()));
    drop(db);
    if missing_keys.is_empty() && missing_cameras.is_empty() && ended.is_empty() {
        return Ok(0);
    }
    let mut tx = api.begin().await?;
    let mut messages = Vec::new();
    for entry in ended {
        messages.push(instead(&mut tx, &entry).await?);
    }
    for key in rollcall_store::api_keys::lock_each(&mut tx, &missing_keys).await? {
        let Some(entry) = key_to_tell(&keys, &key) else { continue };
        rollcall_store::api_keys::raise_revision(&mut tx, key.id, signed(entry.revision())).await?;
        messages.push(instead(&mut tx, &entry).await?);
    }
    for (camera, deleted) in rollcall_store::cameras::lock_each(&mut tx, &missing_cameras).await? {
        let Some(entry) = camera_to_tell(&cameras, &camera, deleted) else { continue };
        rollcall_store::cameras::raise_revision(&mut tx, camera.id, signed(entry.revision())).await?;
        messages.push(instead(&mut tx, &entry).await?);
    }
    let count = messages.len();
    api.commit(tx, messages).await?;
    Ok(count)
}

fn told<T: FeedEntry>(feed: &Feed<T>) -> HashMap<String, Arc<T>> {
    feed.snapshot().into_iter().map(|entry| (entry.key(), entry)).collect()
}

fn key_to_tell(told: &HashMap<String, Arc<AuthEntry>>, key: &ApiKey) -> Option<AuthEntry> {
    let entry = api_keys::entry(key);
    let revision = revision_to_tell(told, &entry, key.revoked_at.is_some())?;
    Some(AuthEntry { revision, ..entry })
}

fn camera_to_tell(
    told: &HashMap<String, Arc<CameraEntry>>,
    camera: &Camera,
    deleted: bool,
) -> Option<CameraEntry> {
    let entry = cameras::entry(camera, deleted);
    let revision = revision_to_tell(told, &entry, deleted)?;
    Some(CameraEntry { revision, ..entry })
}

/// The revision under which `entry` must be told, if it must.
fn revision_to_tell<T: FeedEntry + PartialEq>(
    told: &HashMap<String, Arc<T>>,
    entry: &T,
    is_tombstone: bool,
) -> Option<u64> {
    match told.get(&entry.key()) {
        None => (!is_tombstone).then(|| entry.revision()),
        Some(told) if **told == *entry => None,
        Some(told) => Some(entry.revision().max(told.revision() + 1)),
    }
}

/// The message of an entry, in the place of whatever the outbox keeps of its subject.
async fn instead<T: FeedEntry>(
    tx: &mut PgTransaction<'static>,
    entry: &T,
) -> Result<OutboxMessage, StoreError> {
    outbox::forget_feed_entries(tx, &entry.subject()).await?;
    Ok(OutboxMessage::feed(entry))
}

fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
