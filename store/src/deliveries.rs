//! Deliveries: one notification of one recipient by one channel, and what came of each attempt. Written by the attendance
//! worker only; what is gathered to be sent as one is in `digests`, and how sending to a webhook goes on the whole in
//! `webhook_sending`.

use crate::{
    StoreError,
    pages::{Page, Paged},
};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    id::{DeliveryId, GuardianId, UserId, WebhookId},
    notification::Channel,
};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use std::{collections::HashSet, ops::Range};
use uuid::Uuid;

/// Whom a delivery is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recipient {
    /// Somebody with an account.
    User(UserId),
    /// Somebody who is told of a student.
    Guardian(GuardianId),
    /// Another system.
    Webhook(WebhookId),
}

impl Recipient {
    /// The id, whatever it is of.
    pub fn id(self) -> Uuid {
        match self {
            Recipient::User(id) => id.0,
            Recipient::Guardian(id) => id.0,
            Recipient::Webhook(id) => id.0,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Recipient::User(_) => "user",
            Recipient::Guardian(_) => "guardian",
            Recipient::Webhook(_) => "webhook",
        }
    }

    pub(crate) fn read(kind: &str, id: Uuid) -> Result<Self, StoreError> {
        match kind {
            "user" => Ok(Recipient::User(id.into())),
            "guardian" => Ok(Recipient::Guardian(id.into())),
            "webhook" => Ok(Recipient::Webhook(id.into())),
            _ => Err(StoreError::corrupt("deliveries", "recipient_kind", kind)),
        }
    }
}

/// A delivery to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewDelivery {
    /// What causes it: a fact, a request, or what a digest is of.
    pub cause: Uuid,
    /// Which way it goes.
    pub channel: Channel,
    /// Whom it is for.
    pub recipient: Recipient,
    /// What it is about.
    pub topic: String,
    /// What is told: ids only.
    pub content: Value,
    /// The place of the fact in FACTS.
    pub sequence: Option<u64>,
    /// Whether it waits for a digest.
    pub is_gathered: bool,
    /// When it is sent.
    pub due_at: DateTime<Utc>,
}

impl NewDelivery {
    /// Its id: a function of cause, recipient and channel.
    pub fn id(&self) -> DeliveryId {
        DeliveryId::of(self.cause, self.recipient.id(), self.channel)
    }
}

/// A delivery that is being tried by whoever leased it.
#[derive(Clone, Debug, PartialEq)]
pub struct Leased {
    /// The id.
    pub id: DeliveryId,
    /// Which way it goes.
    pub channel: Channel,
    /// Whom it is for.
    pub recipient: Recipient,
    /// What it is about.
    pub topic: String,
    /// What is told.
    pub content: Value,
    /// The place of the fact in FACTS.
    pub sequence: Option<u64>,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    /// Which try this is since it was last sent for, from 1.
    pub tries: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When.
    pub at: DateTime<Utc>,
    /// HTTP status or SMTP reply code.
    pub code: Option<i32>,
    /// How long it took, in milliseconds.
    pub latency_ms: i32,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Where a delivery stands after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is tried again then.
    Waiting(DateTime<Utc>),
    /// It arrived.
    Delivered,
    /// It was given up.
    Failed,
    /// There is nobody any more to send it to.
    Cancelled,
}

impl Standing {
    fn as_str(self) -> &'static str {
        match self {
            Standing::Waiting(_) => "waiting",
            Standing::Delivered => "delivered",
            Standing::Failed => "failed",
            Standing::Cancelled => "cancelled",
        }
    }
}

/// A delivery as its log shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryView {
    /// The id.
    pub id: Uuid,
    /// What it is about.
    pub topic: String,
    /// The place of the fact in FACTS.
    pub sequence: Option<i64>,
    /// waiting, gathered, delivered, failed or cancelled.
    pub state: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it is tried next.
    pub due_at: DateTime<Utc>,
    /// When it was delivered or given up.
    pub settled_at: Option<DateTime<Utc>>,
    /// The attempts, oldest first: `[{attempt, at, code, latencyMs, failure}]`.
    pub log: Value,
}

/// What happens to a delivery that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It stays as it is: the same notification came again.
    Stays,
    /// It is sent again, unless it is just waiting.
    IsSentAgain,
}

/// Adds deliveries, each once. Returns how many are new, or are sent again.
///
/// # Errors
/// When the database does not do it.
pub async fn add(
    conn: &mut PgConnection,
    deliveries: &[NewDelivery],
    known: Known,
    at: DateTime<Utc>,
) -> Result<u64, StoreError> {
    // The log may hold a fact twice, and one statement does not change a row twice.
    let mut seen = HashSet::new();
    let deliveries: Vec<&NewDelivery> = deliveries.iter().filter(|it| seen.insert(it.id())).collect();
    if deliveries.is_empty() {
        return Ok(0);
    }
    let ids: Vec<Uuid> = deliveries.iter().map(|delivery| delivery.id().0).collect();
    let causes: Vec<Uuid> = deliveries.iter().map(|delivery| delivery.cause).collect();
    let channels: Vec<String> = deliveries.iter().map(|delivery| delivery.channel.to_string()).collect();
    let kinds: Vec<String> = deliveries.iter().map(|delivery| delivery.recipient.kind().to_owned()).collect();
    let recipients: Vec<Uuid> = deliveries.iter().map(|delivery| delivery.recipient.id()).collect();
    let topics: Vec<String> = deliveries.iter().map(|delivery| delivery.topic.clone()).collect();
    let contents: Vec<Value> = deliveries.iter().map(|delivery| delivery.content.clone()).collect();
    let sequences: Vec<Option<i64>> =
        deliveries.iter().map(|delivery| delivery.sequence.map(to_row)).collect();
    let gathered: Vec<bool> = deliveries.iter().map(|delivery| delivery.is_gathered).collect();
    let due: Vec<DateTime<Utc>> = deliveries.iter().map(|delivery| delivery.due_at).collect();
    // In order of ids, so that two processes that add the same ones do not wait for each other crosswise.
    let added = sqlx::query!(
        "INSERT INTO deliveries
             (id, cause, channel, recipient_kind, recipient_id, topic, content, sequence, state, due_at, created_at)
         SELECT id, cause, channel, kind, recipient, topic, content, sequence,
                CASE WHEN gathered THEN 'gathered' ELSE 'waiting' END, due_at, $12
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::jsonb[], $8::bigint[],
                     $9::boolean[], $10::timestamptz[])
             AS delivery (id, cause, channel, kind, recipient, topic, content, sequence, gathered, due_at)
         ORDER BY id
         ON CONFLICT (id) DO UPDATE SET state = 'waiting', due_at = excluded.due_at, tries = 0, settled_at = NULL
             WHERE $11 AND deliveries.settled_at IS NOT NULL",
        &ids,
        &causes,
        &channels,
        &kinds,
        &recipients,
        &topics,
        &contents,
        &sequences as &[Option<i64>],
        &gathered,
        &due,
        known == Known::IsSentAgain,
        at
    )
    .execute(conn)
    .await?;
    Ok(added.rows_affected())
}

struct LeasedRow {
    id: Uuid,
    channel: String,
    recipient_kind: String,
    recipient_id: Uuid,
    topic: String,
    content: Value,
    sequence: Option<i64>,
    attempts: i32,
    tries: i32,
    created_at: DateTime<Utc>,
}

impl TryFrom<LeasedRow> for Leased {
    type Error = StoreError;

    fn try_from(row: LeasedRow) -> Result<Self, StoreError> {
        let channel = Channel::parse(&row.channel);
        Ok(Self {
            id: row.id.into(),
            channel: channel.ok_or_else(|| StoreError::corrupt("deliveries", "channel", &row.channel))?,
            recipient: Recipient::read(&row.recipient_kind, row.recipient_id)?,
            topic: row.topic,
            content: row.content,
            sequence: row.sequence.map(i64::unsigned_abs),
            attempt: row.attempts,
            tries: row.tries,
            created_at: row.created_at,
        })
    }
}

/// Leases at most `limit` deliveries that are due, those first that have waited longest, and none for `busy` recipients:
/// nobody else tries them before the end of the lease, when they are due again unless [`settle`] says otherwise. What waits
/// for one webhook is not walked over to find what waits for others.
///
/// # Errors
/// When the database does not do it.
pub async fn lease(
    pool: &PgPool,
    lease: Range<DateTime<Utc>>,
    limit: i64,
    busy: &[Uuid],
) -> Result<Vec<Leased>, StoreError> {
    let leased = sqlx::query_as!(
        LeasedRow,
        "WITH to_people AS (
             SELECT id, due_at FROM deliveries
             WHERE state = 'waiting' AND recipient_kind <> 'webhook' AND due_at <= $1 AND recipient_id <> ALL ($4)
             ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED
         ), to_webhooks AS (
             SELECT due.id, due.due_at FROM webhooks w CROSS JOIN LATERAL (
                 SELECT id, due_at FROM deliveries
                 WHERE recipient_id = w.id AND recipient_kind = 'webhook' AND state = 'waiting' AND due_at <= $1
                 ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED
             ) AS due
             WHERE w.id <> ALL ($4)
         ), due AS (
             SELECT id, due_at FROM to_people UNION ALL SELECT id, due_at FROM to_webhooks ORDER BY due_at LIMIT $3
         )
         UPDATE deliveries SET due_at = $2, attempts = attempts + 1, tries = tries + 1
         WHERE id IN (SELECT id FROM due)
         RETURNING id, channel, recipient_kind, recipient_id, topic, content, sequence, attempts, tries, created_at",
        lease.start,
        lease.end,
        limit,
        busy
    );
    leased.fetch_all(pool).await?.into_iter().map(Leased::try_from).collect()
}

/// Records what came of the attempt that `leased` was for. `false` when somebody else has leased it meanwhile.
///
/// # Errors
/// When the database does not do it.
pub async fn settle(
    conn: &mut PgConnection,
    leased: &Leased,
    attempt: &Attempt,
    standing: Standing,
) -> Result<bool, StoreError> {
    let (due_at, settled_at) = match standing {
        Standing::Waiting(due_at) => (due_at, None),
        _ => (attempt.at, Some(attempt.at)),
    };
    let settled = sqlx::query!(
        "UPDATE deliveries SET state = $3, due_at = $4, settled_at = $5
         WHERE id = $1 AND attempts = $2 AND state = 'waiting'",
        leased.id.0,
        leased.attempt,
        standing.as_str(),
        due_at,
        settled_at
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO delivery_attempts (delivery_id, attempt, at, code, latency_ms, failure)
         VALUES ($1, $2, $3, $4, $5, $6)",
        leased.id.0,
        leased.attempt,
        attempt.at,
        attempt.code,
        attempt.latency_ms,
        attempt.failure
    )
    .execute(conn)
    .await?;
    Ok(settled.rows_affected() == 1)
}

/// A page of what was sent to a webhook, newest first, with every attempt.
///
/// # Errors
/// When the database does not answer.
pub async fn of_webhook(
    conn: &mut PgConnection,
    id: WebhookId,
    page: Page,
) -> Result<Paged<DeliveryView>, StoreError> {
    let total =
        sqlx::query_scalar!(r#"SELECT count(*) AS "total!" FROM deliveries WHERE recipient_id = $1"#, id.0)
            .fetch_one(&mut *conn)
            .await?;
    let rows = sqlx::query_as!(
        DeliveryView,
        r#"SELECT id, topic, sequence, state, attempts, created_at, due_at, settled_at,
                  coalesce((SELECT jsonb_agg(jsonb_build_object('attempt', attempt, 'at', at, 'code', code,
                                                                'latencyMs', latency_ms, 'failure', failure)
                                             ORDER BY attempt)
                            FROM delivery_attempts WHERE delivery_id = id), '[]') AS "log!"
           FROM deliveries WHERE recipient_id = $1 ORDER BY created_at DESC, id LIMIT $2 OFFSET $3"#,
        id.0,
        page.limit,
        page.offset
    );
    Ok(Paged { rows: rows.fetch_all(conn).await?, total })
}

/// Forgets at most `limit` deliveries that were settled before `before`, with their attempts. Returns how many.
///
/// # Errors
/// When the database does not do it.
pub async fn purge(pool: &PgPool, before: DateTime<Utc>, limit: i64) -> Result<u64, StoreError> {
    let purged = sqlx::query!(
        "DELETE FROM deliveries WHERE id IN
             (SELECT id FROM deliveries WHERE settled_at IS NOT NULL AND settled_at < $1 ORDER BY settled_at LIMIT $2)",
        before,
        limit
    )
    .execute(pool)
    .await?;
    Ok(purged.rows_affected())
}

/// Sequences are far below 2^63: a broker that stored a million facts a second would need 292,000 years.
pub(crate) fn to_row(sequence: u64) -> i64 {
    i64::try_from(sequence).expect("sequences fit 63 bits")
}
