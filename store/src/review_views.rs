//! Questions that wait for a person, or were answered, as the api shows them. Read only: what changes them is in
//! `reviews`.

use crate::{
    StoreError,
    attendance_views::DecidedBy,
    pages::{Page, Paged},
    reviews::{candidates, resolution},
};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    fact::Resolution,
    id::{CameraId, ClassId, ReviewId, SessionId, SightingId, UserId},
    sighting::Candidate,
};
use sqlx::PgConnection;
use std::collections::HashMap;
use uuid::Uuid;

/// A face or a scan about which a person decides.
#[derive(Clone, Debug, PartialEq)]
pub struct ReviewView {
    /// The id.
    pub id: ReviewId,
    /// The session.
    pub session_id: SessionId,
    /// Its class.
    pub class_id: ClassId,
    /// The student whose record depends on it.
    pub student_id: UserId,
    /// The student's full name.
    pub student_name: String,
    /// The camera that saw the face, where it was noted.
    pub camera_id: Option<CameraId>,
    /// The sighting; absent where the question is about a scan.
    pub sighting_id: Option<SightingId>,
    /// The sequence of the face's crop in EVIDENCE.
    pub evidence_sequence: Option<u64>,
    /// What was found of the scan, where its class has rules against codes that are passed on.
    pub found: Option<serde_json::Value>,
    /// Whom it may be, most similar first.
    pub candidates: Vec<Candidate>,
    /// Why it was not decided.
    pub reason: String,
    /// When the face was seen, or the scan received.
    pub captured_at: DateTime<Utc>,
    /// When the question was put.
    pub opened_at: DateTime<Utc>,
    /// How it was answered.
    pub answer: Option<AnswerView>,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerView {
    /// What it says.
    pub resolution: Resolution,
    /// When.
    pub at: DateTime<Utc>,
    /// Who gave it; nobody where evidence did.
    pub by: Option<DecidedBy>,
    /// Why, in their words.
    pub why: Option<String>,
    /// Who it is instead.
    pub reassigned_to: Option<UserId>,
}

/// Which reviews are wanted.
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
    student_id: Uuid,
    student_name: String,
    camera_id: Option<Uuid>,
    sighting_id: Option<Uuid>,
    evidence_sequence: Option<i64>,
    found: Option<serde_json::Value>,
    candidates: serde_json::Value,
    reason: String,
    captured_at: DateTime<Utc>,
    opened_at: DateTime<Utc>,
    resolved_at: Option<DateTime<Utc>>,
    resolution: Option<String>,
    resolved_by: Option<Uuid>,
    resolver: Option<String>,
    resolved_why: Option<String>,
    reassigned_to: Option<Uuid>,
}

impl TryFrom<Row> for ReviewView {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let became = row.resolution.as_deref().map(resolution).transpose()?;
        let answer = became.zip(row.resolved_at).map(|(resolution, at)| AnswerView {
            resolution,
            at,
            by: DecidedBy::of(row.resolved_by, row.resolver),
            why: row.resolved_why,
            reassigned_to: row.reassigned_to.map(UserId),
        });
        Ok(Self {
            id: row.id.into(),
            session_id: row.session_id.into(),
            class_id: row.class_id.into(),
            student_id: row.student_id.into(),
            student_name: row.student_name,
            camera_id: row.camera_id.map(CameraId),
            sighting_id: row.sighting_id.map(SightingId),
            evidence_sequence: row.evidence_sequence.and_then(|sequence| u64::try_from(sequence).ok()),
            found: row.found,
            candidates: candidates(row.candidates)?,
            reason: row.reason,
            captured_at: row.captured_at,
            opened_at: row.opened_at,
            answer,
        })
    }
}

macro_rules! select_reviews {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT r.id, r.session_id, s.class_id, r.top_candidate AS student_id, u.full_name AS student_name,
                      r.camera_id, r.sighting_id, r.evidence_sequence, k.found AS "found?", r.candidates, r.reason, r.captured_at, r.opened_at,
                      r.resolved_at, r.resolution, r.resolved_by, d.full_name AS "resolver?", r.resolved_why,
                      r.reassigned_to
               FROM reviews r
               JOIN sessions s ON s.id = r.session_id
               JOIN classes c ON c.id = s.class_id
               JOIN users u ON u.id = r.top_candidate
               LEFT JOIN users d ON d.id = r.resolved_by
               LEFT JOIN scan_checks k ON k.session_id = r.session_id AND k.scan_id = r.scan_id "# + $rest,
            $($argument),*
        )
    };
}

/// A page of the open reviews, oldest evidence first.
///
/// # Errors
/// When the database does not answer.
pub async fn open(
    conn: &mut PgConnection,
    filter: ReviewFilter,
    page: Page,
) -> Result<Paged<ReviewView>, StoreError> {
    let (session, teacher) = (filter.session_id.map(Uuid::from), filter.teacher_id.map(Uuid::from));
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
    let rows = select_reviews!(
        "WHERE r.resolved_at IS NULL AND ($1::uuid IS NULL OR r.session_id = $1)
           AND ($2::uuid IS NULL OR c.teacher_id = $2)
         ORDER BY r.captured_at, r.id LIMIT $3 OFFSET $4",
        session,
        teacher,
        page.limit,
        page.offset
    )
    .fetch_all(conn)
    .await?;
    Ok(Paged { rows: rows.into_iter().map(ReviewView::try_from).collect::<Result<_, _>>()?, total })
}

/// A page of the reviews that were answered, newest evidence first.
///
/// # Errors
/// When the database does not answer.
pub async fn resolved(
    conn: &mut PgConnection,
    filter: ReviewFilter,
    page: Page,
) -> Result<Paged<ReviewView>, StoreError> {
    let (session, teacher) = (filter.session_id.map(Uuid::from), filter.teacher_id.map(Uuid::from));
    let total = sqlx::query_scalar!(
        r#"SELECT count(*) AS "total!" FROM reviews r
           JOIN sessions s ON s.id = r.session_id JOIN classes c ON c.id = s.class_id
           WHERE r.resolved_at IS NOT NULL AND ($1::uuid IS NULL OR r.session_id = $1)
             AND ($2::uuid IS NULL OR c.teacher_id = $2)"#,
        session,
        teacher
    )
    .fetch_one(&mut *conn)
    .await?;
    let rows = select_reviews!(
        "WHERE r.resolved_at IS NOT NULL AND ($1::uuid IS NULL OR r.session_id = $1)
           AND ($2::uuid IS NULL OR c.teacher_id = $2)
         ORDER BY r.captured_at DESC, r.id LIMIT $3 OFFSET $4",
        session,
        teacher,
        page.limit,
        page.offset
    )
    .fetch_all(conn)
    .await?;
    Ok(Paged { rows: rows.into_iter().map(ReviewView::try_from).collect::<Result<_, _>>()?, total })
}

/// The review of that id.
///
/// # Errors
/// When the database does not answer.
pub async fn find(conn: &mut PgConnection, id: ReviewId) -> Result<Option<ReviewView>, StoreError> {
    let row = select_reviews!("WHERE r.id = $1", id.0).fetch_optional(conn).await?;
    row.map(ReviewView::try_from).transpose()
}

/// The full names of those of these people who exist; for a teacher, of those who are in their classes.
///
/// # Errors
/// When the database does not answer.
pub async fn names(
    conn: &mut PgConnection,
    people: &[UserId],
    teacher: Option<UserId>,
) -> Result<HashMap<UserId, String>, StoreError> {
    let ids: Vec<Uuid> = people.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        "SELECT u.id, u.full_name FROM users u
         WHERE u.id = ANY($1)
           AND ($2::uuid IS NULL
                OR EXISTS (SELECT 1 FROM enrolments e JOIN classes c ON c.id = e.class_id
                           WHERE e.student_id = u.id AND e.valid_to IS NULL AND c.teacher_id = $2
                             AND c.deleted_at IS NULL))",
        &ids,
        teacher.map(Uuid::from)
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(|row| (row.id.into(), row.full_name)).collect())
}
