//! What happened, in all its kinds.

use super::{AttendanceStatus, Evidence, Resolution};
use crate::{
    code::Code,
    id::{AttendanceId, QrTokenId, ReviewId, ScanId, SightingId, UserId, WebhookId},
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data", rename_all_fields = "camelCase")]
pub enum FactEvent {
    /// A student's attendance was recorded for the first time.
    #[serde(rename = "attendance.recorded")]
    AttendanceRecorded {
        /// The record.
        attendance_id: AttendanceId,
        /// The student.
        student_id: UserId,
        /// The status.
        status: AttendanceStatus,
        /// When the student was there.
        marked_at: DateTime<Utc>,
        /// By what evidence.
        evidence: Evidence,
        /// Cosine similarity, for a face.
        similarity: Option<f32>,
    },
    /// A record changed: later evidence, or a person's word.
    #[serde(rename = "attendance.corrected")]
    AttendanceCorrected {
        /// The record.
        attendance_id: AttendanceId,
        /// The student.
        student_id: UserId,
        /// What it was.
        from: AttendanceStatus,
        /// What it is.
        to: AttendanceStatus,
        /// When the student was there.
        marked_at: DateTime<Utc>,
        /// By what evidence.
        evidence: Evidence,
    },
    /// There is no record any more: a person's word was taken back while the session runs, and nothing was seen.
    #[serde(rename = "attendance.withdrawn")]
    AttendanceWithdrawn {
        /// The record that was there.
        attendance_id: AttendanceId,
        /// The student.
        student_id: UserId,
        /// What it was.
        from: AttendanceStatus,
    },
    /// A session opened for attendance.
    #[serde(rename = "session.started")]
    SessionStarted {
        /// When.
        started_at: DateTime<Utc>,
    },
    /// A session closed, and the absent were recorded.
    #[serde(rename = "session.ended")]
    SessionEnded {
        /// When.
        ended_at: DateTime<Utc>,
        /// How many were present.
        present: u32,
        /// How many came late.
        late: u32,
        /// How many were absent.
        absent: u32,
        /// How many were excused.
        excused: u32,
    },
    /// A session that was closed is open again, and the absences that its end recorded are taken back.
    #[serde(rename = "session.reopened")]
    SessionReopened {
        /// When.
        reopened_at: DateTime<Utc>,
        /// Until when.
        ends_at: DateTime<Utc>,
        /// How many absences were taken back.
        absences_withdrawn: u32,
    },
    /// The plan of a session changed before it began.
    #[serde(rename = "session.changed")]
    SessionChanged {
        /// When it begins now.
        starts_at: DateTime<Utc>,
        /// When it ends now.
        ends_at: DateTime<Utc>,
        /// Its room, if it has one.
        room: Option<String>,
    },
    /// A session will not take place.
    #[serde(rename = "session.cancelled")]
    SessionCancelled {
        /// When it would have begun.
        starts_at: DateTime<Utc>,
    },
    /// A session shows a new code. The token itself is never told.
    #[serde(rename = "qr.rotated")]
    QrRotated {
        /// The code.
        qr_token_id: QrTokenId,
        /// From when it is valid.
        valid_from: DateTime<Utc>,
        /// Until when it is valid.
        expires_at: DateTime<Utc>,
    },
    /// A scan was refused.
    #[serde(rename = "scan.refused")]
    ScanRefused {
        /// The scan.
        scan_id: ScanId,
        /// The student.
        student_id: UserId,
        /// Why.
        code: Code,
    },
    /// A known person was seen by a camera: told once per person, camera and minute.
    #[serde(rename = "person.seen")]
    PersonSeen {
        /// The sighting.
        sighting_id: SightingId,
        /// The face in it.
        face_index: u32,
        /// The person.
        user_id: UserId,
        /// Cosine similarity.
        similarity: f32,
    },
    /// Somebody unknown was seen by a camera: told once per camera and minute.
    #[serde(rename = "stranger.seen")]
    StrangerSeen {
        /// The sighting.
        sighting_id: SightingId,
        /// The face in it.
        face_index: u32,
    },
    /// A face, or a scan that no face confirms, waits for a person's decision.
    #[serde(rename = "review.opened")]
    ReviewOpened {
        /// The review item.
        review_id: ReviewId,
        /// The sighting; absent where the question is about a scan.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sighting_id: Option<SightingId>,
        /// The face in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        face_index: Option<u32>,
        /// Whom it may be, most similar first.
        candidates: Vec<UserId>,
    },
    /// A person answered a question.
    #[serde(rename = "review.resolved")]
    ReviewResolved {
        /// The review item.
        review_id: ReviewId,
        /// Whom it asked about.
        student_id: UserId,
        /// What the answer says: accepted, rejected or reassigned.
        resolution: Resolution,
        /// Who answered.
        resolved_by: UserId,
        /// Who it is instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reassigned_to: Option<UserId>,
    },
    /// A person's template changed.
    #[serde(rename = "face.enrolled")]
    FaceEnrolled {
        /// The person.
        user_id: UserId,
        /// The model pack.
        pack: String,
        /// How many photographs the template rests on.
        photos: u32,
    },
    /// A webhook has failed for so long that nothing is sent to it any more.
    #[serde(rename = "webhook.disabled")]
    WebhookDisabled {
        /// The webhook.
        webhook_id: WebhookId,
        /// Since when it has failed.
        failing_since: DateTime<Utc>,
    },
    /// Messages could not be handled and were put aside: told once for each consumer and hour.
    #[serde(rename = "message.parked")]
    MessageParked {
        /// The stream that holds them.
        stream: String,
        /// The consumer that could not handle them.
        consumer: String,
    },
}

impl FactEvent {
    /// The name of every type of fact, for filters that reject what does not exist.
    pub const NAMES: [&str; 17] = [
        "attendance.recorded",
        "attendance.corrected",
        "attendance.withdrawn",
        "session.started",
        "session.ended",
        "session.reopened",
        "session.changed",
        "session.cancelled",
        "qr.rotated",
        "scan.refused",
        "person.seen",
        "stranger.seen",
        "review.opened",
        "review.resolved",
        "face.enrolled",
        "webhook.disabled",
        "message.parked",
    ];

    /// The noun and the verb, as in the subject.
    pub fn name(&self) -> &'static str {
        match self {
            FactEvent::AttendanceRecorded { .. } => "attendance.recorded",
            FactEvent::AttendanceCorrected { .. } => "attendance.corrected",
            FactEvent::AttendanceWithdrawn { .. } => "attendance.withdrawn",
            FactEvent::SessionStarted { .. } => "session.started",
            FactEvent::SessionEnded { .. } => "session.ended",
            FactEvent::SessionReopened { .. } => "session.reopened",
            FactEvent::SessionChanged { .. } => "session.changed",
            FactEvent::SessionCancelled { .. } => "session.cancelled",
            FactEvent::QrRotated { .. } => "qr.rotated",
            FactEvent::ScanRefused { .. } => "scan.refused",
            FactEvent::PersonSeen { .. } => "person.seen",
            FactEvent::StrangerSeen { .. } => "stranger.seen",
            FactEvent::ReviewOpened { .. } => "review.opened",
            FactEvent::ReviewResolved { .. } => "review.resolved",
            FactEvent::FaceEnrolled { .. } => "face.enrolled",
            FactEvent::WebhookDisabled { .. } => "webhook.disabled",
            FactEvent::MessageParked { .. } => "message.parked",
        }
    }

    /// The person the fact is about, if it is about one. Questions are those of a teacher, not of the student.
    pub fn user_id(&self) -> Option<UserId> {
        match self {
            FactEvent::AttendanceRecorded { student_id, .. }
            | FactEvent::AttendanceCorrected { student_id, .. }
            | FactEvent::AttendanceWithdrawn { student_id, .. }
            | FactEvent::ScanRefused { student_id, .. } => Some(*student_id),
            FactEvent::PersonSeen { user_id, .. } | FactEvent::FaceEnrolled { user_id, .. } => Some(*user_id),
            FactEvent::SessionStarted { .. }
            | FactEvent::SessionEnded { .. }
            | FactEvent::SessionReopened { .. }
            | FactEvent::SessionChanged { .. }
            | FactEvent::SessionCancelled { .. }
            | FactEvent::QrRotated { .. }
            | FactEvent::StrangerSeen { .. }
            | FactEvent::ReviewOpened { .. }
            | FactEvent::ReviewResolved { .. }
            | FactEvent::WebhookDisabled { .. }
            | FactEvent::MessageParked { .. } => None,
        }
    }
}
