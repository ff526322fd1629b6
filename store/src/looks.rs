//! What was seen of a session's students: votes of cameras, and scans that are not enough by themselves. Written by the
//! attendance worker only; what waits for a person is in `reviews`.

use crate::{StoreError, attendance::ScanMark};
use chrono::{DateTime, Utc};
use rollcall_schemas::id::{CameraId, FrameId, SessionId, SightingId, UserId};
use sqlx::{PgConnection, PgPool};
use std::net::IpAddr;
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
    /// The camera, where it was noted.
    pub camera_id: Option<CameraId>,
    /// The sequence of the face's crop in EVIDENCE.
    pub evidence_sequence: Option<u64>,
}

/// A scan that is kept beside the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptScan {
    /// The session.
    pub session_id: SessionId,
    /// The student.
    pub student_id: UserId,
    /// The scan.
    pub scan: ScanMark,
    /// Where it came from.
    pub ip: Option<IpAddr>,
    /// What the scanning client called itself.
    pub user_agent: Option<String>,
    /// When a person is to be asked about it, if nothing confirms it until then.
    pub ask_at: Option<DateTime<Utc>>,
    /// Why it is in doubt, if it is: then it is no evidence.
    pub doubt: Option<String>,
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
    let cameras: Vec<Option<Uuid>> = votes.iter().map(|vote| vote.camera_id.map(Uuid::from)).collect();
    let crops: Vec<Option<i64>> =
        votes.iter().map(|vote| i64::try_from(vote.evidence_sequence?).ok()).collect();
    sqlx::query!(
        "INSERT INTO face_votes (session_id, student_id, sighting_id, frame_id, captured_at, similarity, certain, camera_id,
                                 evidence_sequence)
         SELECT $1, student_id, sighting_id, frame_id, captured_at, similarity, certain, camera_id, evidence_sequence
         FROM UNNEST($2::uuid[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::real[], $7::boolean[], $8::uuid[],
                     $9::bigint[])
             AS vote (student_id, sighting_id, frame_id, captured_at, similarity, certain, camera_id, evidence_sequence)
         ORDER BY student_id
         ON CONFLICT DO NOTHING",
        session.0,
        &students,
        &sightings,
        &frames,
        &captured,
        &similarities,
        &certain,
        &cameras as &[Option<Uuid>],
        &crops as &[Option<i64>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets single votes of a session.
///
/// # Errors
/// When the database does not do it.
pub async fn remove_votes(
    tx: &mut PgConnection,
    session: SessionId,
    votes: &[(UserId, SightingId)],
) -> Result<(), StoreError> {
    let (students, sightings): (Vec<Uuid>, Vec<Uuid>) =
        votes.iter().map(|(student, sighting)| (student.0, sighting.0)).unzip();
    sqlx::query!(
        "DELETE FROM face_votes v USING UNNEST($2::uuid[], $3::uuid[]) AS gone (student_id, sighting_id)
         WHERE v.session_id = $1 AND v.student_id = gone.student_id AND v.sighting_id = gone.sighting_id",
        session.0,
        &students,
        &sightings
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

/// Forgets the scans of a session from `from` on until `to`, also those that its records keep beside what they say.
///
/// # Errors
/// When the database does not do it.
pub async fn forget_scans(
    tx: &mut PgConnection,
    session: SessionId,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "DELETE FROM kept_scans WHERE session_id = $1 AND scanned_at >= $2 AND scanned_at < $3",
        session.0,
        from,
        to
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE attendance SET scan_id = NULL, scanned_at = NULL, ip = NULL, user_agent = NULL
         WHERE session_id = $1 AND scanned_at >= $2 AND scanned_at < $3",
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
    let rows = sqlx::query!(
        "SELECT student_id, sighting_id, frame_id, captured_at, similarity, certain, camera_id, evidence_sequence
         FROM face_votes WHERE session_id = $1 AND ($2::uuid[] IS NULL OR student_id = ANY($2))",
        session.0,
        students.as_deref()
    )
    .fetch_all(tx)
    .await?;
    let votes = rows.into_iter().map(|row| Vote {
        student_id: row.student_id.into(),
        sighting_id: row.sighting_id.into(),
        frame_id: row.frame_id.into(),
        captured_at: row.captured_at,
        similarity: row.similarity,
        certain: row.certain,
        camera_id: row.camera_id.map(CameraId),
        evidence_sequence: row.evidence_sequence.and_then(|sequence| u64::try_from(sequence).ok()),
    });
    Ok(votes.collect())
}

/// Keeps scans. Those already there stay as they are.
///
/// # Errors
/// When the database does not do it.
pub async fn keep_scans(tx: &mut PgConnection, scans: &[KeptScan]) -> Result<(), StoreError> {
    if scans.is_empty() {
        return Ok(());
    }
    let sessions: Vec<Uuid> = scans.iter().map(|kept| kept.session_id.0).collect();
    let students: Vec<Uuid> = scans.iter().map(|kept| kept.student_id.0).collect();
    let ids: Vec<Uuid> = scans.iter().map(|kept| kept.scan.scan_id.0).collect();
    let times: Vec<DateTime<Utc>> = scans.iter().map(|kept| kept.scan.scanned_at).collect();
    let ips: Vec<Option<String>> = scans.iter().map(|kept| kept.ip.map(|ip| ip.to_string())).collect();
    let user_agents: Vec<Option<String>> = scans.iter().map(|kept| kept.user_agent.clone()).collect();
    let due: Vec<Option<DateTime<Utc>>> = scans.iter().map(|kept| kept.ask_at).collect();
    let doubts: Vec<Option<String>> = scans.iter().map(|kept| kept.doubt.clone()).collect();
    sqlx::query!(
        "INSERT INTO kept_scans (session_id, student_id, scan_id, scanned_at, ip, user_agent, ask_at, doubt)
         SELECT session_id, student_id, scan_id, scanned_at, ip::inet, user_agent, ask_at, doubt
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::text[], $6::text[], $7::timestamptz[],
                     $8::text[])
             AS kept (session_id, student_id, scan_id, scanned_at, ip, user_agent, ask_at, doubt)
         ON CONFLICT DO NOTHING",
        &sessions,
        &students,
        &ids,
        &times,
        &ips as &[Option<String>],
        &user_agents as &[Option<String>],
        &due as &[Option<DateTime<Utc>>],
        &doubts as &[Option<String>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes note of those students of a session, which the transaction holds alone, about whose scans a person is to be asked
/// by `until`: they are due once. Each with the time at which it was due.
///
/// # Errors
/// When the database does not do it.
pub async fn take_due(
    tx: &mut PgConnection,
    session: SessionId,
    until: DateTime<Utc>,
) -> Result<Vec<(UserId, DateTime<Utc>)>, StoreError> {
    let rows = sqlx::query!(
        r#"UPDATE kept_scans k SET ask_at = NULL
           FROM (SELECT session_id, student_id, scan_id, ask_at FROM kept_scans
                 WHERE session_id = $1 AND ask_at <= $2) AS due
           WHERE k.session_id = due.session_id AND k.student_id = due.student_id AND k.scan_id = due.scan_id
           RETURNING k.student_id, due.ask_at AS "ask_at!""#,
        session.0,
        until
    );
    Ok(rows.fetch_all(tx).await?.into_iter().map(|row| (row.student_id.into(), row.ask_at)).collect())
}

/// The kept scans of a session for these students, or for everybody.
///
/// # Errors
/// When the database does not answer.
pub async fn kept_scans(
    tx: &mut PgConnection,
    session: SessionId,
    students: Option<&[UserId]>,
) -> Result<Vec<KeptScan>, StoreError> {
    let students: Option<Vec<Uuid>> = students.map(|ids| ids.iter().map(|id| id.0).collect());
    let rows = sqlx::query!(
        r#"SELECT student_id, scan_id, scanned_at, host(ip) AS ip, user_agent, ask_at, doubt FROM kept_scans
           WHERE session_id = $1 AND ($2::uuid[] IS NULL OR student_id = ANY($2))"#,
        session.0,
        students.as_deref()
    )
    .fetch_all(tx)
    .await?;
    let kept = rows.into_iter().map(|row| KeptScan {
        session_id: session,
        student_id: row.student_id.into(),
        scan: ScanMark { scanned_at: row.scanned_at, scan_id: row.scan_id.into() },
        ip: row.ip.and_then(|ip| ip.parse().ok()),
        user_agent: row.user_agent,
        ask_at: row.ask_at,
        doubt: row.doubt,
    });
    Ok(kept.collect())
}
