//! The rules of classes, by validity. What a class does against codes that are passed on is in `protections`.

use crate::StoreError;
use chrono::{DateTime, Utc};
use rollcall_schemas::{fact::EvidenceRule, id::ClassId};
use sqlx::PgConnection;

/// The rules of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassSettings {
    /// A mark later than this after the start is late, in seconds.
    pub late_after_seconds: i32,
    /// How long a code is valid, in seconds.
    pub qr_ttl_seconds: i32,
    /// Whether one sighting at or above the pack's `certain` threshold is enough by itself.
    pub certain_is_enough: bool,
    /// Otherwise this many confident sightings in different frames are wanted.
    pub votes_wanted: i32,
    /// What is wanted before a student counts as present.
    pub evidence_rule: EvidenceRule,
    /// Whether that is what the organisation says, as the class says nothing.
    pub inherits_evidence_rule: bool,
    /// For [`EvidenceRule::QrNeedsFace`]: how far a face may be from the scan, in minutes.
    pub face_within_minutes: i32,
}

impl Default for ClassSettings {
    fn default() -> Self {
        Self {
            late_after_seconds: 600,
            qr_ttl_seconds: 300,
            certain_is_enough: true,
            votes_wanted: 3,
            evidence_rule: EvidenceRule::Either,
            inherits_evidence_rule: false,
            face_within_minutes: 10,
        }
    }
}

/// What is set, as it is stored; what is absent has its default.
pub(crate) struct SettingsRow {
    pub(crate) late_after_seconds: Option<i32>,
    pub(crate) qr_ttl_seconds: Option<i32>,
    pub(crate) certain_is_enough: Option<bool>,
    pub(crate) votes_wanted: Option<i32>,
    pub(crate) evidence_rule: Option<String>,
    pub(crate) face_within_minutes: Option<i32>,
    /// What the organisation says of classes that do not say so themselves.
    pub(crate) organisation_evidence_rule: Option<String>,
}

impl TryFrom<SettingsRow> for ClassSettings {
    type Error = StoreError;

    fn try_from(row: SettingsRow) -> Result<Self, StoreError> {
        let usual = Self::default();
        let inherits_evidence_rule = row.evidence_rule.is_none();
        let rule = row.evidence_rule.or(row.organisation_evidence_rule);
        Ok(Self {
            late_after_seconds: row.late_after_seconds.unwrap_or(usual.late_after_seconds),
            qr_ttl_seconds: row.qr_ttl_seconds.unwrap_or(usual.qr_ttl_seconds),
            certain_is_enough: row.certain_is_enough.unwrap_or(usual.certain_is_enough),
            votes_wanted: row.votes_wanted.unwrap_or(usual.votes_wanted),
            evidence_rule: rule.map_or(Ok(usual.evidence_rule), |name| evidence_rule(&name))?,
            inherits_evidence_rule,
            face_within_minutes: row.face_within_minutes.unwrap_or(usual.face_within_minutes),
        })
    }
}

fn evidence_rule(name: &str) -> Result<EvidenceRule, StoreError> {
    EvidenceRule::parse(name).ok_or_else(|| StoreError::corrupt("class_settings", "evidence_rule", name))
}

/// The rules of a class as of `at`; the defaults where none were set.
///
/// # Errors
/// When the database does not answer.
pub async fn settings(
    conn: &mut PgConnection,
    id: ClassId,
    at: DateTime<Utc>,
) -> Result<ClassSettings, StoreError> {
    let found = sqlx::query_as!(
        SettingsRow,
        r#"SELECT c.late_after_seconds AS "late_after_seconds?", c.qr_ttl_seconds AS "qr_ttl_seconds?",
                  c.certain_is_enough AS "certain_is_enough?", c.votes_wanted AS "votes_wanted?", c.evidence_rule,
                  c.face_within_minutes AS "face_within_minutes?",
                  (SELECT o.settings ->> 'evidenceRule' FROM configurations o
                   WHERE o.scope = 'organisation' AND o.valid_from <= $2
                   ORDER BY o.revision DESC LIMIT 1) AS organisation_evidence_rule
           FROM (SELECT $1::uuid AS class_id) AS asked
           LEFT JOIN class_settings c ON c.class_id = asked.class_id AND c.valid_from <= $2
                AND (c.valid_to IS NULL OR c.valid_to > $2)"#,
        id.0,
        at
    );
    found.fetch_one(conn).await?.try_into()
}

/// Sets the rules of a class from `at` on.
///
/// # Errors
/// When the database does not do it.
pub async fn set_settings(
    conn: &mut PgConnection,
    id: ClassId,
    settings: ClassSettings,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let own_evidence_rule = (!settings.inherits_evidence_rule).then(|| settings.evidence_rule.as_str());
    super::lock(&mut *conn, id).await?;
    sqlx::query!(
        "UPDATE class_settings SET valid_to = $2 WHERE class_id = $1 AND valid_to IS NULL AND valid_from < $2",
        id.0,
        at
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO class_settings
             (class_id, valid_from, late_after_seconds, qr_ttl_seconds, certain_is_enough, votes_wanted, evidence_rule,
              face_within_minutes)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (class_id, valid_from) DO UPDATE SET
             late_after_seconds = EXCLUDED.late_after_seconds, qr_ttl_seconds = EXCLUDED.qr_ttl_seconds,
             certain_is_enough = EXCLUDED.certain_is_enough, votes_wanted = EXCLUDED.votes_wanted,
             evidence_rule = EXCLUDED.evidence_rule, face_within_minutes = EXCLUDED.face_within_minutes",
        id.0,
        at,
        settings.late_after_seconds,
        settings.qr_ttl_seconds,
        settings.certain_is_enough,
        settings.votes_wanted,
        own_evidence_rule,
        settings.face_within_minutes
    )
    .execute(conn)
    .await?;
    Ok(())
}
