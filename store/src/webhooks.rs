//! Webhooks: addresses of other systems that are told what happens. Written by the api only; how sending to them goes is the
//! attendance worker's, in [`crate::webhook_sending`].

use crate::{
    StoreError,
    pages::{Page, Paged},
};
use chrono::{DateTime, Utc};
use rollcall_schemas::id::WebhookId;
use sqlx::PgConnection;
use std::fmt;
use uuid::Uuid;

/// A webhook. Its secrets are sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The id.
    pub id: WebhookId,
    /// Where it is sent to.
    pub url: String,
    /// What people call it.
    pub description: String,
    /// Types of facts; empty for all.
    pub events: Vec<String>,
    /// What is signed with, sealed.
    pub secret: Vec<u8>,
    /// The one before, and until when it signs too.
    pub previous: Option<(Vec<u8>, DateTime<Utc>)>,
    /// It is told what comes after this place in FACTS.
    pub after_sequence: u64,
    /// Since when it is switched on.
    pub enabled_at: Option<DateTime<Utc>>,
    /// Since when every attempt has failed.
    pub failing_since: Option<DateTime<Utc>>,
    /// When sending to it was given up, unless it was switched on since then.
    pub disabled_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Webhook {
    /// Whether it is sent to.
    pub fn is_on(&self) -> bool {
        self.enabled_at.is_some() && self.disabled_at.is_none()
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({})", self.id)
    }
}

struct Row {
    id: Uuid,
    url: String,
    description: String,
    events: Vec<String>,
    secret: Vec<u8>,
    previous_secret: Option<Vec<u8>>,
    previous_secret_until: Option<DateTime<Utc>>,
    after_sequence: i64,
    enabled_at: Option<DateTime<Utc>>,
    failing_since: Option<DateTime<Utc>>,
    disabled_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for Webhook {
    fn from(row: Row) -> Self {
        // What was before it was switched on is over.
        let since_on = |at: &DateTime<Utc>| row.enabled_at.is_none_or(|enabled_at| *at >= enabled_at);
        Self {
            id: row.id.into(),
            url: row.url,
            description: row.description,
            events: row.events,
            secret: row.secret,
            previous: row.previous_secret.zip(row.previous_secret_until),
            after_sequence: row.after_sequence.unsigned_abs(),
            enabled_at: row.enabled_at,
            failing_since: row.failing_since.filter(since_on),
            disabled_at: row.disabled_at.filter(since_on),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

macro_rules! select_webhooks {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT id, url, description, events, secret, previous_secret, previous_secret_until, after_sequence,
                    enabled_at, failing_since AS "failing_since?", disabled_at AS "disabled_at?", created_at, updated_at
             FROM webhooks LEFT JOIN webhook_health ON webhook_id = id "# + $rest,
            $($argument),*
        )
    };
}

/// Adds a webhook.
///
/// # Errors
/// When the database does not do it.
pub async fn create(conn: &mut PgConnection, webhook: &Webhook) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO webhooks (id, url, description, events, secret, after_sequence, enabled_at, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        webhook.id.0,
        webhook.url,
        webhook.description,
        &webhook.events,
        webhook.secret,
        i64::try_from(webhook.after_sequence).unwrap_or(i64::MAX),
        webhook.enabled_at,
        webhook.created_at,
        webhook.updated_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A page of the webhooks, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut PgConnection, page: Page) -> Result<Paged<Webhook>, StoreError> {
    let total = sqlx::query_scalar!(r#"SELECT count(*) AS "total!" FROM webhooks WHERE deleted_at IS NULL"#)
        .fetch_one(&mut *conn)
        .await?;
    let rows = select_webhooks!(
        "WHERE deleted_at IS NULL ORDER BY created_at, id LIMIT $1 OFFSET $2",
        page.limit,
        page.offset
    );
    Ok(Paged { rows: rows.fetch_all(conn).await?.into_iter().map(Webhook::from).collect(), total })
}

/// The webhooks that are sent to.
///
/// # Errors
/// When the database does not answer.
pub async fn listening(conn: &mut PgConnection) -> Result<Vec<Webhook>, StoreError> {
    let rows =
        select_webhooks!("WHERE deleted_at IS NULL AND enabled_at IS NOT NULL ORDER BY created_at, id");
    Ok(rows.fetch_all(conn).await?.into_iter().map(Webhook::from).filter(Webhook::is_on).collect())
}

/// A webhook that was not deleted.
///
/// # Errors
/// When the database does not answer.
pub async fn find(conn: &mut PgConnection, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
    let row = select_webhooks!("WHERE id = $1 AND deleted_at IS NULL", id.0);
    Ok(row.fetch_optional(conn).await?.map(Webhook::from))
}

/// The same, held so that it stays as it is.
///
/// # Errors
/// When the database does not answer.
pub async fn lock(conn: &mut PgConnection, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
    let row = select_webhooks!("WHERE id = $1 AND deleted_at IS NULL FOR UPDATE OF webhooks", id.0);
    Ok(row.fetch_optional(conn).await?.map(Webhook::from))
}

/// Puts the webhook of that id as given.
///
/// # Errors
/// When the database does not do it.
pub async fn update(conn: &mut PgConnection, webhook: &Webhook) -> Result<(), StoreError> {
    let (previous, until) = webhook.previous.clone().unzip();
    sqlx::query!(
        "UPDATE webhooks SET url = $2, description = $3, events = $4, secret = $5, previous_secret = $6,
                previous_secret_until = $7, enabled_at = $8, updated_at = $9
         WHERE id = $1",
        webhook.id.0,
        webhook.url,
        webhook.description,
        &webhook.events,
        webhook.secret,
        previous,
        until,
        webhook.enabled_at,
        webhook.updated_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes a webhook. Its secrets go; what was sent to it stays on record.
///
/// # Errors
/// When the database does not do it.
pub async fn delete(conn: &mut PgConnection, id: WebhookId, at: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE webhooks SET deleted_at = $2, secret = '', previous_secret = NULL, previous_secret_until = NULL
         WHERE id = $1",
        id.0,
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}
