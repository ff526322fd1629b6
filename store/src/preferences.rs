//! How people wish to be told. Written by the api only. Who has said nothing has no row, and no wishes.

use crate::StoreError;
use chrono::{DateTime, Utc};
use rollcall_schemas::{id::UserId, notification::Preferences};
use serde_json::Value;
use sqlx::PgConnection;

/// The wishes of a person.
///
/// # Errors
/// When the database does not answer.
pub async fn of_user(conn: &mut PgConnection, user: UserId) -> Result<Preferences, StoreError> {
    let stored =
        sqlx::query_scalar!("SELECT preferences FROM notification_preferences WHERE user_id = $1", user.0);
    read(stored.fetch_optional(conn).await?)
}

/// The wishes of a person, which nobody else changes until the transaction ends.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_of_user(tx: &mut PgConnection, user: UserId) -> Result<Preferences, StoreError> {
    sqlx::query!("SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE", user.0)
        .fetch_optional(&mut *tx)
        .await?;
    of_user(tx, user).await
}

/// Sets the wishes of a person.
///
/// # Errors
/// When the database does not do it.
pub async fn set(
    conn: &mut PgConnection,
    user: UserId,
    preferences: &Preferences,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let preferences = serde_json::to_value(preferences).expect("wishes are plain data");
    sqlx::query!(
        "INSERT INTO notification_preferences (user_id, preferences, updated_at) VALUES ($1, $2, $3)
         ON CONFLICT (user_id) DO UPDATE SET preferences = excluded.preferences, updated_at = excluded.updated_at",
        user.0,
        preferences,
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Wishes as they are stored; none where nothing is.
pub(crate) fn read(stored: Option<Value>) -> Result<Preferences, StoreError> {
    let Some(stored) = stored else { return Ok(Preferences::default()) };
    serde_json::from_value(stored)
        .map_err(|error| StoreError::Corrupt { table: "notification_preferences", reason: error.to_string() })
}
