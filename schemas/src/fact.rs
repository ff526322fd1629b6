//! Facts: what happened, told to the outside. FACTS is the one outward stream; its sequence is the cursor of SSE,
//! Socket.IO catch-up, webhooks and export. Personal data in a fact is ids only.

mod event;
mod names;

use crate::{
    id::{CameraId, ClassId, FactId, SessionId},
    subject::{self, Subject},
};
use chrono::{DateTime, Utc};
pub use event::FactEvent;
pub(crate) use names::names;
pub use names::{AttendanceStatus, Evidence, EvidenceRule, Resolution, SessionState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One message of FACTS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fact {
    /// A function of what caused it, so that telling it twice is telling it once.
    pub fact_id: FactId,
    /// When it happened: event time, not the worker's clock. What a person says of a record happens when it is said.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        code::Code,
        id::{AttendanceId, QrTokenId, ReviewId, ScanId, SightingId, UserId, WebhookId},
    };

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
            FactEvent::AttendanceWithdrawn {
                attendance_id,
                student_id: user,
                from: AttendanceStatus::Excused,
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
            FactEvent::ReviewResolved {
                review_id: ReviewId(Uuid::from_u128(8)),
                student_id: user,
                resolution: Resolution::Reassigned,
                resolved_by: UserId(Uuid::from_u128(11)),
                reassigned_to: Some(UserId(Uuid::from_u128(12))),
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
