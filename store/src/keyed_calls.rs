//! Calls that came with an `Idempotency-Key`, and what they were answered. Written by the api.

use crate::StoreError;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Which call it is: SHA-256 of caller, call and key.
pub type CallHash = [u8; 32];

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The HTTP status.
    pub status: i16,
    /// What was said; absent where it held a secret.
    pub answer: Option<String>,
}

/// What is known of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is the caller's to carry out.
    First,
    /// Somebody carries it out just now.
    UnderWay,
    /// It was carried out.
    Answered(KeptAnswer),
    /// It was carried out by a process that died before it answered.
    Unanswered,
    /// Its key was used for something else.
    OtherContent,
}

/// Begins a call, unless it was begun before. One that was begun before `abandoned_before`, and has had no effect, may be
/// begun again.
///
/// # Errors
/// When the database does not do it.
pub async fn begin(
    conn: &mut PgConnection,
    call: &CallHash,
    content: &[u8; 32],
    now: DateTime<Utc>,
    abandoned_before: DateTime<Utc>,
) -> Result<Begun, StoreError> {
    let begun = sqlx::query!(
        "INSERT INTO keyed_calls AS k (call_sha256, content_sha256, begun_at) VALUES ($1, $2, $3)
         ON CONFLICT (call_sha256) DO UPDATE SET begun_at = $3
             WHERE k.status IS NULL AND NOT k.is_carried_out AND k.begun_at < $4 AND k.content_sha256 = $2
         RETURNING begun_at",
        call.as_slice(),
        content.as_slice(),
        now,
        abandoned_before
    )
    .fetch_optional(&mut *conn)
    .await?;
    if begun.is_some() {
        return Ok(Begun::First);
    }
    let known = sqlx::query!(
        "SELECT content_sha256, begun_at, is_carried_out, status, answer FROM keyed_calls WHERE call_sha256 = $1",
        call.as_slice()
    )
    .fetch_optional(conn)
    .await?;
    Ok(match known {
        Some(known) if known.content_sha256 != content => Begun::OtherContent,
        Some(known) => match known.status {
            Some(status) => Begun::Answered(KeptAnswer { status, answer: known.answer }),
            None if known.is_carried_out && known.begun_at < abandoned_before => Begun::Unanswered,
            None => Begun::UnderWay,
        },
        // Given up in between: the caller comes back and begins it.
        None => Begun::UnderWay,
    })
}

/// Says, in the transaction of its effect, that a call is carried out. `false` when somebody else has begun it since: then
/// the effect must not be committed.
///
/// # Errors
/// When the database does not do it.
pub async fn carry_out(
    tx: &mut PgConnection,
    call: &CallHash,
    begun_at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE keyed_calls SET is_carried_out = true WHERE call_sha256 = $1 AND begun_at = $2",
        call.as_slice(),
        begun_at
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Keeps what a call was answered.
///
/// # Errors
/// When the database does not do it.
pub async fn answer(conn: &mut PgConnection, call: &CallHash, kept: &KeptAnswer) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE keyed_calls SET status = $2, answer = $3 WHERE call_sha256 = $1",
        call.as_slice(),
        kept.status,
        kept.answer
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives up a call that came to nothing: it may be begun again. One that has had its effect stays.
///
/// # Errors
/// When the database does not do it.
pub async fn give_up(conn: &mut PgConnection, call: &CallHash) -> Result<(), StoreError> {
    sqlx::query!(
        "DELETE FROM keyed_calls WHERE call_sha256 = $1 AND status IS NULL AND NOT is_carried_out",
        call.as_slice()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets at most `limit` calls that were begun before `before`. Returns how many there were.
///
/// # Errors
/// When the database does not do it.
pub async fn purge(conn: &mut PgConnection, before: DateTime<Utc>, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "DELETE FROM keyed_calls WHERE call_sha256 IN
             (SELECT call_sha256 FROM keyed_calls WHERE begun_at < $1 ORDER BY begun_at LIMIT $2)",
        before,
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
