//! What becomes of the lessons of timetables: how far they are planned, and as which sessions. Written by the attendance
//! worker; the api reads what was withheld and why.

mod shown;

pub use shown::{HeldSession, ShownLesson, held, shown};

use crate::StoreError;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use rollcall_schemas::{
    fact::SessionState,
    id::{ClassId, SessionId},
    request::SessionPlan,
};
use rollcall_timetable::Slot;
use sqlx::PgConnection;
use uuid::Uuid;

/// A timetable whose lessons are to be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueTimetable {
    /// The class.
    pub class_id: ClassId,
    /// Of the timetable.
    pub revision: i64,
    /// Whether the class takes place.
    pub is_active: bool,
    /// When it was planned last.
    pub planned_at: Option<DateTime<Utc>>,
}

/// The next timetable whose lessons are not planned through that day, or by an earlier revision, held alone; or of which a
/// lesson that is still to come at `now` is withheld, and what was in its way is no longer. One that another process holds is
/// passed over, and so are those `besides` it.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_due(
    tx: &mut PgConnection,
    through: NaiveDate,
    now: DateTime<Utc>,
    besides: &[Uuid],
) -> Result<Option<DueTimetable>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT t.class_id, t.revision, c.is_active AND c.deleted_at IS NULL AS "is_active!",
                  p.planned_at AS "planned_at?"
           FROM timetables t
           JOIN classes c ON c.id = t.class_id
           LEFT JOIN timetable_plans p ON p.class_id = t.class_id
           WHERE t.class_id <> ALL($3)
             AND (p.class_id IS NULL OR p.revision <> t.revision OR p.through < $1
                  OR p.is_active <> (c.is_active AND c.deleted_at IS NULL)
                  OR t.class_id IN (
                      SELECT l.class_id FROM timetable_lessons l JOIN sessions o ON o.id = l.in_the_way
                      WHERE l.state = 'withheld' AND l.starts_at > $2
                        AND NOT (o.state <> 'cancelled' AND NOT o.allow_overlap
                                 AND o.taken && tstzmultirange(tstzrange(l.starts_at, l.ends_at))
                                 AND (o.class_id = l.class_id OR coalesce(lower(o.room) = lower(l.room), false)))))
           ORDER BY t.class_id LIMIT 1 FOR NO KEY UPDATE OF t SKIP LOCKED"#,
        through,
        now,
        besides
    );
    Ok(row.fetch_optional(tx).await?.map(|row| DueTimetable {
        class_id: row.class_id.into(),
        revision: row.revision,
        is_active: row.is_active,
        planned_at: row.planned_at,
    }))
}

/// Says that the lessons of a timetable are planned through that day.
///
/// # Errors
/// When the database does not do it.
pub async fn set_planned(
    tx: &mut PgConnection,
    due: &DueTimetable,
    through: NaiveDate,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO timetable_plans (class_id, revision, is_active, through, planned_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (class_id) DO UPDATE SET revision = EXCLUDED.revision, is_active = EXCLUDED.is_active,
             through = EXCLUDED.through, planned_at = EXCLUDED.planned_at",
        due.class_id.0,
        due.revision,
        due.is_active,
        through,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Where a lesson stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LessonState {
    /// It is a session.
    Planned,
    /// It is none, as this session was in the way.
    Withheld(SessionId),
    /// It was one, and the timetable no longer has it.
    Withdrawn,
}

/// When and where a lesson takes place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LessonPlan {
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// When it ends.
    pub ends_at: DateTime<Utc>,
    /// Where.
    pub room: Option<String>,
}

/// What became of a lesson.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownLesson {
    /// What it is known by.
    pub slot: Slot,
    /// Where it stands.
    pub state: LessonState,
    /// How often it was given up and planned anew.
    pub attempt: i32,
    /// The session that it is, was or would be.
    pub session_id: SessionId,
    /// As planned.
    pub plan: LessonPlan,
    /// The session as it is now.
    pub session: Option<(SessionState, LessonPlan)>,
}

/// What became of the lessons of a class that begin at `from` or later, by what they are known by, in order.
///
/// # Errors
/// When the database does not answer.
pub async fn of_class(
    conn: &mut PgConnection,
    class: ClassId,
    from: DateTime<Utc>,
) -> Result<Vec<KnownLesson>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT l.date, l.starts, l.state, l.attempt, l.session_id, l.starts_at, l.ends_at, l.room, l.in_the_way,
                  s.state AS "session_state?", s.starts_at AS "session_starts_at?", s.ends_at AS "session_ends_at?",
                  s.room AS session_room
           FROM timetable_lessons l LEFT JOIN sessions s ON s.id = l.session_id
           WHERE l.class_id = $1 AND l.starts_at >= $2 ORDER BY l.date, l.starts"#,
        class.0,
        from
    );
    rows.fetch_all(conn)
        .await?
        .into_iter()
        .map(|row| {
            let session = match (row.session_state, row.session_starts_at, row.session_ends_at) {
                (Some(state), Some(starts_at), Some(ends_at)) => {
                    let state = SessionState::parse(&state)
                        .ok_or_else(|| StoreError::corrupt("sessions", "state", &state))?;
                    Some((state, LessonPlan { starts_at, ends_at, room: row.session_room }))
                }
                _ => None,
            };
            Ok(KnownLesson {
                slot: Slot { date: row.date, starts: row.starts },
                state: state(&row.state, row.in_the_way)?,
                attempt: row.attempt,
                session_id: row.session_id.into(),
                plan: LessonPlan { starts_at: row.starts_at, ends_at: row.ends_at, room: row.room },
                session,
            })
        })
        .collect()
}

fn state(name: &str, in_the_way: Option<Uuid>) -> Result<LessonState, StoreError> {
    match (name, in_the_way) {
        ("planned", None) => Ok(LessonState::Planned),
        ("withheld", Some(session)) => Ok(LessonState::Withheld(session.into())),
        ("withdrawn", None) => Ok(LessonState::Withdrawn),
        (other, _) => Err(StoreError::corrupt("timetable_lessons", "state", other)),
    }
}

/// What is to be kept of a lesson.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLesson {
    /// What it is known by.
    pub slot: Slot,
    /// Where it stands.
    pub state: LessonState,
    /// How often it was given up and planned anew.
    pub attempt: i32,
    /// The session that it is, was or would be.
    pub session_id: SessionId,
    /// As planned.
    pub plan: LessonPlan,
}

/// Keeps what became of a lesson.
///
/// # Errors
/// When the database does not do it.
pub async fn keep(tx: &mut PgConnection, class: ClassId, lesson: &KeptLesson) -> Result<(), StoreError> {
    let (state, in_the_way) = match lesson.state {
        LessonState::Planned => ("planned", None),
        LessonState::Withheld(session) => ("withheld", Some(session.0)),
        LessonState::Withdrawn => ("withdrawn", None),
    };
    sqlx::query!(
        "INSERT INTO timetable_lessons
             (class_id, date, starts, state, attempt, session_id, starts_at, ends_at, room, in_the_way)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (class_id, date, starts) DO UPDATE SET state = EXCLUDED.state, attempt = EXCLUDED.attempt,
             session_id = EXCLUDED.session_id, starts_at = EXCLUDED.starts_at, ends_at = EXCLUDED.ends_at,
             room = EXCLUDED.room, in_the_way = EXCLUDED.in_the_way",
        class.0,
        lesson.slot.date,
        lesson.slot.starts,
        state,
        lesson.attempt,
        lesson.session_id.0,
        lesson.plan.starts_at,
        lesson.plan.ends_at,
        lesson.plan.room,
        in_the_way
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The id of the session of a lesson: one for each lesson, and a new one each time it is planned anew.
pub fn session_id(class: ClassId, slot: Slot, attempt: i32) -> SessionId {
    let Slot { date, starts } = slot;
    let (day, clock) = (days_of(date).to_be_bytes(), seconds_of(starts).to_be_bytes());
    SessionId::derive(&[b"timetable", class.0.as_bytes(), &day, &clock, &attempt.to_be_bytes()])
}

fn days_of(date: NaiveDate) -> i32 {
    chrono::Datelike::num_days_from_ce(&date)
}

fn seconds_of(time: NaiveTime) -> u32 {
    chrono::Timelike::num_seconds_from_midnight(&time)
}

impl LessonPlan {
    /// A session of that plan, at this time and place; what else was said of it stays.
    pub fn of(&self, plan: SessionPlan) -> SessionPlan {
        SessionPlan { starts_at: self.starts_at, ends_at: self.ends_at, room: self.room.clone(), ..plan }
    }
}

impl From<&LessonPlan> for SessionPlan {
    fn from(plan: &LessonPlan) -> Self {
        Self {
            starts_at: plan.starts_at,
            ends_at: plan.ends_at,
            room: plan.room.clone(),
            allow_overlap: false,
            qr_ttl_seconds: None,
        }
    }
}

/// How far the lessons of a class are planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedThrough {
    /// By which revision of its timetable.
    pub revision: i64,
    /// The last day.
    pub through: NaiveDate,
}

/// How far the lessons of a class are planned, if they are.
///
/// # Errors
/// When the database does not answer.
pub async fn planned_through(
    conn: &mut PgConnection,
    class: ClassId,
) -> Result<Option<PlannedThrough>, StoreError> {
    let row = sqlx::query_as!(
        PlannedThrough,
        "SELECT revision, through FROM timetable_plans WHERE class_id = $1",
        class.0
    );
    Ok(row.fetch_optional(conn).await?)
}
