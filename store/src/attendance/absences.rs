//! Who has no record, and records that are taken back so that there is none.

use crate::StoreError;
use chrono::{DateTime, Utc};
use rollcall_schemas::id::{AttendanceId, ClassId, SessionId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

/// Who was in a class when it was `at` and has no record of the session.
///
/// # Errors
/// When the database does not answer.
pub async fn without_record(
    tx: &mut PgConnection,
    session: SessionId,
    class: ClassId,
    at: DateTime<Utc>,
) -> Result<Vec<UserId>, StoreError> {
    let rows = sqlx::query_scalar!(
        "SELECT e.student_id FROM enrolments e
         WHERE e.class_id = $2 AND e.valid_from <= $3 AND (e.valid_to IS NULL OR e.valid_to > $3)
           AND NOT EXISTS (SELECT 1 FROM attendance a WHERE a.session_id = $1 AND a.student_id = e.student_id)",
        session.0,
        class.0,
        at
    );
    Ok(rows.fetch_all(tx).await?.into_iter().map(UserId::from).collect())
}

/// Takes back the absences that the end of a session recorded, and keeps in their history that they were. Returns whose
/// they were. What a person has said stays.
///
/// # Errors
/// When the database does not do it.
pub async fn withdraw_absences(
    tx: &mut PgConnection,
    session: SessionId,
    cause: Uuid,
    at: DateTime<Utc>,
) -> Result<Vec<UserId>, StoreError> {
    sqlx::query!(
        "INSERT INTO attendance_history (attendance_id, session_id, student_id, cause, status, marked_at, evidence, decided_by,
                                         reason, recorded_at, changed_at)
         SELECT id, session_id, student_id, $2, status, marked_at, evidence, decided_by, reason, recorded_at, $3
         FROM attendance
         WHERE session_id = $1 AND status = 'absent' AND evidence = 'none'
         ON CONFLICT DO NOTHING",
        session.0,
        cause,
        at
    )
    .execute(&mut *tx)
    .await?;
    let gone = sqlx::query_scalar!(
        "DELETE FROM attendance WHERE session_id = $1 AND status = 'absent' AND evidence = 'none' RETURNING student_id",
        session.0
    );
    Ok(gone.fetch_all(tx).await?.into_iter().map(UserId::from).collect())
}

/// Takes back a record, which [`super::lock_marks`] holds, and keeps in its history what it said.
///
/// # Errors
/// When the database does not do it.
pub async fn withdraw(
    tx: &mut PgConnection,
    id: AttendanceId,
    cause: Uuid,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "WITH gone AS (DELETE FROM attendance WHERE id = $1 RETURNING *)
         INSERT INTO attendance_history (attendance_id, session_id, student_id, cause, status, marked_at, evidence, similarity,
                                         decided_by, reason, recorded_at, changed_at)
         SELECT id, session_id, student_id, $2, status, marked_at, evidence, similarity, decided_by, reason, recorded_at, $3
         FROM gone
         ON CONFLICT DO NOTHING",
        id.0,
        cause,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}
