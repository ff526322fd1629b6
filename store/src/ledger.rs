//! What became of every accepted frame, by its sequence in FRAMES. Written by the attendance worker only.
//!
//! Three consumers write here in any order, so the outcomes have ranks: `processed` stands over `dead`, `dead` over
//! `expired`, any of them over pending. Whoever comes first, the row says the same in the end.

use crate::StoreError;
use chrono::{DateTime, Utc};
use rollcall_schemas::id::{CameraId, FrameId};
use sqlx::{PgConnection, PgPool};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A frame that FRAMES took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedFrame {
    /// Its sequence in FRAMES.
    pub sequence: u64,
    /// The camera.
    pub camera_id: CameraId,
    /// The frame.
    pub frame_id: FrameId,
    /// Receipt at ingest.
    pub received_at: DateTime<Utc>,
}

/// What became of the frames of one camera: `accepted = processed + dead + expired + pending`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CameraBalance {
    /// Frames that FRAMES took.
    pub accepted: u64,
    /// Frames that ended in a sighting.
    pub processed: u64,
    /// Frames that could not be handled, by reason.
    pub dead: BTreeMap<String, u64>,
    /// Frames that left FRAMES before anybody handled them.
    pub expired: u64,
    /// Frames that are still to be handled.
    pub pending: u64,
}

impl CameraBalance {
    /// Whether every accepted frame has exactly one outcome or is pending.
    pub fn balances(&self) -> bool {
        self.accepted == self.processed + self.dead.values().sum::<u64>() + self.expired + self.pending
    }
}

/// Sequences are far below 2^63: a broker that stored a million frames a second would need 292,000 years.
fn to_row(sequence: u64) -> i64 {
    i64::try_from(sequence).expect("sequences fit 63 bits")
}

/// Notes that frames were accepted. Those already known stay as they are.
///
/// # Errors
/// When the database does not do it.
pub async fn accept(pool: &PgPool, frames: &[AcceptedFrame]) -> Result<(), StoreError> {
    let sequences: Vec<i64> = frames.iter().map(|frame| to_row(frame.sequence)).collect();
    let cameras: Vec<Uuid> = frames.iter().map(|frame| frame.camera_id.0).collect();
    let ids: Vec<Uuid> = frames.iter().map(|frame| frame.frame_id.0).collect();
    let received: Vec<DateTime<Utc>> = frames.iter().map(|frame| frame.received_at).collect();
    sqlx::query!(
        "INSERT INTO frames (sequence, camera_id, frame_id, received_at)
         SELECT DISTINCT ON (sequence) sequence, camera_id, frame_id, received_at
         FROM UNNEST($1::bigint[], $2::uuid[], $3::uuid[], $4::timestamptz[])
             AS frame (sequence, camera_id, frame_id, received_at)
         ORDER BY sequence
         ON CONFLICT (sequence) DO NOTHING",
        &sequences,
        &cameras,
        &ids,
        &received
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Notes that a frame ended in a sighting.
///
/// # Errors
/// When the database does not do it.
pub async fn mark_processed(tx: &mut PgConnection, frame: &AcceptedFrame) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO frames (sequence, camera_id, frame_id, received_at, outcome) VALUES ($1, $2, $3, $4, 'processed')
         ON CONFLICT (sequence) DO UPDATE SET outcome = 'processed', reason = NULL
             WHERE frames.outcome IS DISTINCT FROM 'processed'",
        to_row(frame.sequence),
        frame.camera_id.0,
        frame.frame_id.0,
        frame.received_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes that a frame could not be handled, and why.
///
/// # Errors
/// When the database does not do it.
pub async fn mark_dead(pool: &PgPool, frame: &AcceptedFrame, reason: &str) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO frames (sequence, camera_id, frame_id, received_at, outcome, reason)
         VALUES ($1, $2, $3, $4, 'dead', $5)
         ON CONFLICT (sequence) DO UPDATE SET outcome = 'dead', reason = EXCLUDED.reason
             WHERE frames.outcome IS NULL OR frames.outcome = 'expired'",
        to_row(frame.sequence),
        frame.camera_id.0,
        frame.frame_id.0,
        frame.received_at,
        reason
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Notes that pending frames before `first_sequence`, the first that FRAMES still holds, are gone. Returns how many.
///
/// # Errors
/// When the database does not do it.
pub async fn expire(pool: &PgPool, first_sequence: u64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "UPDATE frames SET outcome = 'expired' WHERE outcome IS NULL AND sequence < $1",
        to_row(first_sequence)
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// What became of the frames of every camera.
///
/// # Errors
/// When the database does not answer.
pub async fn balance(pool: &PgPool) -> Result<BTreeMap<CameraId, CameraBalance>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT camera_id, outcome, reason, count(*) AS "frames!" FROM frames GROUP BY camera_id, outcome, reason"#
    )
    .fetch_all(pool)
    .await?;
    let mut balances = BTreeMap::<CameraId, CameraBalance>::new();
    for row in rows {
        let frames = u64::try_from(row.frames).expect("a count is not negative");
        let balance = balances.entry(row.camera_id.into()).or_default();
        balance.accepted += frames;
        match row.outcome.as_deref() {
            None => balance.pending += frames,
            Some("processed") => balance.processed += frames,
            Some("expired") => balance.expired += frames,
            Some("dead") => *balance.dead.entry(row.reason.unwrap_or_default()).or_default() += frames,
            Some(other) => return Err(StoreError::corrupt("frames", "outcome", other)),
        }
    }
    Ok(balances)
}
