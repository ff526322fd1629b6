//! What cameras say of a session's students: votes that count by themselves, and reviews that wait for a person. Written
//! by the attendance worker only; the list of reviews that the api shows is in `attendance_views`.

use crate::StoreError;
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    id::{CameraId, FrameId, ReviewId, SessionId, SightingId, UserId},
    sighting::Candidate,
};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// One confident look at a student.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vote {
    /// The student.
    pub student_id: UserId,
    /// The sighting.
    pub sighting_id: SightingId,
    /// The frame, which several packs may have looked at.
    pub frame_id: FrameId,
    /// The camera's time.
    pub captured_at: DateTime<Utc>,
    /// Cosine similarity to the student's template.
    pub similarity: f32,
    /// Whether it reached the pack's `certain` threshold.
    pub certain: bool,
}

/// A face that a person should decide about.
#[derive(Clone, Debug, PartialEq)]
pub struct Review {
    /// The id.
    pub id: ReviewId,
    /// The session.
    pub session_id: SessionId,
    /// The camera.
    pub camera_id: CameraId,
    /// The sighting.
    pub sighting_id: SightingId,
    /// The face in it.
    pub face_index: u32,
    /// The sequence of its crop in EVIDENCE.
    pub evidence_sequence: Option<u64>,
    /// The student whose mark depends on the answer.
    pub student_id: UserId,
    /// Whom it may be, most similar first.
    pub candidates: Vec<Candidate>,
    /// Why nobody but a person can tell.
    pub reason: &'static str,
    /// The camera's time.
    pub captured_at: DateTime<Utc>,
    /// When it is opened.
    pub opened_at: DateTime<Utc>,
}

/// Adds votes to a session. Those already there stay as they are.
///
/// # Errors
/// When the database does not do it.
pub async fn add_votes(tx: &mut PgConnection, session: SessionId, votes: &[Vote]) -> Result<(), StoreError> {
    let students: Vec<Uuid> = votes.iter().map(|vote| vote.student_id.0).collect();
    let sightings: Vec<Uuid> = votes.iter().map(|vote| vote.sighting_id.0).collect();
    let frames: Vec<Uuid> = votes.iter().map(|vote| vote.frame_id.0).collect();
    let captured: Vec<DateTime<Utc>> = votes.iter().map(|vote| vote.captured_at).collect();
    let similarities: Vec<f32> = votes.iter().map(|vote| vote.similarity).collect();
    let certain: Vec<bool> = votes.iter().map(|vote| vote.certain).collect();
    sqlx::query!(
        "INSERT INTO face_votes (session_id, student_id, sighting_id, frame_id, captured_at, similarity, certain)
         SELECT $1, student_id, sighting_id, frame_id, captured_at, similarity, certain
         FROM UNNEST($2::uuid[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::real[], $7::boolean[])
             AS vote (student_id, sighting_id, frame_id, captured_at, similarity, certain)
         ORDER BY student_id
         ON CONFLICT DO NOTHING",
        session.0,
        &students,
        &sightings,
        &frames,
        &captured,
        &similarities,
        &certain
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets the votes of a session from `from` on until `to`.
///
/// # Errors
/// When the database does not do it.
pub async fn forget_votes(
    tx: &mut PgConnection,
    session: SessionId,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "DELETE FROM face_votes WHERE session_id = $1 AND captured_at >= $2 AND captured_at < $3",
        session.0,
        from,
        to
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets at most `limit` votes of sessions that were never opened and whose time was over before `ended_before`. Returns
/// how many.
///
/// # Errors
/// When the database does not do it.
pub async fn purge_votes(pool: &PgPool, ended_before: DateTime<Utc>, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "DELETE FROM face_votes WHERE (session_id, student_id, sighting_id) IN
             (SELECT v.session_id, v.student_id, v.sighting_id FROM face_votes v JOIN sessions s ON s.id = v.session_id
              WHERE s.started_at IS NULL AND s.ends_at < $1 LIMIT $2)",
        ended_before,
        limit
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// The votes of a session for these students, or for everybody.
///
/// # Errors
/// When the database does not answer.
pub async fn votes(
    tx: &mut PgConnection,
    session: SessionId,
    students: Option<&[UserId]>,
) -> Result<Vec<Vote>, StoreError> {
    let students: Option<Vec<Uuid>> = students.map(|ids| ids.iter().map(|id| id.0).collect());
    let rows = sqlx::query_as!(
        Vote,
        "SELECT student_id, sighting_id, frame_id, captured_at, similarity, certain FROM face_votes
         WHERE session_id = $1 AND ($2::uuid[] IS NULL OR student_id = ANY($2))",
        session.0,
        students.as_deref()
    );
    Ok(rows.fetch_all(tx).await?)
}

/// Opens reviews, and returns the ids of those that are new: there is one for each session and student, and none for a
/// student who is known to have been there.
///
/// # Errors
/// When the database does not do it.
pub async fn open_reviews(tx: &mut PgConnection, reviews: &[Review]) -> Result<Vec<ReviewId>, StoreError> {
    let mut opened = Vec::new();
    for review in reviews {
        let done = sqlx::query!(
            "INSERT INTO reviews (id, session_id, camera_id, sighting_id, face_index, evidence_sequence,
                                  top_candidate, candidates, reason, captured_at, opened_at)
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
             WHERE NOT EXISTS (SELECT 1 FROM attendance WHERE session_id = $2 AND student_id = $7
                               AND status IN ('present', 'late'))
             ON CONFLICT DO NOTHING",
            review.id.0,
            review.session_id.0,
            review.camera_id.0,
            review.sighting_id.0,
            i32::try_from(review.face_index).unwrap_or(i32::MAX),
            review.evidence_sequence.and_then(|sequence| i64::try_from(sequence).ok()),
            review.student_id.0,
            candidates_json(&review.candidates),
            review.reason,
            review.captured_at,
            review.opened_at
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 1 {
            opened.push(review.id);
        }
    }
    Ok(opened)
}

/// Closes the open reviews about these students, who are known to have been there.
///
/// # Errors
/// When the database does not do it.
pub async fn resolve_reviews(
    tx: &mut PgConnection,
    known: &[(SessionId, UserId)],
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    if known.is_empty() {
        return Ok(());
    }
    let sessions: Vec<Uuid> = known.iter().map(|(session, _)| session.0).collect();
    let students: Vec<Uuid> = known.iter().map(|(_, student)| student.0).collect();
    sqlx::query!(
        "UPDATE reviews r SET resolved_at = $3
         FROM UNNEST($1::uuid[], $2::uuid[]) AS known (session_id, student_id)
         WHERE r.session_id = known.session_id AND r.top_candidate = known.student_id AND r.resolved_at IS NULL",
        &sessions,
        &students,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

fn candidates_json(candidates: &[Candidate]) -> serde_json::Value {
    let item = |candidate: &Candidate| serde_json::json!({ "userId": candidate.user_id, "similarity": candidate.similarity });
    candidates.iter().map(item).collect()
}
