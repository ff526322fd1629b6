//! Questions that wait for a person, and their answers. Written by the attendance worker only; what the api shows of them
//! is in `review_views`.
//!
//! There is one question for each session and student. Whoever holds the student's mark (`attendance::hold_marks`), or the
//! session alone, holds the question too.

use crate::StoreError;
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    fact::Resolution,
    id::{CameraId, ReviewId, ScanId, SessionId, SightingId, UserId},
    sighting::Candidate,
};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use std::collections::HashMap;
use uuid::Uuid;

/// A question.
#[derive(Clone, Debug, PartialEq)]
pub struct Review {
    /// The id.
    pub id: ReviewId,
    /// The session.
    pub session_id: SessionId,
    /// What it is about.
    pub subject: Subject,
    /// The student whose mark depends on the answer.
    pub student_id: UserId,
    /// Whom the face may be, most similar first; nobody for a scan.
    pub candidates: Vec<Candidate>,
    /// Why nobody but a person can tell.
    pub reason: String,
    /// When the face was captured, or the scan received.
    pub captured_at: DateTime<Utc>,
    /// When it is put.
    pub opened_at: DateTime<Utc>,
    /// What became of it; nothing while it is open.
    pub resolution: Option<Resolution>,
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A face that a camera saw.
    Face(Look),
    /// A scan that no face confirms.
    Scan(ScanId),
}

impl Subject {
    /// The look, for a face.
    pub fn look(&self) -> Option<&Look> {
        match self {
            Subject::Face(look) => Some(look),
            Subject::Scan(_) => None,
        }
    }
}

/// Where a face was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The camera, where it was noted.
    pub camera_id: Option<CameraId>,
    /// The sighting.
    pub sighting_id: SightingId,
    /// The face in it, where it was noted.
    pub face_index: Option<u32>,
    /// The sequence of its crop in EVIDENCE.
    pub evidence_sequence: Option<u64>,
}

/// A person's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What it says.
    pub resolution: Resolution,
    /// Who answered.
    pub by: UserId,
    /// Why.
    pub why: Option<String>,
    /// Who it is instead.
    pub reassigned_to: Option<UserId>,
    /// When.
    pub at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    session_id: Uuid,
    camera_id: Option<Uuid>,
    sighting_id: Option<Uuid>,
    face_index: Option<i32>,
    evidence_sequence: Option<i64>,
    scan_id: Option<Uuid>,
    top_candidate: Uuid,
    candidates: serde_json::Value,
    reason: String,
    captured_at: DateTime<Utc>,
    opened_at: DateTime<Utc>,
    resolution: Option<String>,
}

impl TryFrom<Row> for Review {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let look = row.sighting_id.map(|sighting_id| Look {
            camera_id: row.camera_id.map(CameraId),
            sighting_id: sighting_id.into(),
            face_index: row.face_index.and_then(|index| u32::try_from(index).ok()),
            evidence_sequence: row.evidence_sequence.and_then(|sequence| u64::try_from(sequence).ok()),
        });
        let subject = look.map(Subject::Face).or(row.scan_id.map(|id| Subject::Scan(id.into())));
        Ok(Self {
            id: row.id.into(),
            session_id: row.session_id.into(),
            subject: subject.ok_or_else(|| StoreError::corrupt("reviews", "scan_id", "absent"))?,
            student_id: row.top_candidate.into(),
            candidates: candidates(row.candidates)?,
            reason: row.reason,
            captured_at: row.captured_at,
            opened_at: row.opened_at,
            resolution: row.resolution.as_deref().map(resolution).transpose()?,
        })
    }
}

/// What became of a question so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// How it was resolved; nothing while it is open.
    pub resolution: Option<Resolution>,
    /// Why the questions were put that a person has answered with no.
    pub rejected: Vec<String>,
}

/// What became of those of these questions that were ever put. The transaction holds them.
///
/// # Errors
/// When the database does not answer.
pub async fn past(tx: &mut PgConnection, ids: &[ReviewId]) -> Result<HashMap<ReviewId, Past>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!("SELECT id, resolution, rejected FROM reviews WHERE id = ANY($1)", &ids);
    let past = rows.fetch_all(tx).await?.into_iter().map(|row| {
        let resolution = row.resolution.as_deref().map(resolution).transpose()?;
        Ok((row.id.into(), Past { resolution, rejected: row.rejected }))
    });
    past.collect()
}

/// Those of these students of a session, or of everybody, of whom a person has answered a question with no that was put for
/// this reason.
///
/// # Errors
/// When the database does not answer.
pub async fn rejected(
    tx: &mut PgConnection,
    (session, students): (SessionId, Option<&[UserId]>),
    reason: &str,
) -> Result<Vec<UserId>, StoreError> {
    let students: Option<Vec<Uuid>> = students.map(|ids| ids.iter().map(|id| id.0).collect());
    let rejected = sqlx::query_scalar!(
        "SELECT top_candidate FROM reviews
         WHERE session_id = $1 AND ($2::uuid[] IS NULL OR top_candidate = ANY($2)) AND $3 = ANY(rejected)",
        session.0,
        students.as_deref(),
        reason
    );
    Ok(rejected.fetch_all(tx).await?.into_iter().map(UserId::from).collect())
}

/// Puts questions, and returns the ids of those that are open now and were not: there is none about a student who is known
/// to have been there or of whom a person has spoken. Whether one may be put again is the caller's to say.
///
/// # Errors
/// When the database does not do it.
pub async fn open(tx: &mut PgConnection, reviews: &[Review]) -> Result<Vec<ReviewId>, StoreError> {
    let mut opened = Vec::new();
    for review in reviews {
        let look = review.subject.look();
        let scan_id = match review.subject {
            Subject::Face(_) => None,
            Subject::Scan(id) => Some(id.0),
        };
        let done = sqlx::query!(
            "INSERT INTO reviews (id, session_id, camera_id, sighting_id, face_index, evidence_sequence, scan_id,
                                  top_candidate, candidates, reason, captured_at, opened_at)
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
             WHERE NOT EXISTS (SELECT 1 FROM attendance WHERE session_id = $2 AND student_id = $8
                               AND (status IN ('present', 'late', 'excused') OR evidence = 'manual'))
             ON CONFLICT (session_id, top_candidate) DO UPDATE SET
                 camera_id = EXCLUDED.camera_id, sighting_id = EXCLUDED.sighting_id,
                 face_index = EXCLUDED.face_index, evidence_sequence = EXCLUDED.evidence_sequence,
                 scan_id = EXCLUDED.scan_id, candidates = EXCLUDED.candidates, reason = EXCLUDED.reason,
                 captured_at = EXCLUDED.captured_at, opened_at = EXCLUDED.opened_at, resolved_at = NULL,
                 resolution = NULL, resolved_by = NULL, resolved_why = NULL, reassigned_to = NULL
             WHERE reviews.resolved_at IS NOT NULL",
            review.id.0,
            review.session_id.0,
            look.and_then(|look| look.camera_id).map(Uuid::from),
            look.map(|look| look.sighting_id.0),
            look.and_then(|look| i32::try_from(look.face_index?).ok()),
            look.and_then(|look| i64::try_from(look.evidence_sequence?).ok()),
            scan_id,
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

/// Closes the open questions about these students, of whom it is known now.
///
/// # Errors
/// When the database does not do it.
pub async fn settle(
    tx: &mut PgConnection,
    known: &[(SessionId, UserId)],
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    if known.is_empty() {
        return Ok(());
    }
    let (sessions, students) = columns(known);
    sqlx::query!(
        "UPDATE reviews r SET resolved_at = $3, resolution = 'known'
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

/// Puts the questions about these students again, of whom it is no longer known, where they were closed by what no longer
/// counts and are about something before the end of the session. Returns them.
///
/// # Errors
/// When the database does not do it.
pub async fn reopen(
    tx: &mut PgConnection,
    unknown: &[(SessionId, UserId)],
) -> Result<Vec<Review>, StoreError> {
    if unknown.is_empty() {
        return Ok(Vec::new());
    }
    let (sessions, students) = columns(unknown);
    let rows = sqlx::query_as!(
        Row,
        "UPDATE reviews r SET resolved_at = NULL, resolution = NULL, resolved_by = NULL, resolved_why = NULL
         FROM UNNEST($1::uuid[], $2::uuid[]) AS gone (session_id, student_id) JOIN sessions s ON s.id = gone.session_id
         WHERE r.session_id = gone.session_id AND r.top_candidate = gone.student_id
           AND r.resolution IN ('known', 'accepted') AND r.captured_at < coalesce(s.ended_at, s.ends_at)
         RETURNING r.id, r.session_id, r.camera_id, r.sighting_id, r.face_index, r.evidence_sequence, r.scan_id,
                   r.top_candidate, r.candidates, r.reason, r.captured_at, r.opened_at, r.resolution",
        &sessions,
        &students
    );
    rows.fetch_all(tx).await?.into_iter().map(Review::try_from).collect()
}

/// Closes the open questions about what turns out to have been after the end of a session.
///
/// # Errors
/// When the database does not do it.
pub async fn overtake(
    tx: &mut PgConnection,
    session: SessionId,
    ended_at: DateTime<Utc>,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE reviews SET resolved_at = $3, resolution = 'overtaken'
         WHERE session_id = $1 AND captured_at >= $2 AND resolved_at IS NULL",
        session.0,
        ended_at,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Closes the open questions about evidence of these students that is not enough by itself: it is gone.
///
/// # Errors
/// When the database does not do it.
pub async fn withdraw(
    tx: &mut PgConnection,
    session: SessionId,
    students: &[UserId],
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let students: Vec<Uuid> = students.iter().map(|id| id.0).collect();
    sqlx::query!(
        "UPDATE reviews SET resolved_at = $3, resolution = 'overtaken'
         WHERE session_id = $1 AND top_candidate = ANY($2) AND resolved_at IS NULL AND reason IN ('no_face', 'no_scan')",
        session.0,
        &students,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The question of that id.
///
/// # Errors
/// When the database does not answer.
pub async fn find(tx: &mut PgConnection, id: ReviewId) -> Result<Option<Review>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, session_id, camera_id, sighting_id, face_index, evidence_sequence, scan_id, top_candidate, candidates,
                reason, captured_at, opened_at, resolution
         FROM reviews WHERE id = $1",
        id.0
    );
    row.fetch_optional(tx).await?.map(Review::try_from).transpose()
}

/// Whether a question was put and is not open any more.
///
/// # Errors
/// When the database does not answer.
pub async fn is_answered(tx: &mut PgConnection, id: ReviewId) -> Result<bool, StoreError> {
    let resolved_at = sqlx::query_scalar!("SELECT resolved_at FROM reviews WHERE id = $1", id.0);
    Ok(resolved_at.fetch_optional(tx).await?.flatten().is_some())
}

/// Closes an open question with a person's answer.
///
/// # Errors
/// When the database does not do it.
pub async fn answer(tx: &mut PgConnection, id: ReviewId, answer: &Answered) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE reviews SET resolved_at = $2, resolution = $3, resolved_by = $4, resolved_why = $5, reassigned_to = $6,
             rejected = CASE WHEN $3 = 'accepted' THEN rejected ELSE array_append(rejected, reason) END
         WHERE id = $1 AND resolved_at IS NULL",
        id.0,
        answer.at,
        answer.resolution.as_str(),
        answer.by.0,
        answer.why,
        answer.reassigned_to.map(Uuid::from)
    )
    .execute(tx)
    .await?;
    Ok(())
}

fn columns(pairs: &[(SessionId, UserId)]) -> (Vec<Uuid>, Vec<Uuid>) {
    pairs.iter().map(|(session, student)| (session.0, student.0)).unzip()
}

/// Reads the column of that name.
pub(crate) fn resolution(name: &str) -> Result<Resolution, StoreError> {
    Resolution::parse(name).ok_or_else(|| StoreError::corrupt("reviews", "resolution", name))
}

/// One candidate as the column keeps it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredCandidate {
    user_id: UserId,
    similarity: f32,
}

fn candidates_json(candidates: &[Candidate]) -> serde_json::Value {
    let item = |candidate: &Candidate| {
        let Candidate { user_id, similarity } = *candidate;
        serde_json::json!(StoredCandidate { user_id, similarity })
    };
    candidates.iter().map(item).collect()
}

/// Reads the column of that name.
pub(crate) fn candidates(stored: serde_json::Value) -> Result<Vec<Candidate>, StoreError> {
    let stored: Vec<StoredCandidate> = serde_json::from_value(stored)
        .map_err(|error| StoreError::corrupt("reviews", "candidates", &error.to_string()))?;
    Ok(stored
        .into_iter()
        .map(|StoredCandidate { user_id, similarity }| Candidate { user_id, similarity })
        .collect())
}
