//! Failed sign-ins, and the devices that failures elsewhere do not lock out. Written by the api.

use crate::{StoreError, sign_ins::TokenHash};
use chrono::{DateTime, Utc};
use rollcall_schemas::id::UserId;
use sqlx::PgConnection;

/// How many failures lock, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct LockRule {
    /// The failure that locks.
    pub failures: i32,
    /// Until when the lock would hold.
    pub locked_until: DateTime<Utc>,
    /// Failures before this are forgotten when nothing came after them.
    pub forget_before: DateTime<Utc>,
}

/// Begins an attempt to sign in: counts it as failed until [`clear`] says otherwise, so that attempts made at the same
/// time are counted too. While a lock holds nothing is counted, so nobody makes it last longer; then the answer is until
/// when.
///
/// # Errors
/// When the database does not do it.
pub async fn count(
    conn: &mut PgConnection,
    key: &[u8; 32],
    at: DateTime<Utc>,
    rule: LockRule,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let counted = sqlx::query_scalar!(
        "INSERT INTO sign_in_failures AS f (key, failures, counted_at, locked_until)
         VALUES ($1, 1, $2, CASE WHEN $3::integer <= 1 THEN $4::timestamptz END)
         ON CONFLICT (key) DO UPDATE SET
             failures = CASE WHEN f.counted_at < $5 OR f.locked_until IS NOT NULL THEN 1 ELSE f.failures + 1 END,
             locked_until = CASE WHEN f.counted_at < $5 OR f.locked_until IS NOT NULL THEN excluded.locked_until
                                 WHEN f.failures + 1 >= $3 THEN $4 END,
             counted_at = $2
         WHERE f.locked_until IS NULL OR f.locked_until <= $2
         RETURNING failures",
        key.as_slice(),
        at,
        rule.failures,
        rule.locked_until,
        rule.forget_before
    )
    .fetch_optional(&mut *conn)
    .await?;
    if counted.is_some() {
        return Ok(None);
    }
    let locked =
        sqlx::query_scalar!("SELECT locked_until FROM sign_in_failures WHERE key = $1", key.as_slice())
            .fetch_optional(conn)
            .await?;
    // Somebody who knows the password may have ended the lock in between.
    Ok(Some(locked.flatten().unwrap_or(at)))
}

/// Forgets the failures under a key.
///
/// # Errors
/// When the database does not do it.
pub async fn clear(conn: &mut PgConnection, key: &[u8; 32]) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM sign_in_failures WHERE key = $1", key.as_slice()).execute(conn).await?;
    Ok(())
}

/// Whether a person has signed in from this device.
///
/// # Errors
/// When the database does not answer.
pub async fn is_known_device(
    conn: &mut PgConnection,
    user: UserId,
    device: &TokenHash,
) -> Result<bool, StoreError> {
    let known = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM known_devices WHERE user_id = $1 AND token_sha256 = $2) AS "yes!""#,
        user.0,
        device.as_slice()
    );
    Ok(known.fetch_one(conn).await?)
}

/// Notes that a person has signed in from this device.
///
/// # Errors
/// When the database does not do it.
pub async fn remember_device(
    conn: &mut PgConnection,
    user: UserId,
    device: &TokenHash,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO known_devices (user_id, token_sha256, last_used_at) VALUES ($1, $2, $3)
         ON CONFLICT (user_id, token_sha256) DO UPDATE SET last_used_at = $3",
        user.0,
        device.as_slice(),
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets the devices from which a person has signed in.
///
/// # Errors
/// When the database does not do it.
pub async fn forget_devices(conn: &mut PgConnection, user: UserId) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM known_devices WHERE user_id = $1", user.0).execute(conn).await?;
    Ok(())
}

/// Forgets failures counted before `failed_before`, and devices not used since `used_before`.
///
/// # Errors
/// When the database does not do it.
pub async fn forget_old(
    conn: &mut PgConnection,
    failed_before: DateTime<Utc>,
    used_before: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM sign_in_failures WHERE counted_at < $1", failed_before)
        .execute(&mut *conn)
        .await?;
    sqlx::query!("DELETE FROM known_devices WHERE last_used_at < $1", used_before).execute(conn).await?;
    Ok(())
}
