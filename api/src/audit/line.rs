//! A line of the audit as it is shown: in a page, in an export as JSON, in one as CSV.

use crate::spreadsheet::as_text;
use chrono::{DateTime, SecondsFormat, Utc};
use rollcall_store::{
    StoreError,
    audit::{Recorded, chain::Hex},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// A line of the audit.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditLine {
    /// Its number: unique, not without gaps.
    id: i64,
    at: DateTime<Utc>,
    /// `user`, `api_key`, `anonymous`, `system` or `cli`.
    actor_kind: &'static str,
    /// The user or the API key.
    actor_id: Option<Uuid>,
    /// A noun and what was done to it: `camera.created`, `access.refused`.
    action: String,
    /// `done` or `refused`.
    outcome: &'static str,
    /// The noun; `route` for a refusal.
    target_kind: String,
    /// Which of them, unless it is all of them or the only one.
    target_id: Option<String>,
    /// How many times: more than one for refusals that came again within a minute.
    occurrences: u32,
    /// The address of the caller, what differs `before` and `after`, the reason of a refusal. Null when there is nothing
    /// to say, and when it was erased.
    #[schema(value_type = Option<Object>)]
    details: Option<Value>,
    /// The hash of the details with their salt, erased or not.
    details_sha256: Option<String>,
    request_id: Option<String>,
    trace_id: Option<String>,
    /// The place in the chain, from 1 without gaps; null in the first second or so.
    position: Option<i64>,
    /// The hash of the line before.
    previous_sha256: Option<String>,
    /// The hash of this line: SHA-256 of the line as canonical JSON (RFC 8785) without `details` and `sha256`.
    sha256: Option<String>,
}

impl TryFrom<Recorded> for AuditLine {
    type Error = StoreError;

    fn try_from(line: Recorded) -> Result<Self, StoreError> {
        let entry = line.entry;
        Ok(Self {
            id: line.id,
            at: entry.at,
            actor_kind: entry.actor.kind(),
            actor_id: entry.actor.id(),
            action: entry.action.into_owned(),
            outcome: entry.outcome.as_str(),
            target_kind: entry.target.kind.into_owned(),
            target_id: entry.target.id,
            occurrences: entry.occurrences,
            details: entry.details.map(|details| details.value()).transpose()?,
            details_sha256: line.details_sha256.map(|hash| Hex(&hash).to_string()),
            request_id: entry.request_id,
            trace_id: entry.trace_id,
            position: line.seal.map(|seal| seal.position),
            previous_sha256: line.seal.map(|seal| Hex(&seal.previous_sha256).to_string()),
            sha256: line.seal.map(|seal| Hex(&seal.sha256).to_string()),
        })
    }
}

/// The names of the columns, in order.
pub(super) const COLUMNS: [&str; 16] = [
    "id",
    "at",
    "actorKind",
    "actorId",
    "action",
    "outcome",
    "targetKind",
    "targetId",
    "occurrences",
    "details",
    "detailsSha256",
    "requestId",
    "traceId",
    "position",
    "previousSha256",
    "sha256",
];

impl AuditLine {
    /// The cells of the line, in the order of [`COLUMNS`].
    pub(super) fn cells(self) -> [String; COLUMNS.len()] {
        let cells = [
            self.id.to_string(),
            self.at.to_rfc3339_opts(SecondsFormat::Micros, true),
            self.actor_kind.to_owned(),
            self.actor_id.map(|id| id.to_string()).unwrap_or_default(),
            self.action,
            self.outcome.to_owned(),
            self.target_kind,
            self.target_id.unwrap_or_default(),
            self.occurrences.to_string(),
            self.details.map(|details| details.to_string()).unwrap_or_default(),
            self.details_sha256.unwrap_or_default(),
            self.request_id.unwrap_or_default(),
            self.trace_id.unwrap_or_default(),
            self.position.map(|position| position.to_string()).unwrap_or_default(),
            self.previous_sha256.unwrap_or_default(),
            self.sha256.unwrap_or_default(),
        ];
        cells.map(as_text)
    }
}
