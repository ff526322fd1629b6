//! Facts: what happened, told to the outside. FACTS is the one outward stream; its sequence is the cursor of SSE,
//! Socket.IO catch-up, webhooks and export. Personal data in a fact is ids only.

use crate::code::Code;
use crate::{
    id::{
        AttendanceId, CameraId, ClassId, FactId, QrTokenId, ReviewId, ScanId, SessionId, SightingId, UserId,
        WebhookId,
    },
    subject::{self, Subject},
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;
use uuid::Uuid;

/// One message of FACTS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fact {
    /// A function of what caused it, so that telling it twice is telling it once.
    pub fact_id: FactId,
    /// When it happened: event time, not the worker's clock.
    pub at: DateTime<Utc>,
    /// What it is about, for filters.
    #[serde(flatten)]
    pub scope: Scope,
    /// What happened.
    #[serde(flatten)]
    pub event: FactEvent,
}

impl Fact {
    /// Where the fact goes: under the narrowest thing it is about.
    pub fn subject(&self) -> Subject {
        let Scope { session_id, class_id, camera_id } = self.scope;
        let scope = session_id
            .map(Uuid::from)
            .or(class_id.map(Uuid::from))
            .or(camera_id.map(Uuid::from))
            .or(self.event.user_id().map(Uuid::from))
            .unwrap_or_default();
        subject::fact(&self.event, scope)
    }
}

/// What a fact is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scope {
    /// The session, if one is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The class, if one is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_id: Option<ClassId>,
    /// The camera, if one is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera_id: Option<CameraId>,
}

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
    pub const NAMES: [&str; 15] = [
        "attendance.recorded",
        "attendance.corrected",
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
        "face.enrolled",
        "webhook.disabled",
        "message.parked",
    ];

    /// The noun and the verb, as in the subject.
    pub fn name(&self) -> &'static str {
        match self {
            FactEvent::AttendanceRecorded { .. } => "attendance.recorded",
            FactEvent::AttendanceCorrected { .. } => "attendance.corrected",
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
            FactEvent::FaceEnrolled { .. } => "face.enrolled",
            FactEvent::WebhookDisabled { .. } => "webhook.disabled",
            FactEvent::MessageParked { .. } => "message.parked",
        }
    }

    /// The person the fact is about, if it is about one.
    pub fn user_id(&self) -> Option<UserId> {
        match self {
            FactEvent::AttendanceRecorded { student_id, .. }
            | FactEvent::AttendanceCorrected { student_id, .. }
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
            | FactEvent::WebhookDisabled { .. }
            | FactEvent::MessageParked { .. } => None,
        }
    }
}

/// A closed list of names, as they stand on the wire and in the database.
macro_rules! names {
    ($($(#[$doc:meta])* $kind:ident { $($(#[$variant_doc:meta])* $variant:ident = $wire:tt,)* })*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, ToSchema
        )]
        pub enum $kind { $($(#[$variant_doc])* #[serde(rename = $wire)] $variant,)* }

        impl $kind {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name on the wire and in the database.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $wire,)* }
            }

            /// Reads the name on the wire.
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($wire => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}
pub(crate) use names;

names! {
    /// What a record says of a student.
    AttendanceStatus {
        /// There in time.
        Present = "present",
        /// There after the grace period.
        Late = "late",
        /// Not there when the session ended.
        Absent = "absent",
        /// Absent with leave.
        Excused = "excused",
    }

    /// What a record rests on.
    Evidence {
        /// A scan of the session's code.
        Qr = "qr",
        /// A face seen by a camera.
        Face = "face",
        /// A person's word.
        Manual = "manual",
        /// Nothing by the end of the session.
        None = "none",
    }

    /// What a class wants to see before it takes a student for present.
    EvidenceRule {
        /// A scan or a face: either suffices.
        Either = "either",
        /// A scan and a face.
        Both = "both",
        /// A scan, confirmed by a face seen within some minutes of it.
        QrNeedsFace = "qr_needs_face",
        /// A scan; a face without one is proposed to a person.
        FaceProposes = "face_proposes",
    }

    /// What became of a review.
    Resolution {
        /// A person said that it is the student.
        Accepted = "accepted",
        /// A person said that it is not.
        Rejected = "rejected",
        /// A person said that it is another student.
        Reassigned = "reassigned",
        /// It is known meanwhile, by evidence or by a person's word about the record.
        Known = "known",
        /// What it was about turned out to be outside the session.
        Overtaken = "overtaken",
    }

    /// Where a session stands.
    SessionState {
        /// Planned.
        Scheduled = "scheduled",
        /// About to begin.
        Pending = "pending",
        /// Open for attendance.
        Active = "active",
        /// Closed.
        Completed = "completed",
        /// Given up before it began.
        Cancelled = "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Vec<Fact> {
        let at = DateTime::from_timestamp_micros(1_700_000_000_000_000).unwrap();
        let user = UserId(Uuid::from_u128(1));
        let scope = Scope {
            session_id: Some(SessionId(Uuid::from_u128(2))),
            class_id: Some(ClassId(Uuid::from_u128(3))),
            camera_id: None,
        };
        let sighting_id = SightingId(Uuid::from_u128(4));
        let attendance_id = AttendanceId(Uuid::from_u128(5));
        [
            FactEvent::AttendanceRecorded {
                attendance_id,
                student_id: user,
                status: AttendanceStatus::Present,
                marked_at: at,
                evidence: Evidence::Face,
                similarity: Some(0.975),
            },
            FactEvent::AttendanceCorrected {
                attendance_id,
                student_id: user,
                from: AttendanceStatus::Absent,
                to: AttendanceStatus::Late,
                marked_at: at,
                evidence: Evidence::Face,
            },
            FactEvent::SessionStarted { started_at: at },
            FactEvent::SessionEnded { ended_at: at, present: 1, late: 2, absent: 3, excused: 4 },
            FactEvent::SessionReopened { reopened_at: at, ends_at: at, absences_withdrawn: 5 },
            FactEvent::SessionChanged { starts_at: at, ends_at: at, room: Some("R1".into()) },
            FactEvent::SessionCancelled { starts_at: at },
            FactEvent::QrRotated {
                qr_token_id: QrTokenId(Uuid::from_u128(6)),
                valid_from: at,
                expires_at: at,
            },
            FactEvent::ScanRefused {
                scan_id: ScanId(Uuid::from_u128(7)),
                student_id: user,
                code: Code::NotEnrolled,
            },
            FactEvent::PersonSeen { sighting_id, face_index: 0, user_id: user, similarity: 0.5 },
            FactEvent::StrangerSeen { sighting_id, face_index: 1 },
            FactEvent::ReviewOpened {
                review_id: ReviewId(Uuid::from_u128(8)),
                sighting_id: Some(sighting_id),
                face_index: Some(2),
                candidates: vec![user],
            },
            FactEvent::FaceEnrolled { user_id: user, pack: "pack".into(), photos: 3 },
            FactEvent::WebhookDisabled { webhook_id: WebhookId(Uuid::from_u128(10)), failing_since: at },
            FactEvent::MessageParked { stream: "SCANS".into(), consumer: "attendance-scans".into() },
        ]
        .into_iter()
        .map(|event| Fact { fact_id: FactId(Uuid::from_u128(9)), at, scope, event })
        .collect()
    }

    #[test]
    fn bytes_and_subjects_are_pinned() {
        let lines: Vec<_> = facts()
            .iter()
            .map(|fact| format!("{} {}", fact.subject(), serde_json::to_string(fact).unwrap()))
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn facts_come_back_and_every_name_is_listed() {
        let facts = facts();
        for fact in &facts {
            let bytes = serde_json::to_vec(fact).unwrap();
            assert_eq!(&serde_json::from_slice::<Fact>(&bytes).unwrap(), fact);
        }
        assert_eq!(facts.iter().map(|fact| fact.event.name()).collect::<Vec<_>>(), FactEvent::NAMES);
    }
}
