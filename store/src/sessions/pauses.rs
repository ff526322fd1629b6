//! Sessions that are opened again, and from when to when they were closed.

use crate::StoreError;
use chrono::{DateTime, Utc};
use rollcall_schemas::id::{RequestId, SessionId, UserId};
use sqlx::PgConnection;

/// Why a session was closed for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The request that opened it again.
    pub request_id: RequestId,
    /// The session.
    pub session_id: SessionId,
    /// When it was closed.
    pub closed_at: DateTime<Utc>,
    /// When it was opened again.
    pub reopened_at: DateTime<Utc>,
    /// By whom.
    pub reopened_by: UserId,
    /// Why.
    pub reason: String,
}

/// Opens a closed session again until `ends_at`. What happened between its end and now does not count: codes and looks
/// are the caller's to deal with.
///
/// # Errors
/// [`StoreError::Excluded`] when somebody else has just planned a session that is in the way, or when the database does
/// not do it.
pub async fn reopen(tx: &mut PgConnection, pause: &Pause, ends_at: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO session_pauses (request_id, session_id, closed_at, reopened_at, reopened_by, reason)
         VALUES ($1, $2, $3, $4, $5, $6)",
        pause.request_id.0,
        pause.session_id.0,
        pause.closed_at,
        pause.reopened_at,
        pause.reopened_by.0,
        pause.reason
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE sessions SET state = 'active', ended_at = NULL, reopened_at = $2, ends_at = $3,
             paused = paused + tstzmultirange(tstzrange($4, $2))
         WHERE id = $1",
        pause.session_id.0,
        pause.reopened_at,
        ends_at,
        pause.closed_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// When and why a session was closed for a while, in order.
///
/// # Errors
/// When the database does not answer.
pub async fn pauses(conn: &mut PgConnection, id: SessionId) -> Result<Vec<Pause>, StoreError> {
    let rows = sqlx::query_as!(
        Pause,
        "SELECT request_id, session_id, closed_at, reopened_at, reopened_by, reason FROM session_pauses
         WHERE session_id = $1 ORDER BY closed_at, reopened_at",
        id.0
    );
    Ok(rows.fetch_all(conn).await?)
}
