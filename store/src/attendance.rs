//! Records of attendance and their history, as decisions read and change them. Written by the attendance worker only;
//! what the api shows of them is in `attendance_views`.
//!
//! Everything works on sets of rows, so that a burst of marks costs a few statements, and touches rows in the order of
//! their ids, so that two writers do not wait for each other in a circle.

mod absences;
mod columns;
mod scan_context;

pub use absences::{withdraw, withdraw_absences, without_record};
pub use scan_context::{ScanContext, ScanQuestion, scan_contexts};

use crate::StoreError;
use chrono::{DateTime, Utc};
use columns::Columns;
use rollcall_schemas::{
    fact::{AttendanceStatus, Evidence},
    id::{AttendanceId, ScanId, SessionId, SightingId, UserId},
};
use sqlx::PgConnection;
use std::net::IpAddr;
use uuid::Uuid;

/// A scan that counts. The earlier one is the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScanMark {
    /// When it was received.
    pub scanned_at: DateTime<Utc>,
    /// The scan.
    pub scan_id: ScanId,
}

/// What a record says, and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// The status.
    pub status: AttendanceStatus,
    /// Event time of the evidence; the end of the session for the absent.
    pub marked_at: DateTime<Utc>,
    /// The kind of evidence.
    pub evidence: Evidence,
    /// The earliest scan, kept beside an earlier face too: the end of the session may take the face back.
    pub scan: Option<ScanMark>,
    /// The sighting, for a face.
    pub sighting_id: Option<SightingId>,
    /// Cosine similarity, for a face.
    pub similarity: Option<f32>,
}

/// How the evidence of a mark got here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Where the scan came from.
    pub ip: Option<IpAddr>,
    /// What the scanning client called itself.
    pub user_agent: Option<String>,
    /// The trace of the request that brought the evidence: 32 hexadecimal digits.
    pub trace_id: Option<String>,
}

/// Whoever made a record say what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The person.
    pub user_id: UserId,
    /// Why, in their words.
    pub reason: Option<String>,
    /// When they said it.
    pub said_at: DateTime<Utc>,
}

/// A record to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The id, derived from session and student.
    pub id: AttendanceId,
    /// The session.
    pub session_id: SessionId,
    /// The student.
    pub student_id: UserId,
    /// What it says.
    pub mark: Mark,
    /// How the evidence got here.
    pub origin: Origin,
    /// Who made it say so; nobody where machines did.
    pub author: Option<Author>,
    /// When it is written.
    pub recorded_at: DateTime<Utc>,
}

/// Holds the marks of these ids alone until the end of the transaction, whether or not there are records of them yet: what
/// is read after it is all that others have committed. Taken once in a transaction, as the order of the ids keeps two from
/// waiting for each other.
///
/// # Errors
/// When the database does not answer.
pub async fn hold_marks(tx: &mut PgConnection, ids: &[AttendanceId]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended(mark.id::text, 0))
         FROM (SELECT DISTINCT id FROM UNNEST($1::uuid[]) AS held (id) ORDER BY id) AS mark",
        &ids
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What the records of these ids say, where there are any, each held alone until the end of the transaction.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_marks(
    tx: &mut PgConnection,
    ids: &[AttendanceId],
) -> Result<Vec<(AttendanceId, Mark)>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query_as!(
        MarkRow,
        "SELECT id, student_id, status, marked_at, evidence, scan_id, scanned_at, sighting_id, similarity FROM attendance
         WHERE id = ANY($1) ORDER BY id FOR UPDATE",
        &ids
    );
    rows.fetch_all(tx).await?.into_iter().map(|row| Ok((row.id.into(), row.mark()?))).collect()
}

/// What the records of a session say, each held alone until the end of the transaction.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_marks_of_session(
    tx: &mut PgConnection,
    session: SessionId,
) -> Result<Vec<(UserId, Mark)>, StoreError> {
    let rows = sqlx::query_as!(
        MarkRow,
        "SELECT id, student_id, status, marked_at, evidence, scan_id, scanned_at, sighting_id, similarity FROM attendance
         WHERE session_id = $1 ORDER BY id FOR UPDATE",
        session.0
    );
    rows.fetch_all(tx).await?.into_iter().map(|row| Ok((row.student_id.into(), row.mark()?))).collect()
}

/// What people have said in advance of the students of a session, each with its author.
///
/// # Errors
/// When the database does not answer.
pub async fn words(
    tx: &mut PgConnection,
    session: SessionId,
) -> Result<Vec<(UserId, Mark, Author)>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT student_id, status, marked_at, evidence, decided_by AS "decided_by!", reason, recorded_at FROM attendance
           WHERE session_id = $1 AND decided_by IS NOT NULL ORDER BY id"#,
        session.0
    );
    rows.fetch_all(tx)
        .await?
        .into_iter()
        .map(|row| {
            let author =
                Author { user_id: row.decided_by.into(), reason: row.reason, said_at: row.recorded_at };
            let mark = Mark {
                status: status(&row.status)?,
                marked_at: row.marked_at,
                evidence: evidence(&row.evidence)?,
                scan: None,
                sighting_id: None,
                similarity: None,
            };
            Ok((row.student_id.into(), mark, author))
        })
        .collect()
}

/// Adds records. Returns how many: fewer than given when somebody else has just recorded one of them, and then the
/// transaction must be given up and decided again.
///
/// # Errors
/// When the database does not do it.
pub async fn insert(tx: &mut PgConnection, records: &[Record]) -> Result<usize, StoreError> {
    if records.is_empty() {
        return Ok(0);
    }
    let columns = Columns::of(records);
    let done = sqlx::query!(
        "INSERT INTO attendance (id, session_id, student_id, status, marked_at, evidence, scan_id, scanned_at,
                                 sighting_id, similarity, ip, user_agent, trace_id, recorded_at, decided_by, reason)
         SELECT id, session_id, student_id, status, marked_at, evidence, scan_id, scanned_at,
                sighting_id, similarity, ip::inet, user_agent, trace_id, recorded_at, decided_by, reason
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::timestamptz[], $6::text[], $7::uuid[],
                     $8::timestamptz[], $9::uuid[], $10::real[], $11::text[], $12::text[], $13::text[],
                     $14::timestamptz[], $15::uuid[], $16::text[])
             AS record (id, session_id, student_id, status, marked_at, evidence, scan_id, scanned_at,
                        sighting_id, similarity, ip, user_agent, trace_id, recorded_at, decided_by, reason)
         ORDER BY id
         ON CONFLICT DO NOTHING",
        &columns.ids,
        &columns.sessions,
        &columns.students,
        &columns.statuses,
        &columns.marked,
        &columns.evidence,
        &columns.scans as &[Option<Uuid>],
        &columns.scanned as &[Option<DateTime<Utc>>],
        &columns.sightings as &[Option<Uuid>],
        &columns.similarities as &[Option<f32>],
        &columns.ips as &[Option<String>],
        &columns.user_agents as &[Option<String>],
        &columns.trace_ids as &[Option<String>],
        &columns.recorded,
        &columns.deciders as &[Option<Uuid>],
        &columns.reasons as &[Option<String>]
    )
    .execute(tx)
    .await?;
    Ok(usize::try_from(done.rows_affected()).expect("as many as were given at most"))
}

/// Changes records, which [`lock_marks`] holds, and keeps what each said before, under the message that changed it.
///
/// # Errors
/// When the database does not do it.
pub async fn revise(tx: &mut PgConnection, changes: &[(Uuid, Record)]) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    let records: Vec<Record> = changes.iter().map(|(_, record)| record.clone()).collect();
    let columns = Columns::of(&records);
    let causes: Vec<Uuid> = changes.iter().map(|(cause, _)| *cause).collect();
    sqlx::query!(
        "INSERT INTO attendance_history (attendance_id, session_id, student_id, cause, status, marked_at, evidence, similarity,
                                         decided_by, reason, recorded_at, changed_at)
         SELECT a.id, a.session_id, a.student_id, change.cause, a.status, a.marked_at, a.evidence, a.similarity, a.decided_by,
                a.reason, a.recorded_at, change.changed_at
         FROM UNNEST($1::uuid[], $2::uuid[], $3::timestamptz[]) AS change (id, cause, changed_at)
         JOIN attendance a ON a.id = change.id
         ON CONFLICT DO NOTHING",
        &columns.ids,
        &causes,
        &columns.recorded
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE attendance a SET status = r.status, marked_at = r.marked_at, evidence = r.evidence,
             scan_id = r.scan_id, scanned_at = r.scanned_at, sighting_id = r.sighting_id, similarity = r.similarity,
             ip = CASE WHEN r.scan_id IS NOT DISTINCT FROM a.scan_id THEN a.ip ELSE r.ip::inet END,
             user_agent = CASE WHEN r.scan_id IS NOT DISTINCT FROM a.scan_id THEN a.user_agent ELSE r.user_agent END,
             trace_id = r.trace_id, recorded_at = r.recorded_at, decided_by = r.decided_by, reason = r.reason
         FROM UNNEST($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::uuid[], $6::timestamptz[],
                     $7::uuid[], $8::real[], $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::uuid[],
                     $14::text[])
             AS r (id, status, marked_at, evidence, scan_id, scanned_at, sighting_id,
                   similarity, ip, user_agent, trace_id, recorded_at, decided_by, reason)
         WHERE a.id = r.id",
        &columns.ids,
        &columns.statuses,
        &columns.marked,
        &columns.evidence,
        &columns.scans as &[Option<Uuid>],
        &columns.scanned as &[Option<DateTime<Utc>>],
        &columns.sightings as &[Option<Uuid>],
        &columns.similarities as &[Option<f32>],
        &columns.ips as &[Option<String>],
        &columns.user_agents as &[Option<String>],
        &columns.trace_ids as &[Option<String>],
        &columns.recorded,
        &columns.deciders as &[Option<Uuid>],
        &columns.reasons as &[Option<String>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Keeps the scans of records, which [`lock_marks`] holds, and changes nothing that they say.
///
/// # Errors
/// When the database does not do it.
pub async fn keep_scans(tx: &mut PgConnection, records: &[Record]) -> Result<(), StoreError> {
    if records.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(records);
    sqlx::query!(
        "UPDATE attendance a SET scan_id = r.scan_id, scanned_at = r.scanned_at, ip = r.ip::inet,
             user_agent = r.user_agent
         FROM UNNEST($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[])
             AS r (id, scan_id, scanned_at, ip, user_agent)
         WHERE a.id = r.id",
        &columns.ids,
        &columns.scans as &[Option<Uuid>],
        &columns.scanned as &[Option<DateTime<Utc>>],
        &columns.ips as &[Option<String>],
        &columns.user_agents as &[Option<String>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// How many records of a session say what.
///
/// # Errors
/// When the database does not answer.
pub async fn count_by_status(
    tx: &mut PgConnection,
    session: SessionId,
) -> Result<Vec<(AttendanceStatus, u32)>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT status, count(*) AS "records!" FROM attendance WHERE session_id = $1 GROUP BY status"#,
        session.0
    );
    rows.fetch_all(tx)
        .await?
        .into_iter()
        .map(|row| Ok((status(&row.status)?, u32::try_from(row.records).expect("a session has few records"))))
        .collect()
}

/// Reads the column of that name.
pub(crate) fn status(name: &str) -> Result<AttendanceStatus, StoreError> {
    AttendanceStatus::parse(name).ok_or_else(|| StoreError::corrupt("attendance", "status", name))
}

/// Reads the column of that name.
pub(crate) fn evidence(name: &str) -> Result<Evidence, StoreError> {
    Evidence::parse(name).ok_or_else(|| StoreError::corrupt("attendance", "evidence", name))
}

struct MarkRow {
    id: Uuid,
    student_id: Uuid,
    status: String,
    marked_at: DateTime<Utc>,
    evidence: String,
    scan_id: Option<Uuid>,
    scanned_at: Option<DateTime<Utc>>,
    sighting_id: Option<Uuid>,
    similarity: Option<f32>,
}

impl MarkRow {
    fn mark(&self) -> Result<Mark, StoreError> {
        Ok(Mark {
            status: status(&self.status)?,
            marked_at: self.marked_at,
            evidence: evidence(&self.evidence)?,
            scan: self
                .scanned_at
                .zip(self.scan_id)
                .map(|(scanned_at, scan_id)| ScanMark { scanned_at, scan_id: scan_id.into() }),
            sighting_id: self.sighting_id.map(SightingId::from),
            similarity: self.similarity,
        })
    }
}
