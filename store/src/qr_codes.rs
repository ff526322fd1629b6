//! The codes that sessions show, and when each is valid. Written by the attendance worker only.

use crate::StoreError;
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    id::{ClassId, QrTokenId, SessionId},
    scan::QrToken,
};
use sqlx::PgConnection;
use uuid::Uuid;

/// A code that a session shows, or showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QrCode {
    /// The id, which may be told.
    pub id: QrTokenId,
    /// The session.
    pub session_id: SessionId,
    /// The secret that the image carries.
    pub token: QrToken,
    /// From when it is valid.
    pub valid_from: DateTime<Utc>,
    /// Until when it is valid.
    pub expires_at: DateTime<Utc>,
}

struct CodeRow {
    id: Uuid,
    session_id: Uuid,
    token: Uuid,
    valid_from: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl From<CodeRow> for QrCode {
    fn from(row: CodeRow) -> Self {
        Self {
            id: row.id.into(),
            session_id: row.session_id.into(),
            token: QrToken(row.token),
            valid_from: row.valid_from,
            expires_at: row.expires_at,
        }
    }
}

/// The newest code of a session.
///
/// # Errors
/// When the database does not answer.
pub async fn newest_code(tx: &mut PgConnection, session: SessionId) -> Result<Option<QrCode>, StoreError> {
    let row = sqlx::query_as!(
        CodeRow,
        "SELECT id, session_id, token, valid_from, expires_at FROM qr_tokens
         WHERE session_id = $1 ORDER BY valid_from DESC LIMIT 1",
        session.0
    );
    Ok(row.fetch_optional(tx).await?.map(QrCode::from))
}

/// Adds a code. `false` when there is one of that id already.
///
/// # Errors
/// When the database does not do it.
pub async fn add_code(tx: &mut PgConnection, code: &QrCode) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "INSERT INTO qr_tokens (id, session_id, token, valid_from, expires_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO NOTHING",
        code.id.0,
        code.session_id.0,
        code.token.0,
        code.valid_from,
        code.expires_at
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends the validity of a session's codes at `at`, where it is not over before.
///
/// # Errors
/// When the database does not do it.
pub async fn retire_codes(
    tx: &mut PgConnection,
    session: SessionId,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE qr_tokens SET expires_at = greatest(valid_from, $2) WHERE session_id = $1 AND expires_at > $2",
        session.0,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// An active session whose code is about to end.
#[derive(Clone, Copy, Debug)]
pub struct DueCode {
    /// The session.
    pub session_id: SessionId,
    /// Its class.
    pub class_id: ClassId,
    /// When the session ends by itself.
    pub ends_at: DateTime<Utc>,
    /// How long its codes are valid, in seconds, if not as long as its class says.
    pub qr_ttl_seconds: Option<i32>,
    /// When its newest code ends.
    pub expires_at: DateTime<Utc>,
}

/// The active sessions, `besides` these, whose newest code ends at `by` or before, with that code held, so that one process
/// at a time replaces it.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_due_codes(
    tx: &mut PgConnection,
    by: DateTime<Utc>,
    besides: &[Uuid],
    limit: i64,
) -> Result<Vec<DueCode>, StoreError> {
    let rows = sqlx::query_as!(
        DueCode,
        "SELECT s.id AS session_id, s.class_id, s.ends_at, s.qr_ttl_seconds, q.expires_at
         FROM sessions s JOIN qr_tokens q ON q.session_id = s.id
         WHERE s.state = 'active' AND q.expires_at <= $1 AND q.expires_at < s.ends_at AND s.id <> ALL($3)
           AND NOT EXISTS (SELECT 1 FROM qr_tokens n WHERE n.session_id = s.id AND n.valid_from > q.valid_from)
         ORDER BY q.expires_at LIMIT $2 FOR UPDATE OF q SKIP LOCKED",
        by,
        limit,
        besides
    );
    Ok(rows.fetch_all(tx).await?)
}
