//! Sessions as decisions about them read and change them. Written by the attendance worker only; their codes are in
//! `qr_codes`, and what the api shows of them is in `session_views`.
//!
//! A session's row is the lock of everything that hangs on its span: whoever records attendance holds it shared,
//! whoever starts or ends the session holds it alone, so a mark and the end of its session never cross.

mod pauses;

pub use pauses::{Pause, pauses, reopen};

use crate::StoreError;
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::{
    fact::SessionState,
    id::{CameraId, ClassId, SessionId},
    request::SessionPlan,
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
    /// When it was opened again last, after it had been closed.
    pub reopened_at: Option<DateTime<Utc>>,
    /// When it was closed.
    pub ended_at: Option<DateTime<Utc>>,
    /// How long its codes are valid, in seconds, if not as long as its class says.
    pub qr_ttl_seconds: Option<i32>,
}

/// What became of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planned {
    /// It is there.
    Added,
    /// A session of that id was there already; it stays as it is.
    Known,
    /// It is not there, as this one of the same class or room takes place at the same time.
    Overlaps(Session),
}

pub(crate) struct SessionRow {
    pub(crate) id: Uuid,
    pub(crate) class_id: Uuid,
    pub(crate) starts_at: DateTime<Utc>,
    pub(crate) ends_at: DateTime<Utc>,
    pub(crate) state: String,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) reopened_at: Option<DateTime<Utc>>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) qr_ttl_seconds: Option<i32>,
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
            reopened_at: row.reopened_at,
            ended_at: row.ended_at,
            qr_ttl_seconds: row.qr_ttl_seconds,
        })
    }
}

macro_rules! select_sessions {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            SessionRow,
            "SELECT s.id, s.class_id, s.starts_at, s.ends_at, s.state, s.started_at, s.reopened_at, s.ended_at,
                    s.qr_ttl_seconds FROM sessions s " + $rest,
            $($argument),*
        )
    };
}

/// Adds a planned session, unless one of its class or in its room is in the way.
///
/// # Errors
/// [`StoreError::Excluded`] when one was in the way and has gone since, [`StoreError::Dangling`] when there is no such class,
/// or when the database does not do it.
pub async fn plan(
    tx: &mut PgConnection,
    (id, class_id): (SessionId, ClassId),
    plan: &SessionPlan,
    created_at: DateTime<Utc>,
) -> Result<Planned, StoreError> {
    let done = sqlx::query!(
        "INSERT INTO sessions (id, class_id, starts_at, ends_at, room, allow_overlap, qr_ttl_seconds, state, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'scheduled', $8)
         ON CONFLICT DO NOTHING",
        id.0,
        class_id.0,
        plan.starts_at,
        plan.ends_at,
        plan.room,
        plan.allow_overlap,
        plan.qr_ttl_seconds,
        created_at
    )
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 1 {
        return Ok(Planned::Added);
    }
    if let Some(other) = in_the_way(&mut *tx, (id, class_id), plan).await? {
        return Ok(Planned::Overlaps(other));
    }
    match lock(tx, id).await? {
        Some(_) => Ok(Planned::Known),
        None => Err(StoreError::Excluded { constraint: "sessions".into() }),
    }
}

/// The first session that `plan` would overlap: of the same class or in the same room, whatever case the room is
/// written in. None where either says that it may.
///
/// # Errors
/// When the database does not answer.
pub async fn in_the_way(
    tx: &mut PgConnection,
    (id, class_id): (SessionId, ClassId),
    plan: &SessionPlan,
) -> Result<Option<Session>, StoreError> {
    if plan.allow_overlap {
        return Ok(None);
    }
    let row = select_sessions!(
        "JOIN (SELECT id FROM sessions
               WHERE class_id = $2 AND NOT allow_overlap AND state <> 'cancelled'
                 AND taken && tstzmultirange(tstzrange($4, $5))
               UNION
               SELECT id FROM sessions
               WHERE lower(room) = lower($3) AND room IS NOT NULL AND NOT allow_overlap AND state <> 'cancelled'
                 AND taken && tstzmultirange(tstzrange($4, $5))
              ) other ON other.id = s.id
         WHERE s.id <> $1 ORDER BY s.starts_at, s.id LIMIT 1",
        id.0,
        class_id.0,
        plan.room,
        plan.starts_at,
        plan.ends_at
    );
    row.fetch_optional(tx).await?.map(Session::try_from).transpose()
}

/// The plan of a session, as it was last changed.
///
/// # Errors
/// When the database does not answer, or there is no such session.
pub async fn plan_of(tx: &mut PgConnection, id: SessionId) -> Result<SessionPlan, StoreError> {
    let plan = sqlx::query_as!(
        SessionPlan,
        "SELECT starts_at, ends_at, room, allow_overlap, qr_ttl_seconds FROM sessions WHERE id = $1",
        id.0
    );
    Ok(plan.fetch_one(tx).await?)
}

/// Changes the plan of a session, which is scheduled from then on.
///
/// # Errors
/// [`StoreError::Excluded`] when somebody else has just planned a session that is in the way, or when the database does
/// not do it.
pub async fn change_plan(tx: &mut PgConnection, id: SessionId, plan: &SessionPlan) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE sessions SET state = 'scheduled', starts_at = $2, ends_at = $3, room = $4, allow_overlap = $5,
             qr_ttl_seconds = $6
         WHERE id = $1",
        id.0,
        plan.starts_at,
        plan.ends_at,
        plan.room,
        plan.allow_overlap,
        plan.qr_ttl_seconds
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives up a session.
///
/// # Errors
/// When the database does not do it.
pub async fn cancel(tx: &mut PgConnection, id: SessionId) -> Result<(), StoreError> {
    sqlx::query!("UPDATE sessions SET state = 'cancelled' WHERE id = $1", id.0).execute(tx).await?;
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

/// The session of that id, held shared: it neither begins nor ends until the end of the transaction.
///
/// # Errors
/// When the database does not answer.
pub async fn share(tx: &mut PgConnection, id: SessionId) -> Result<Option<Session>, StoreError> {
    let row = select_sessions!("WHERE s.id = $1 FOR SHARE", id.0).fetch_optional(tx).await?;
    row.map(Session::try_from).transpose()
}

/// The next active session whose time was over at `now`, held alone. One that another process holds is passed over, and so
/// are those `besides` it.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_overdue(
    tx: &mut PgConnection,
    now: DateTime<Utc>,
    besides: &[Uuid],
) -> Result<Option<Session>, StoreError> {
    let row = select_sessions!(
        "WHERE s.state = 'active' AND s.ends_at <= $1 AND s.id <> ALL($2)
         ORDER BY s.ends_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED",
        now,
        besides
    );
    row.fetch_optional(tx).await?.map(Session::try_from).transpose()
}

/// The next active session in which a person was to be asked about a scan by `now`, held alone. One that another process
/// holds is passed over, and so are those `besides` it.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_with_due_question(
    tx: &mut PgConnection,
    now: DateTime<Utc>,
    besides: &[Uuid],
) -> Result<Option<Session>, StoreError> {
    let row = select_sessions!(
        "WHERE s.state = 'active' AND s.id IN (SELECT k.session_id FROM kept_scans k WHERE k.ask_at <= $1)
           AND s.id <> ALL($2)
         ORDER BY s.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED",
        now,
        besides
    );
    row.fetch_optional(tx).await?.map(Session::try_from).transpose()
}

/// The next session that was planned in a class before it was archived, held alone. One that another process holds is passed
/// over, and so are those `besides` it.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_of_archived(
    tx: &mut PgConnection,
    besides: &[Uuid],
) -> Result<Option<Session>, StoreError> {
    let row = select_sessions!(
        "JOIN classes c ON c.id = s.class_id
         WHERE c.deleted_at IS NOT NULL AND s.state IN ('scheduled', 'pending') AND s.starts_at > c.deleted_at
           AND s.id <> ALL($1)
         ORDER BY s.id LIMIT 1 FOR NO KEY UPDATE OF s SKIP LOCKED",
        besides
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
           AND s.state <> 'cancelled'
           AND (s.started_at <= $2
                OR s.started_at IS NULL AND s.starts_at <= $2 + make_interval(secs => $3::double precision))
           AND coalesce(s.ended_at, s.ends_at) > $2
           AND NOT EXISTS (SELECT 1 FROM session_pauses p
                           WHERE p.session_id = s.id AND p.closed_at <= $2 AND p.reopened_at > $2)
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
