//! How sending to webhooks goes: whether they answer, and what is being sent to them again. Written by the attendance
//! worker only; the webhooks themselves are in `webhooks`, what is sent to them in `deliveries`.

use crate::{StoreError, deliveries::to_row};
use chrono::{DateTime, Utc};
use rollcall_schemas::id::WebhookId;
use sqlx::PgConnection;
use uuid::Uuid;

/// Notes that a webhook answered.
///
/// # Errors
/// When the database does not do it.
pub async fn answered(conn: &mut PgConnection, id: WebhookId) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE webhook_health SET failing_since = NULL WHERE webhook_id = $1 AND failing_since IS NOT NULL",
        id.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that a webhook, switched on at `enabled_at`, failed. Returns since when every attempt has.
///
/// # Errors
/// When the database does not do it.
pub async fn failed(
    conn: &mut PgConnection,
    id: WebhookId,
    enabled_at: Option<DateTime<Utc>>,
    at: DateTime<Utc>,
) -> Result<DateTime<Utc>, StoreError> {
    let since = sqlx::query_scalar!(
        r#"INSERT INTO webhook_health (webhook_id, failing_since) VALUES ($1, $2)
           ON CONFLICT (webhook_id) DO UPDATE SET failing_since =
               CASE WHEN webhook_health.failing_since >= $3 THEN webhook_health.failing_since ELSE $2 END
           RETURNING failing_since AS "since!""#,
        id.0,
        at,
        enabled_at
    );
    Ok(since.fetch_one(conn).await?)
}

/// Gives a webhook up, until it is switched on again. `false` when it already was since `enabled_at`.
///
/// # Errors
/// When the database does not do it.
pub async fn disable(
    conn: &mut PgConnection,
    id: WebhookId,
    enabled_at: Option<DateTime<Utc>>,
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let disabled = sqlx::query!(
        "UPDATE webhook_health SET disabled_at = $2
         WHERE webhook_id = $1 AND (disabled_at IS NULL OR disabled_at < $3)",
        id.0,
        at,
        enabled_at
    )
    .execute(conn)
    .await?;
    Ok(disabled.rows_affected() == 1)
}

/// Something that is being sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The request that asked for it.
    pub id: Uuid,
    /// The webhook.
    pub webhook_id: WebhookId,
    /// The next place in FACTS.
    pub next: u64,
    /// The last one.
    pub last: u64,
}

/// Begins to send again.
///
/// # Errors
/// When the database does not do it.
pub async fn begin_replay(
    conn: &mut PgConnection,
    replay: Replay,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO webhook_replays (id, webhook_id, next_sequence, last_sequence, requested_at)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        replay.id,
        replay.webhook_id.0,
        to_row(replay.next),
        to_row(replay.last),
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What is being sent again and nobody else is working on, oldest first, held by the transaction.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_replay(conn: &mut PgConnection) -> Result<Option<Replay>, StoreError> {
    let row = sqlx::query!(
        "SELECT id, webhook_id, next_sequence, last_sequence FROM webhook_replays
         ORDER BY requested_at, id LIMIT 1 FOR UPDATE SKIP LOCKED"
    );
    Ok(row.fetch_optional(conn).await?.map(|row| Replay {
        id: row.id,
        webhook_id: row.webhook_id.into(),
        next: row.next_sequence.unsigned_abs(),
        last: row.last_sequence.unsigned_abs(),
    }))
}

/// Notes how far sending again has come; past its last place, it is done.
///
/// # Errors
/// When the database does not do it.
pub async fn advance_replay(conn: &mut PgConnection, replay: Replay) -> Result<(), StoreError> {
    if replay.next > replay.last {
        sqlx::query!("DELETE FROM webhook_replays WHERE id = $1", replay.id).execute(conn).await?;
    } else {
        let next = to_row(replay.next);
        sqlx::query!("UPDATE webhook_replays SET next_sequence = $2 WHERE id = $1", replay.id, next)
            .execute(conn)
            .await?;
    }
    Ok(())
}
