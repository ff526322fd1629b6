//! Records of attendance and open reviews as the api shows them. Read only: what changes them is in `attendance`.

use crate::{
    StoreError,
    pages::{Page, Paged},
};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    fact::{AttendanceStatus, Evidence},
    id::{AttendanceId, CameraId, ClassId, ReviewId, SessionId, UserId},
    sighting::Candidate,
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
    /// The trace that led to the record, 32 hexadecimal digits.
    pub trace_id: Option<String>,
}

/// A face that waits for a person's decision.
#[derive(Clone, Debug, PartialEq)]
pub struct ReviewView {
    /// The id.
    pub id: ReviewId,
    /// The session.
    pub session_id: SessionId,
    /// Its class.
    pub class_id: ClassId,
    /// The camera that saw the face.
    pub camera_id: CameraId,
    /// Whom it may be, most similar first.
    pub candidates: Vec<Candidate>,
    /// Why it was not decided.
    pub reason: String,
    /// When the face was seen.
    pub captured_at: DateTime<Utc>,
    /// When the question was put.
    pub opened_at: DateTime<Utc>,
}

/// Which open reviews are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReviewFilter {
    /// Those of one session.
    pub session_id: Option<SessionId>,
    /// Those of a teacher's classes.
    pub teacher_id: Option<UserId>,
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
            status: AttendanceStatus::parse(&row.status)
                .ok_or_else(|| StoreError::corrupt("attendance", "status", &row.status))?,
            marked_at: row.marked_at,
            evidence: Evidence::parse(&row.evidence)
                .ok_or_else(|| StoreError::corrupt("attendance", "evidence", &row.evidence))?,
            similarity: row.similarity,
            trace_id: row.trace_id,
        })
    }
}

macro_rules! select_attendance {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            "SELECT a.id, a.session_id, s.class_id, c.name AS class_name, a.student_id, u.full_name AS student_name,
                    u.roll_number, a.status, a.marked_at, a.evidence, a.similarity, a.trace_id
             FROM attendance a
             JOIN sessions s ON s.id = a.session_id
             JOIN classes c ON c.id = s.class_id
             JOIN users u ON u.id = a.student_id " + $rest,
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

/// A page of the open reviews, oldest sighting first.
///
/// # Errors
/// When the database does not answer.
pub async fn open_reviews(
    conn: &mut PgConnection,
    filter: ReviewFilter,
    page: Page,
) -> Result<Paged<ReviewView>, StoreError> {
    let (session, teacher) = (filter.session_id.map(|id| id.0), filter.teacher_id.map(|id| id.0));
    let total = sqlx::query_scalar!(
        r#"SELECT count(*) AS "total!" FROM reviews r
           JOIN sessions s ON s.id = r.session_id JOIN classes c ON c.id = s.class_id
           WHERE r.resolved_at IS NULL AND ($1::uuid IS NULL OR r.session_id = $1)
             AND ($2::uuid IS NULL OR c.teacher_id = $2)"#,
        session,
        teacher
    )
    .fetch_one(&mut *conn)
    .await?;
    let rows = sqlx::query!(
        "SELECT r.id, r.session_id, s.class_id, r.camera_id, r.candidates, r.reason, r.captured_at, r.opened_at
         FROM reviews r JOIN sessions s ON s.id = r.session_id JOIN classes c ON c.id = s.class_id
         WHERE r.resolved_at IS NULL AND ($1::uuid IS NULL OR r.session_id = $1)
           AND ($2::uuid IS NULL OR c.teacher_id = $2)
         ORDER BY r.captured_at, r.id LIMIT $3 OFFSET $4",
        session,
        teacher,
        page.limit,
        page.offset
    )
    .fetch_all(conn)
    .await?;
    let rows = rows
        .into_iter()
        .map(|row| {
            let candidates: Vec<ReviewCandidate> = serde_json::from_value(row.candidates)
                .map_err(|error| StoreError::corrupt("reviews", "candidates", &error.to_string()))?;
            Ok(ReviewView {
                id: row.id.into(),
                session_id: row.session_id.into(),
                class_id: row.class_id.into(),
                camera_id: row.camera_id.into(),
                candidates: candidates.into_iter().map(Candidate::from).collect(),
                reason: row.reason,
                captured_at: row.captured_at,
                opened_at: row.opened_at,
            })
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(Paged { rows, total })
}

/// One candidate as the column keeps it.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReviewCandidate {
    user_id: UserId,
    similarity: f32,
}

impl From<ReviewCandidate> for Candidate {
    fn from(candidate: ReviewCandidate) -> Self {
        Self { user_id: candidate.user_id, similarity: candidate.similarity }
    }
}
