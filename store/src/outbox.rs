//! Messages that leave with a transaction: written by it, published after it, then marked.
//!
//! This is how "ack after effect" holds through crashes. A handler commits its effects together with the messages that
//! follow from them; [`deliver`] publishes those of one cause, each under its own id, and marks them. If the process
//! dies in between, the cause is delivered again, or [`deliver_left_behind`] finds them. Publishing itself is the
//! caller's: this crate does not know the log.

use crate::StoreError;
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    fact::Fact,
    feed::FeedEntry,
    header::Headers,
    id::RequestId,
    outcome::Outcome,
    subject::{self, RequestKind, Subject},
};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A message to be published once its transaction is committed.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxMessage {
    /// The id it is published under.
    pub id: Uuid,
    /// Where it goes.
    pub subject: Subject,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Whether it is an entry of a last-value feed.
    pub is_feed: bool,
}

impl OutboxMessage {
    /// A fact.
    pub fn fact(fact: &Fact) -> Self {
        Self::json(fact.fact_id.0, fact.subject(), fact)
    }

    /// The answer to a request.
    pub fn outcome(outcome: &Outcome) -> Self {
        let id = Uuid::new_v5(&outcome.request_id.0, b"outcome");
        Self::json(id, subject::outcome(outcome.request_id), outcome)
    }

    /// A request of an api call that is not waited for.
    pub fn request(kind: RequestKind, id: RequestId, request: &impl Serialize) -> Self {
        Self::json(id.0, subject::request(kind), request)
    }

    /// An entry of a last-value feed.
    pub fn feed<T: FeedEntry>(entry: &T) -> Self {
        let name = format!("{}#{}", entry.key(), entry.revision());
        let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{}/{name}", T::STREAM.name()).as_bytes());
        Self { is_feed: true, ..Self::json(id, entry.subject(), entry) }
    }

    /// The same message with headers, such as the trace it belongs to.
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.headers.extend(headers.into_iter().map(|(name, value)| (name.to_owned(), value)));
        self
    }

    fn json(id: Uuid, subject: Subject, payload: &impl Serialize) -> Self {
        let payload = serde_json::to_vec(payload).expect("messages of the contract serialise");
        Self { id, subject, headers: BTreeMap::new(), payload, is_feed: false }
    }
}

/// Notes that the effects of `event_id` are being committed. `false` when they already were: then the caller changes
/// nothing and goes straight to [`deliver`].
///
/// # Errors
/// When the database does not do it.
pub async fn begin_handling(
    tx: &mut PgConnection,
    event_id: Uuid,
    handled_at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "INSERT INTO handled (event_id, handled_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        event_id,
        handled_at
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// [`begin_handling`] for many events: the ids of those whose effects are not committed yet.
///
/// # Errors
/// When the database does not do it.
pub async fn begin_handling_each(
    tx: &mut PgConnection,
    event_ids: &[Uuid],
    handled_at: DateTime<Utc>,
) -> Result<Vec<Uuid>, StoreError> {
    let begun = sqlx::query_scalar!(
        "INSERT INTO handled (event_id, handled_at)
         SELECT DISTINCT event_id, $2::timestamptz FROM UNNEST($1::uuid[]) AS event (event_id) ORDER BY event_id
         ON CONFLICT DO NOTHING RETURNING event_id",
        event_ids,
        handled_at
    );
    Ok(begun.fetch_all(tx).await?)
}

/// Adds `messages` to the transaction, in order, as consequences of `cause`. One that is already there stays as it is.
///
/// # Errors
/// When the database does not do it.
pub async fn enqueue(
    tx: &mut PgConnection,
    cause: Uuid,
    created_at: DateTime<Utc>,
    messages: &[OutboxMessage],
) -> Result<(), StoreError> {
    let messages: Vec<_> = messages.iter().map(|message| (cause, message.clone())).collect();
    enqueue_each(tx, created_at, &messages).await?;
    Ok(())
}

/// Adds messages to the transaction, in order, each as a consequence of its own cause, and returns the ids of those that
/// were not there already. After the commit these may be published without reading them again, apart from entries of
/// feeds, which [`deliver`] keeps in order; [`mark_published`] follows.
///
/// # Errors
/// When the database does not do it.
pub async fn enqueue_each(
    tx: &mut PgConnection,
    created_at: DateTime<Utc>,
    messages: &[(Uuid, OutboxMessage)],
) -> Result<Vec<Uuid>, StoreError> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let causes: Vec<Uuid> = messages.iter().map(|(cause, _)| *cause).collect();
    let ids: Vec<Uuid> = messages.iter().map(|(_, message)| message.id).collect();
    let subjects: Vec<String> = messages.iter().map(|(_, message)| message.subject.to_string()).collect();
    let headers: Vec<serde_json::Value> =
        messages.iter().map(|(_, message)| serde_json::json!(message.headers)).collect();
    let payloads: Vec<&[u8]> = messages.iter().map(|(_, message)| message.payload.as_slice()).collect();
    let feeds: Vec<bool> = messages.iter().map(|(_, message)| message.is_feed).collect();
    let added = sqlx::query_scalar!(
        "INSERT INTO outbox (id, cause, subject, headers, payload, is_feed, created_at)
         SELECT id, cause, subject, headers, payload, is_feed, $1
         FROM UNNEST($2::uuid[], $3::uuid[], $4::text[], $5::jsonb[], $6::bytea[], $7::boolean[])
             WITH ORDINALITY AS message (id, cause, subject, headers, payload, is_feed, place)
         ORDER BY place
         ON CONFLICT (id) DO NOTHING
         RETURNING id",
        created_at,
        &ids,
        &causes,
        &subjects,
        &headers,
        &payloads as &[&[u8]],
        &feeds
    );
    Ok(added.fetch_all(tx).await?)
}

/// Forgets what the outbox keeps of the entries of one subject of a feed, published or not: what comes next replaces them.
///
/// # Errors
/// When the database does not do it.
pub async fn forget_feed_entries(tx: &mut PgConnection, subject: &Subject) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM outbox WHERE is_feed AND subject = $1", subject.as_str()).execute(tx).await?;
    Ok(())
}

/// What went wrong between the outbox and the log.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError<E> {
    /// The database did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log did not take the message; it stays in the outbox.
    #[error("the log did not take a message")]
    Publish(#[source] E),
}

/// Publishes what `cause` left in the outbox, in order, and marks it. Returns how many messages there were.
///
/// # Errors
/// When the log does not take a message (it stays), or the database fails.
pub async fn deliver<E>(
    pool: &PgPool,
    cause: Uuid,
    publish: impl AsyncFnMut(OutboxMessage) -> Result<(), E>,
) -> Result<usize, DeliverError<E>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, subject, headers, payload, is_feed, position FROM outbox
         WHERE cause = $1 AND NOT published ORDER BY position",
        cause
    )
    .fetch_all(pool)
    .await
    .map_err(StoreError::from)?;
    publish_rows(pool, rows, publish).await
}

/// Publishes what crashes left in the outbox before `older_than`, at most `limit` messages. Safe beside [`deliver`]
/// and other processes: a message published twice is one message, by its id.
///
/// # Errors
/// When the log does not take a message (it stays), or the database fails.
pub async fn deliver_left_behind<E>(
    pool: &PgPool,
    older_than: DateTime<Utc>,
    limit: i64,
    publish: impl AsyncFnMut(OutboxMessage) -> Result<(), E>,
) -> Result<usize, DeliverError<E>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, subject, headers, payload, is_feed, position FROM outbox
         WHERE NOT published AND created_at < $1 ORDER BY created_at, position LIMIT $2",
        older_than,
        limit
    )
    .fetch_all(pool)
    .await
    .map_err(StoreError::from)?;
    publish_rows(pool, rows, publish).await
}

struct Row {
    id: Uuid,
    subject: String,
    headers: serde_json::Value,
    payload: Vec<u8>,
    is_feed: bool,
    position: i64,
}

async fn publish_rows<E>(
    pool: &PgPool,
    rows: Vec<Row>,
    mut publish: impl AsyncFnMut(OutboxMessage) -> Result<(), E>,
) -> Result<usize, DeliverError<E>> {
    let mut published = Vec::with_capacity(rows.len());
    let mut result = Ok(());
    for row in rows {
        let id = row.id;
        result = publish_row(pool, row, &mut publish).await;
        if result.is_err() {
            break;
        }
        published.push(id);
    }
    // Also when one failed: those before it are in the log, which knows their ids for a while only.
    mark_published(pool, &published).await?;
    result.map(|()| published.len())
}

async fn publish_row<E>(
    pool: &PgPool,
    row: Row,
    publish: &mut impl AsyncFnMut(OutboxMessage) -> Result<(), E>,
) -> Result<(), DeliverError<E>> {
    if row.is_feed {
        return publish_feed_entry(pool, row, publish).await;
    }
    publish(row.into_message()?).await.map_err(DeliverError::Publish)
}

/// Publishes one feed entry while holding the lock of its subject, and only if no newer one went before it: the log
/// keeps the last value it was given, so entries must arrive in order.
async fn publish_feed_entry<E>(
    pool: &PgPool,
    row: Row,
    publish: &mut impl AsyncFnMut(OutboxMessage) -> Result<(), E>,
) -> Result<(), DeliverError<E>> {
    let mut tx = pool.begin().await.map_err(StoreError::from)?;
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", row.subject)
        .execute(&mut *tx)
        .await
        .map_err(StoreError::from)?;
    let overtaken = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM outbox WHERE is_feed AND subject = $1 AND position > $2 AND published) AS "yes!""#,
        row.subject,
        row.position
    )
    .fetch_one(&mut *tx)
    .await
    .map_err(StoreError::from)?;
    if !overtaken {
        let id = row.id;
        publish(row.into_message()?).await.map_err(DeliverError::Publish)?;
        sqlx::query!("UPDATE outbox SET published = true WHERE id = $1", id)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::from)?;
    }
    tx.commit().await.map_err(StoreError::from)?;
    Ok(())
}

/// Marks messages as published, without waiting for the disk: a mark that a crash forgets costs one repeated publish,
/// which the log drops by its id, while an fsync for each would halve the rate of marks.
///
/// # Errors
/// When the database does not do it.
pub async fn mark_published(pool: &PgPool, ids: &[Uuid]) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    // One statement is one transaction, and the setting is read when it commits.
    sqlx::query!(
        "WITH quick AS (SELECT set_config('synchronous_commit', 'off', true))
         UPDATE outbox SET published = true FROM quick WHERE id = ANY($1)",
        ids
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Forgets at most `limit` messages that were published and created before `published_before`, and as many handled
/// events from before `handled_before`. Returns how many rows there were.
///
/// What is forgotten is no longer recognised when it comes again, so both times lie further back than anything that the
/// log can still deliver.
///
/// # Errors
/// When the database does not do it.
pub async fn purge(
    pool: &PgPool,
    published_before: DateTime<Utc>,
    handled_before: DateTime<Utc>,
    limit: i64,
) -> Result<u64, StoreError> {
    let published = sqlx::query!(
        "DELETE FROM outbox WHERE id IN
             (SELECT id FROM outbox WHERE published AND created_at < $1 ORDER BY created_at LIMIT $2)",
        published_before,
        limit
    )
    .execute(pool)
    .await?;
    let handled = sqlx::query!(
        "DELETE FROM handled WHERE event_id IN
             (SELECT event_id FROM handled WHERE handled_at < $1 ORDER BY handled_at LIMIT $2)",
        handled_before,
        limit
    )
    .execute(pool)
    .await?;
    Ok(published.rows_affected() + handled.rows_affected())
}

impl Row {
    fn into_message(self) -> Result<OutboxMessage, StoreError> {
        let headers = serde_json::from_value(self.headers)
            .map_err(|error| StoreError::Corrupt { table: "outbox", reason: error.to_string() })?;
        Ok(OutboxMessage {
            id: self.id,
            subject: Subject::from_stored(self.subject),
            headers,
            payload: self.payload,
            is_feed: self.is_feed,
        })
    }
}
