//! What rooms are told, as it is sent. `live::contract` describes these very types; every other fact is told as it is in
//! the log.

use chrono::{DateTime, Utc};
use rollcall_schemas::id::{SessionId, UserId};
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt;

/// Something that is told in a room.
#[derive(Serialize, JsonSchema)]
pub(crate) struct InRoom<T> {
    #[serde(flatten)]
    pub(crate) told: T,
    /// The room: `session-` or `class-`, and the id.
    pub(crate) room: String,
    /// The place in the log: whoever joins again with it as `since` is told what comes after.
    pub(crate) cursor: u64,
}

/// `attendance-marked`: somebody was recorded as present or late.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttendanceMarked {
    pub(super) student_id: UserId,
    /// Null when the person is gone.
    pub(super) student_name: Option<String>,
    /// When the student was there.
    pub(super) marked_at: DateTime<Utc>,
    /// How many are present or late when it is told; null when the session is gone.
    pub(super) total_present: Option<i64>,
}

/// `qr-updated`: a session shows a new code.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QrUpdated {
    /// Until when it is valid.
    pub(super) expires_at: DateTime<Utc>,
    /// Its image as a data URL, null once it has expired; absent for those who may not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) qr_code: Option<Option<String>>,
}

/// `session-started`: a session opened for attendance.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionStarted {
    pub(super) session_id: SessionId,
    /// Null when the class is gone.
    pub(super) class_name: Option<String>,
    pub(super) start_time: DateTime<Utc>,
}

/// `session-ended`: a session closed.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionEnded {
    pub(super) session_id: SessionId,
    /// How many were present or late.
    pub(super) total_attendance: u32,
    pub(super) end_time: DateTime<Utc>,
}

/// `missed`: events between two cursors did not come when they happened.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Missed {
    pub(crate) room: String,
    pub(crate) reason: MissedBecause,
    /// The last cursor before them.
    pub(crate) after: u64,
    /// The last one of them.
    pub(crate) until: u64,
}

/// Why events did not come when they happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MissedBecause {
    /// The client takes them more slowly than they happen: they follow from the log.
    Slow,
    /// They are gone from the log.
    Expired,
    /// The cursor is of another log.
    Unknown,
}

impl fmt::Display for MissedBecause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slow => "slow",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        })
    }
}
