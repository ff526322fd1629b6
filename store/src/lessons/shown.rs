//! Lessons and sessions as timetables show them. Read only: what changes them is in `lessons` and `sessions`.

use super::{LessonPlan, LessonState, state};
use crate::StoreError;
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    fact::SessionState,
    id::{ClassId, SessionId},
};
use rollcall_timetable::Slot;
use sqlx::PgConnection;

/// A lesson as a timetable shows it: the session that it is, or the one that is in its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownLesson {
    /// The class.
    pub class_id: ClassId,
    /// What it is known by.
    pub slot: Slot,
    /// Where it stands.
    pub state: LessonState,
    /// The session that it is, was or would be.
    pub session_id: SessionId,
    /// Where that session stands, if there is one.
    pub session_state: Option<SessionState>,
    /// Of the session that is in the way: its class, and when it begins and ends.
    pub in_the_way: Option<(String, DateTime<Utc>, DateTime<Utc>)>,
}

/// What became of the lessons of these classes that were planned to begin in this span.
///
/// # Errors
/// When the database does not answer.
pub async fn shown(
    conn: &mut PgConnection,
    classes: &[ClassId],
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Vec<ShownLesson>, StoreError> {
    let ids: Vec<_> = classes.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT l.class_id, l.date, l.starts, l.state, l.session_id, l.in_the_way, s.state AS "session_state?",
                  c.name AS "other_class?", o.starts_at AS "other_starts_at?", o.ends_at AS "other_ends_at?"
           FROM timetable_lessons l
           LEFT JOIN sessions s ON s.id = l.session_id
           LEFT JOIN sessions o ON o.id = l.in_the_way
           LEFT JOIN classes c ON c.id = o.class_id
           WHERE l.class_id = ANY($1) AND l.starts_at >= $2 AND l.starts_at < $3"#,
        &ids,
        from,
        to
    );
    rows.fetch_all(conn)
        .await?
        .into_iter()
        .map(|row| {
            let session_state = row.session_state.map(|state| {
                SessionState::parse(&state).ok_or_else(|| StoreError::corrupt("sessions", "state", &state))
            });
            Ok(ShownLesson {
                class_id: row.class_id.into(),
                slot: Slot { date: row.date, starts: row.starts },
                state: state(&row.state, row.in_the_way)?,
                session_id: row.session_id.into(),
                session_state: session_state.transpose()?,
                in_the_way: match (row.other_class, row.other_starts_at, row.other_ends_at) {
                    (Some(class), Some(starts_at), Some(ends_at)) => Some((class, starts_at, ends_at)),
                    _ => None,
                },
            })
        })
        .collect()
}

/// A session that takes place, or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSession {
    /// The session.
    pub session_id: SessionId,
    /// Its class.
    pub class_id: ClassId,
    /// The lesson that it was made of, if it was.
    pub slot: Option<Slot>,
    /// Where it stands.
    pub state: SessionState,
    /// When and where it takes place.
    pub plan: LessonPlan,
}

/// The sessions of these classes that begin in this span, in order, without the cancelled.
///
/// # Errors
/// When the database does not answer.
pub async fn held(
    conn: &mut PgConnection,
    classes: &[ClassId],
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Vec<HeldSession>, StoreError> {
    let ids: Vec<_> = classes.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT s.id, s.class_id, s.state, s.starts_at, s.ends_at, s.room, l.date AS "date?", l.starts AS "starts?"
           FROM sessions s LEFT JOIN timetable_lessons l ON l.session_id = s.id AND l.state = 'planned'
           WHERE s.class_id = ANY($1) AND s.starts_at >= $2 AND s.starts_at < $3 AND s.state <> 'cancelled'
           ORDER BY s.starts_at, s.id"#,
        &ids,
        from,
        to
    );
    rows.fetch_all(conn)
        .await?
        .into_iter()
        .map(|row| {
            let state = SessionState::parse(&row.state);
            Ok(HeldSession {
                session_id: row.id.into(),
                class_id: row.class_id.into(),
                slot: row.date.zip(row.starts).map(|(date, starts)| Slot { date, starts }),
                state: state.ok_or_else(|| StoreError::corrupt("sessions", "state", &row.state))?,
                plan: LessonPlan { starts_at: row.starts_at, ends_at: row.ends_at, room: row.room },
            })
        })
        .collect()
}
