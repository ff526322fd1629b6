//! Sessions and their codes, as decisions about them read and change them. Written by the attendance worker only; what
//! the api shows of them is in `session_views`.
//!
//! A session's row is the lock of everything that hangs on its span: whoever records attendance holds it shared,
//! whoever starts or ends the session holds it alone, so a mark and the end of its session never cross.

use crate::StoreError;
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::{
    fact::SessionState,
    id::{CameraId, ClassId, QrTokenId, SessionId},
    scan::QrToken,
};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// A session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The id.
    pub id: SessionId,
    /// Its class.
    pub class_id: ClassId,
    /// When it is planned to begin.
    pub starts_at: DateTime<Utc>,
    /// When it is planned to end, and ends by itself.
    pub ends_at: DateTime<Utc>,
    /// Where it stands.
    pub state: SessionState,
    /// When it was opened.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was closed.
    pub ended_at: Option<DateTime<Utc>>,
}

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

pub(crate) struct SessionRow {
    pub(crate) id: Uuid,
    pub(crate) class_id: Uuid,
    pub(crate) starts_at: DateTime<Utc>,
    pub(crate) ends_at: DateTime<Utc>,
    pub(crate) state: String,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
}

impl TryFrom<SessionRow> for Session {
    type Error = StoreError;

    fn try_from(row: SessionRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.into(),
            class_id: row.class_id.into(),
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            state: SessionState::parse(&row.state)
                .ok_or_else(|| StoreError::corrupt("sessions", "state", &row.state))?,
            started_at: row.started_at,
            ended_at: row.ended_at,
        })
    }
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

macro_rules! select_sessions {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            SessionRow,
            "SELECT s.id, s.class_id, s.starts_at, s.ends_at, s.state, s.started_at, s.ended_at FROM sessions s " + $rest,
            $($argument),*
        )
    };
}

/// Adds a planned session.
///
/// # Errors
/// [`StoreError::Dangling`] when there is no such class, or when the database does not do it.
pub async fn plan(
    tx: &mut PgConnection,
    session: &Session,
    created_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO sessions (id, class_id, starts_at, ends_at, state, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        session.id.0,
        session.class_id.0,
        session.starts_at,
        session.ends_at,
        session.state.as_str(),
        created_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The session of that id, held alone until the end of the transaction.
///
/// # Errors
/// When the database does not answer.
pub async fn lock(tx: &mut PgConnection, id: SessionId) -> Result<Option<Session>, StoreError> {
    let row = select_sessions!("WHERE s.id = $1 FOR NO KEY UPDATE", id.0).fetch_optional(tx).await?;
    row.map(Session::try_from).transpose()
}

/// The next active session whose time was over at `now`, held alone. One that another process holds is passed over.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_overdue(tx: &mut PgConnection, now: DateTime<Utc>) -> Result<Option<Session>, StoreError> {
    let row = select_sessions!(
        "WHERE s.state = 'active' AND s.ends_at <= $1 ORDER BY s.ends_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED",
        now
    );
    row.fetch_optional(tx).await?.map(Session::try_from).transpose()
}

/// Holds the sessions of these tokens shared, so that none of them ends until the end of the transaction.
///
/// # Errors
/// When the database does not answer.
pub async fn share_of_tokens(tx: &mut PgConnection, tokens: &[Uuid]) -> Result<(), StoreError> {
    sqlx::query!(
        "SELECT s.id FROM sessions s WHERE s.id IN (SELECT session_id FROM qr_tokens WHERE token = ANY($1))
         ORDER BY s.id FOR SHARE",
        tokens
    )
    .fetch_all(tx)
    .await?;
    Ok(())
}

/// The sessions whose classes `camera` looked at when it was `at`, and which were open then or may yet turn out to have
/// been: planned ones whose time had come, or comes within `early`. Held shared.
///
/// # Errors
/// When the database does not answer.
pub async fn share_in_view(
    tx: &mut PgConnection,
    camera: CameraId,
    at: DateTime<Utc>,
    early: TimeDelta,
) -> Result<Vec<Session>, StoreError> {
    let rows = select_sessions!(
        "JOIN class_cameras c ON c.class_id = s.class_id
         WHERE c.camera_id = $1 AND c.valid_from <= $2 AND (c.valid_to IS NULL OR c.valid_to > $2)
           AND (s.started_at <= $2
                OR s.started_at IS NULL AND s.starts_at <= $2 + make_interval(secs => $3::double precision))
           AND coalesce(s.ended_at, s.ends_at) > $2
         ORDER BY s.id FOR SHARE OF s",
        camera.0,
        at,
        early.as_seconds_f64()
    );
    rows.fetch_all(tx).await?.into_iter().map(Session::try_from).collect()
}

/// The classes that `camera` looked at when it was `at`.
///
/// # Errors
/// When the database does not answer.
pub async fn classes_in_view(
    tx: &mut PgConnection,
    camera: CameraId,
    at: DateTime<Utc>,
) -> Result<Vec<ClassId>, StoreError> {
    let ids = sqlx::query_scalar!(
        "SELECT class_id FROM class_cameras
         WHERE camera_id = $1 AND valid_from <= $2 AND (valid_to IS NULL OR valid_to > $2)",
        camera.0,
        at
    );
    Ok(ids.fetch_all(tx).await?.into_iter().map(ClassId::from).collect())
}

/// Opens a session.
///
/// # Errors
/// When the database does not do it.
pub async fn start(tx: &mut PgConnection, id: SessionId, at: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query!("UPDATE sessions SET state = 'active', started_at = $2 WHERE id = $1", id.0, at)
        .execute(tx)
        .await?;
    Ok(())
}

/// Closes a session, or moves its end. Its codes keep their times: a scan of a good code after the end is told that the session is over.
///
/// # Errors
/// When the database does not do it.
pub async fn end(tx: &mut PgConnection, id: SessionId, at: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query!("UPDATE sessions SET state = 'completed', ended_at = $2 WHERE id = $1", id.0, at)
        .execute(tx)
        .await?;
    Ok(())
}

/// Makes the planned sessions pending that begin at `starting` or before. Returns how many there were.
///
/// # Errors
/// When the database does not do it.
pub async fn announce(pool: &PgPool, starting: DateTime<Utc>) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "UPDATE sessions SET state = 'pending' WHERE state = 'scheduled' AND starts_at <= $1",
        starting
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
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
    /// When its newest code ends.
    pub expires_at: DateTime<Utc>,
}

/// The active sessions whose newest code ends at `by` or before, with that code held, so that one process at a time
/// replaces it.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_due_codes(
    tx: &mut PgConnection,
    by: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<DueCode>, StoreError> {
    let rows = sqlx::query_as!(
        DueCode,
        "SELECT s.id AS session_id, s.class_id, s.ends_at, q.expires_at
         FROM sessions s JOIN qr_tokens q ON q.session_id = s.id
         WHERE s.state = 'active' AND q.expires_at <= $1 AND q.expires_at < s.ends_at
           AND NOT EXISTS (SELECT 1 FROM qr_tokens n WHERE n.session_id = s.id AND n.valid_from > q.valid_from)
         ORDER BY q.expires_at LIMIT $2 FOR UPDATE OF q SKIP LOCKED",
        by,
        limit
    );
    Ok(rows.fetch_all(tx).await?)
}
