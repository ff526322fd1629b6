//! What is known of scans when they are decided about.

use crate::{
    StoreError,
    classes::{ClassSettings, SettingsRow},
    sessions::Session,
};
use chrono::{DateTime, Utc};
use rollcall_schemas::{fact::SessionState, id::UserId, scan::QrToken};
use sqlx::PgConnection;
use uuid::Uuid;

/// What a scan asks about.
#[derive(Clone, Copy, Debug)]
pub struct ScanQuestion {
    /// What the code said.
    pub token: QrToken,
    /// Who scanned.
    pub student_id: UserId,
    /// When.
    pub at: DateTime<Utc>,
}

/// What is known of a scan's code, its session and the student, as of the scan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScanContext {
    /// From when the code is shown.
    pub valid_from: DateTime<Utc>,
    /// When the code ends.
    pub expires_at: DateTime<Utc>,
    /// Its session.
    pub session: Session,
    /// The rules the session began with.
    pub settings: ClassSettings,
    /// Whether the student was in the class when the code was scanned.
    pub enrolled: bool,
    /// Whether the class does something against codes that are passed on: see [`crate::protections`].
    pub protected: bool,
}

/// What is known of each scan, in their order; `None` where no such code was ever shown. [`crate::sessions::share_of_tokens`]
/// goes before it.
///
/// # Errors
/// When the database does not answer.
pub async fn scan_contexts(
    tx: &mut PgConnection,
    scans: &[ScanQuestion],
) -> Result<Vec<Option<ScanContext>>, StoreError> {
    let tokens: Vec<Uuid> = scans.iter().map(|scan| scan.token.0).collect();
    let students: Vec<Uuid> = scans.iter().map(|scan| scan.student_id.0).collect();
    let times: Vec<DateTime<Utc>> = scans.iter().map(|scan| scan.at).collect();
    let rows = sqlx::query!(
        r#"SELECT scan.place AS "place!", q.valid_from, q.expires_at, s.id, s.class_id, s.starts_at, s.ends_at, s.state,
                  s.started_at, s.reopened_at, s.ended_at, s.qr_ttl_seconds AS session_qr_ttl_seconds,
                  c.late_after_seconds AS "late_after_seconds?", c.qr_ttl_seconds AS "qr_ttl_seconds?",
                  c.certain_is_enough AS "certain_is_enough?", c.votes_wanted AS "votes_wanted?",
                  c.evidence_rule, c.face_within_minutes AS "face_within_minutes?",
                  (SELECT o.settings ->> 'evidenceRule' FROM configurations o
                   WHERE o.scope = 'organisation' AND o.valid_from <= coalesce(s.started_at, s.starts_at)
                   ORDER BY o.revision DESC LIMIT 1) AS organisation_evidence_rule,
                  EXISTS (SELECT 1 FROM enrolments e
                          WHERE e.student_id = scan.student_id AND e.class_id = s.class_id
                            AND e.valid_from <= scan.at AND (e.valid_to IS NULL OR e.valid_to > scan.at)) AS "enrolled!",
                  EXISTS (SELECT 1 FROM class_protections p
                          WHERE p.class_id = s.class_id
                            AND p.valid_from <= scan.at AND (p.valid_to IS NULL OR p.valid_to > scan.at)) AS "protected!"
           FROM UNNEST($1::uuid[], $2::uuid[], $3::timestamptz[]) WITH ORDINALITY
                AS scan (token, student_id, at, place)
           JOIN qr_tokens q ON q.token = scan.token
           JOIN sessions s ON s.id = q.session_id
           LEFT JOIN class_settings c ON c.class_id = s.class_id AND c.valid_from <= coalesce(s.started_at, s.starts_at)
                AND (c.valid_to IS NULL OR c.valid_to > coalesce(s.started_at, s.starts_at))"#,
        &tokens,
        &students,
        &times
    )
    .fetch_all(tx)
    .await?;
    let mut contexts = vec![None; scans.len()];
    for row in rows {
        let place = usize::try_from(row.place - 1).expect("places count from 1");
        let session = Session {
            id: row.id.into(),
            class_id: row.class_id.into(),
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            state: SessionState::parse(&row.state)
                .ok_or_else(|| StoreError::corrupt("sessions", "state", &row.state))?,
            started_at: row.started_at,
            reopened_at: row.reopened_at,
            ended_at: row.ended_at,
            qr_ttl_seconds: row.session_qr_ttl_seconds,
        };
        let settings = SettingsRow {
            late_after_seconds: row.late_after_seconds,
            qr_ttl_seconds: row.qr_ttl_seconds,
            certain_is_enough: row.certain_is_enough,
            votes_wanted: row.votes_wanted,
            evidence_rule: row.evidence_rule,
            face_within_minutes: row.face_within_minutes,
            organisation_evidence_rule: row.organisation_evidence_rule,
        };
        contexts[place] = Some(ScanContext {
            valid_from: row.valid_from,
            expires_at: row.expires_at,
            session,
            settings: settings.try_into()?,
            enrolled: row.enrolled,
            protected: row.protected,
        });
    }
    Ok(contexts)
}
