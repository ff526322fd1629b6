//! Sessions and their codes as the api shows them. Read only: what changes them is in `sessions`.

use crate::{
    StoreError,
    pages::{Page, Paged},
};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    fact::SessionState,
    id::{ClassId, QrTokenId, SessionId},
    scan::QrToken,
};
use sqlx::PgConnection;
use uuid::Uuid;

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// The id.
    pub id: SessionId,
    /// The class.
    pub class_id: ClassId,
    /// When it is planned to begin.
    pub starts_at: DateTime<Utc>,
    /// When it is planned to end.
    pub ends_at: DateTime<Utc>,
    /// The room, if it has one.
    pub room: Option<String>,
    /// Whether another session of the class, or in the room, may take place at the same time.
    pub allow_overlap: bool,
    /// How long its codes are valid, in seconds, if not as long as its class says.
    pub qr_ttl_seconds: Option<i32>,
    /// Where it stands.
    pub state: SessionState,
    /// When it was opened.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was opened again last, after it had been closed.
    pub reopened_at: Option<DateTime<Utc>>,
    /// When it was closed.
    pub ended_at: Option<DateTime<Utc>>,
    /// When it was planned.
    pub created_at: DateTime<Utc>,
    /// How many students were there, in time or late.
    pub attendance_count: i64,
}

/// A code of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QrCodeView {
    /// The id, which may be told.
    pub id: QrTokenId,
    /// The secret that the image carries.
    pub token: QrToken,
    /// From when it is valid.
    pub valid_from: DateTime<Utc>,
    /// Until when it is valid.
    pub expires_at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    class_id: Uuid,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    room: Option<String>,
    allow_overlap: bool,
    qr_ttl_seconds: Option<i32>,
    state: String,
    started_at: Option<DateTime<Utc>>,
    reopened_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    attendance_count: i64,
}

impl TryFrom<Row> for SessionView {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.into(),
            class_id: row.class_id.into(),
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            room: row.room,
            allow_overlap: row.allow_overlap,
            qr_ttl_seconds: row.qr_ttl_seconds,
            state: SessionState::parse(&row.state)
                .ok_or_else(|| StoreError::corrupt("sessions", "state", &row.state))?,
            started_at: row.started_at,
            reopened_at: row.reopened_at,
            ended_at: row.ended_at,
            created_at: row.created_at,
            attendance_count: row.attendance_count,
        })
    }
}

macro_rules! select_sessions {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT s.id, s.class_id, s.starts_at, s.ends_at, s.room, s.allow_overlap, s.qr_ttl_seconds, s.state,
                      s.started_at, s.reopened_at, s.ended_at, s.created_at,
                      (SELECT count(*) FROM attendance a
                       WHERE a.session_id = s.id AND a.status IN ('present', 'late')) AS "attendance_count!"
               FROM sessions s "# + $rest,
            $($argument),*
        )
    };
}

/// The session of that id.
///
/// # Errors
/// When the database does not answer.
pub async fn find(conn: &mut PgConnection, id: SessionId) -> Result<Option<SessionView>, StoreError> {
    let row = select_sessions!("WHERE s.id = $1", id.0).fetch_optional(conn).await?;
    row.map(SessionView::try_from).transpose()
}

/// A page of the sessions of a class, newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn of_class(
    conn: &mut PgConnection,
    class: ClassId,
    page: Page,
) -> Result<Paged<SessionView>, StoreError> {
    let total =
        sqlx::query_scalar!(r#"SELECT count(*) AS "total!" FROM sessions WHERE class_id = $1"#, class.0)
            .fetch_one(&mut *conn)
            .await?;
    let rows = select_sessions!(
        "WHERE s.class_id = $1 ORDER BY s.starts_at DESC, s.id LIMIT $2 OFFSET $3",
        class.0,
        page.limit,
        page.offset
    )
    .fetch_all(conn)
    .await?;
    Ok(Paged { rows: rows.into_iter().map(SessionView::try_from).collect::<Result<_, _>>()?, total })
}

/// The code of a session that is valid at `at`, if its session is active and has one.
///
/// # Errors
/// When the database does not answer.
pub async fn code_at(
    conn: &mut PgConnection,
    session: SessionId,
    at: DateTime<Utc>,
) -> Result<Option<QrCodeView>, StoreError> {
    let row = sqlx::query!(
        "SELECT q.id, q.token, q.valid_from, q.expires_at FROM qr_tokens q JOIN sessions s ON s.id = q.session_id
         WHERE q.session_id = $1 AND s.state = 'active' AND q.valid_from <= $2 AND q.expires_at > $2
         ORDER BY q.valid_from DESC LIMIT 1",
        session.0,
        at
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| QrCodeView {
        id: row.id.into(),
        token: QrToken(row.token),
        valid_from: row.valid_from,
        expires_at: row.expires_at,
    }))
}

/// The code of that id.
///
/// # Errors
/// When the database does not answer.
pub async fn code(conn: &mut PgConnection, id: QrTokenId) -> Result<Option<QrCodeView>, StoreError> {
    let row = sqlx::query!("SELECT id, token, valid_from, expires_at FROM qr_tokens WHERE id = $1", id.0)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|row| QrCodeView {
        id: row.id.into(),
        token: QrToken(row.token),
        valid_from: row.valid_from,
        expires_at: row.expires_at,
    }))
}
