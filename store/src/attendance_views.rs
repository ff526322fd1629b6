//! Records of attendance and their versions as the api shows them. Read only: what changes them is in `attendance`.

use crate::{
    StoreError,
    attendance::{evidence, status},
    pages::{Page, Paged},
};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    fact::{AttendanceStatus, Evidence},
    id::{AttendanceId, ClassId, SessionId, UserId},
};
use sqlx::PgConnection;
use uuid::Uuid;

/// One student's attendance of one session.
#[derive(Clone, Debug, PartialEq)]
pub struct AttendanceView {
    /// The id.
    pub id: AttendanceId,
    /// The session.
    pub session_id: SessionId,
    /// Its class.
    pub class_id: ClassId,
    /// The class's name.
    pub class_name: String,
    /// The student.
    pub student_id: UserId,
    /// The student's full name.
    pub student_name: String,
    /// The student's roll number.
    pub roll_number: Option<String>,
    /// What the record says.
    pub status: AttendanceStatus,
    /// When the student was there.
    pub marked_at: DateTime<Utc>,
    /// By what evidence.
    pub evidence: Evidence,
    /// Cosine similarity, for a face.
    pub similarity: Option<f32>,
    /// Who made it say so; nobody where machines did.
    pub decided_by: Option<DecidedBy>,
    /// Why, in their words.
    pub reason: Option<String>,
    /// Where the scan came from that it keeps, if it keeps one.
    pub ip: Option<String>,
    /// What the scanning client called itself.
    pub user_agent: Option<String>,
    /// The trace that led to the record, 32 hexadecimal digits.
    pub trace_id: Option<String>,
}

/// What a record is about, whether or not there is one at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSubject {
    /// The session.
    pub session_id: SessionId,
    /// Its class.
    pub class_id: ClassId,
    /// The student.
    pub student_id: UserId,
}

/// What a record said for some time.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionView {
    /// The status.
    pub status: AttendanceStatus,
    /// When the student was there.
    pub marked_at: DateTime<Utc>,
    /// By what evidence.
    pub evidence: Evidence,
    /// Cosine similarity, for a face.
    pub similarity: Option<f32>,
    /// Who made it say so; nobody where machines did.
    pub decided_by: Option<DecidedBy>,
    /// Why, in their words.
    pub reason: Option<String>,
    /// From when it stood.
    pub recorded_at: DateTime<Utc>,
    /// Until when; absent for what stands.
    pub changed_at: Option<DateTime<Utc>>,
}

/// A person who decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedBy {
    /// The person.
    pub id: UserId,
    /// The person's full name.
    pub name: String,
}

impl DecidedBy {
    pub(crate) fn of(id: Option<Uuid>, name: Option<String>) -> Option<Self> {
        Some(Self { id: id?.into(), name: name? })
    }
}

struct Row {
    id: Uuid,
    session_id: Uuid,
    class_id: Uuid,
    class_name: String,
    student_id: Uuid,
    student_name: String,
    roll_number: Option<String>,
    status: String,
    marked_at: DateTime<Utc>,
    evidence: String,
    similarity: Option<f32>,
    decided_by: Option<Uuid>,
    decider: Option<String>,
    reason: Option<String>,
    ip: Option<String>,
    user_agent: Option<String>,
    trace_id: Option<String>,
}

impl TryFrom<Row> for AttendanceView {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.into(),
            session_id: row.session_id.into(),
            class_id: row.class_id.into(),
            class_name: row.class_name,
            student_id: row.student_id.into(),
            student_name: row.student_name,
            roll_number: row.roll_number,
            status: status(&row.status)?,
            marked_at: row.marked_at,
            evidence: evidence(&row.evidence)?,
            similarity: row.similarity,
            decided_by: DecidedBy::of(row.decided_by, row.decider),
            reason: row.reason,
            ip: row.ip,
            user_agent: row.user_agent,
            trace_id: row.trace_id,
        })
    }
}

macro_rules! select_attendance {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT a.id, a.session_id, s.class_id, c.name AS class_name, a.student_id, u.full_name AS student_name,
                      u.roll_number, a.status, a.marked_at, a.evidence, a.similarity, a.decided_by,
                      d.full_name AS "decider?", a.reason, host(a.ip) AS ip, a.user_agent, a.trace_id
               FROM attendance a
               JOIN sessions s ON s.id = a.session_id
               JOIN classes c ON c.id = s.class_id
               JOIN users u ON u.id = a.student_id
               LEFT JOIN users d ON d.id = a.decided_by "# + $rest,
            $($argument),*
        )
    };
}

/// A page of the records of a session, by the students' names.
///
/// # Errors
/// When the database does not answer.
pub async fn of_session(
    conn: &mut PgConnection,
    session: SessionId,
    page: Page,
) -> Result<Paged<AttendanceView>, StoreError> {
    let total = sqlx::query_scalar!(
        r#"SELECT count(*) AS "total!" FROM attendance WHERE session_id = $1"#,
        session.0
    )
    .fetch_one(&mut *conn)
    .await?;
    let rows = select_attendance!(
        "WHERE a.session_id = $1 ORDER BY u.full_name, a.id LIMIT $2 OFFSET $3",
        session.0,
        page.limit,
        page.offset
    )
    .fetch_all(conn)
    .await?;
    Ok(Paged { rows: rows.into_iter().map(AttendanceView::try_from).collect::<Result<_, _>>()?, total })
}

/// A page of the records of a student, newest first: all, or those in a teacher's classes.
///
/// # Errors
/// When the database does not answer.
pub async fn of_student(
    conn: &mut PgConnection,
    student: UserId,
    teacher: Option<UserId>,
    page: Page,
) -> Result<Paged<AttendanceView>, StoreError> {
    let teacher = teacher.map(|id| id.0);
    let total = sqlx::query_scalar!(
        r#"SELECT count(*) AS "total!" FROM attendance a
           JOIN sessions s ON s.id = a.session_id JOIN classes c ON c.id = s.class_id
           WHERE a.student_id = $1 AND ($2::uuid IS NULL OR c.teacher_id = $2)"#,
        student.0,
        teacher
    )
    .fetch_one(&mut *conn)
    .await?;
    let rows = select_attendance!(
        "WHERE a.student_id = $1 AND ($2::uuid IS NULL OR c.teacher_id = $2)
         ORDER BY a.marked_at DESC, a.id LIMIT $3 OFFSET $4",
        student.0,
        teacher,
        page.limit,
        page.offset
    )
    .fetch_all(conn)
    .await?;
    Ok(Paged { rows: rows.into_iter().map(AttendanceView::try_from).collect::<Result<_, _>>()?, total })
}

/// The record of that id.
///
/// # Errors
/// When the database does not answer.
pub async fn find(conn: &mut PgConnection, id: AttendanceId) -> Result<Option<AttendanceView>, StoreError> {
    let row = select_attendance!("WHERE a.id = $1", id.0).fetch_optional(conn).await?;
    row.map(AttendanceView::try_from).transpose()
}

/// What the record of that id is about, also when it was taken back.
///
/// # Errors
/// When the database does not answer.
pub async fn subject(conn: &mut PgConnection, id: AttendanceId) -> Result<Option<RecordSubject>, StoreError> {
    let row = sqlx::query_as!(
        RecordSubject,
        r#"SELECT s.id AS "session_id!", s.class_id, r.student_id AS "student_id!"
           FROM (SELECT session_id, student_id FROM attendance WHERE id = $1
                 UNION
                 SELECT session_id, student_id FROM attendance_history WHERE attendance_id = $1) AS r
           JOIN sessions s ON s.id = r.session_id"#,
        id.0
    );
    Ok(row.fetch_optional(conn).await?)
}

/// Everything that the record of that id has said, in order; what it says now, if there is one, comes last.
///
/// # Errors
/// When the database does not answer.
pub async fn history(conn: &mut PgConnection, id: AttendanceId) -> Result<Vec<VersionView>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT v.status AS "status!", v.marked_at AS "marked_at!", v.evidence AS "evidence!", v.similarity,
                  v.decided_by, d.full_name AS "decider?", v.reason, v.recorded_at AS "recorded_at!", v.changed_at
           FROM (SELECT status, marked_at, evidence, similarity, decided_by, reason, recorded_at, changed_at, place
                 FROM attendance_history WHERE attendance_id = $1
                 UNION ALL
                 SELECT status, marked_at, evidence, similarity, decided_by, reason, recorded_at, NULL, NULL
                 FROM attendance WHERE id = $1) AS v
           LEFT JOIN users d ON d.id = v.decided_by
           ORDER BY v.changed_at NULLS LAST, v.place"#,
        id.0
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(VersionView {
                status: status(&row.status)?,
                marked_at: row.marked_at,
                evidence: evidence(&row.evidence)?,
                similarity: row.similarity,
                decided_by: DecidedBy::of(row.decided_by, row.decider),
                reason: row.reason,
                recorded_at: row.recorded_at,
                changed_at: row.changed_at,
            })
        })
        .collect()
}
