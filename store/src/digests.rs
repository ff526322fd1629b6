//! What was gathered for somebody, to be sent as one. Written by the attendance worker only; a digest is then a delivery
//! like any other.

use crate::{StoreError, deliveries::Recipient};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

/// The people whose digest is due, each with the channel it goes by; at most `limit`.
///
/// # Errors
/// When the database does not answer.
pub async fn due(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Recipient>, StoreError> {
    let rows = sqlx::query!(
        "SELECT DISTINCT recipient_kind, recipient_id FROM deliveries
         WHERE state = 'gathered' AND due_at <= $1 ORDER BY recipient_id LIMIT $2",
        now,
        limit
    );
    let rows = rows.fetch_all(conn).await?;
    rows.iter().map(|row| Recipient::read(&row.recipient_kind, row.recipient_id)).collect()
}

/// A part of a digest.
#[derive(Clone, Debug, PartialEq)]
pub struct Gathered {
    /// What it is about.
    pub topic: String,
    /// What is told.
    pub content: Value,
    /// When the digest was to be sent.
    pub due_at: DateTime<Utc>,
}

/// Takes what was gathered for somebody and is due, oldest first: it counts as delivered with the digest that the
/// transaction adds.
///
/// # Errors
/// When the database does not do it.
pub async fn take_gathered(
    conn: &mut PgConnection,
    recipient: Recipient,
    now: DateTime<Utc>,
) -> Result<Vec<Gathered>, StoreError> {
    // Held in order of ids: of two processes one waits, and then finds nothing.
    let rows = sqlx::query_as!(
        Gathered,
        "WITH due AS (SELECT id FROM deliveries
                      WHERE recipient_id = $1 AND state = 'gathered' AND due_at <= $2 ORDER BY id FOR UPDATE),
              taken AS (UPDATE deliveries SET state = 'delivered', settled_at = $2 FROM due
                        WHERE deliveries.id = due.id RETURNING deliveries.id, topic, content, due_at, created_at)
         SELECT topic, content, due_at FROM taken ORDER BY created_at, id",
        recipient.id(),
        now
    );
    Ok(rows.fetch_all(conn).await?)
}
