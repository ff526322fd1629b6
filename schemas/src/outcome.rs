//! The durable answer to a scan or a request: success, or a named error. The log is the truth; the HTTP answer that
//! carries it is a courtesy.

use crate::{
    code::Code,
    fact::{AttendanceStatus, Evidence, Resolution, SessionState},
    id::{
        AttendanceId, ClassId, DeliveryId, PhotoId, QrTokenId, RequestId, ReviewId, SessionId, UserId,
        WebhookId,
    },
    sighting::{Face, Quality},
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// One message of OUTCOMES: the last value per request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// The request it answers.
    pub request_id: RequestId,
    /// Who may read it: the caller of the request.
    pub caller: UserId,
    /// When it was decided.
    pub decided_at: DateTime<Utc>,
    /// What came of it.
    pub result: OutcomeResult,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum OutcomeResult {
    /// It was done.
    Succeeded {
        /// The answer.
        answer: Answer,
    },
    /// It was refused.
    Failed(Refusal),
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// The code.
    pub code: Code,
    /// One sentence for a person.
    pub message: String,
    /// What a client can act on.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub details: Value,
}

/// What a successful request is answered with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Answer {
    /// A scan was recorded.
    Attendance(AttendanceAnswer),
    /// A scan is kept: the class's rule wants a face too, or a person decides.
    ScanKept(ScanKeptAnswer),
    /// Records say what a person said.
    Marks(MarksAnswer),
    /// A review was answered.
    Review(ReviewAnswer),
    /// A session was created, started, ended or given a new code.
    Session(SessionAnswer),
    /// A photograph was analysed for enrolment.
    Photo(PhotoAnswer),
    /// The faces of an image, nothing recorded.
    Recognition(RecognitionAnswer),
    /// A person's enrolled face was erased.
    FacesErased(FacesErasedAnswer),
    /// Something is being sent to a webhook.
    Webhook(WebhookAnswer),
}

/// A record of attendance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttendanceAnswer {
    /// The record.
    #[schema(value_type = Uuid)]
    pub attendance_id: AttendanceId,
    /// The session.
    #[schema(value_type = Uuid)]
    pub session_id: SessionId,
    /// Its class.
    #[schema(value_type = Uuid)]
    pub class_id: ClassId,
    /// The student.
    #[schema(value_type = Uuid)]
    pub student_id: UserId,
    /// The status.
    pub status: AttendanceStatus,
    /// When the student was there.
    pub marked_at: DateTime<Utc>,
    /// By what evidence.
    pub evidence: Evidence,
}

/// A scan that is good, and not enough by the rules of its class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScanKeptAnswer {
    /// The session.
    #[schema(value_type = Uuid)]
    pub session_id: SessionId,
    /// Its class.
    #[schema(value_type = Uuid)]
    pub class_id: ClassId,
    /// The student.
    #[schema(value_type = Uuid)]
    pub student_id: UserId,
    /// When the scan was received.
    pub scanned_at: DateTime<Utc>,
    /// Whether a person decides about it, as it is in doubt.
    #[serde(default)]
    pub in_review: bool,
}

/// Records after a person's word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MarksAnswer {
    /// The session.
    pub session_id: SessionId,
    /// The records, in the order in which they were asked for.
    pub records: Vec<AttendanceAnswer>,
}

/// A review after its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReviewAnswer {
    /// The review.
    pub review_id: ReviewId,
    /// What became of it.
    pub resolution: Resolution,
    /// The record that it made, or that already said so.
    pub record: Option<AttendanceAnswer>,
}

/// A session after a change. The token of its code is not here: it stays in the database, for those who may show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionAnswer {
    /// The session.
    pub session_id: SessionId,
    /// Its class.
    pub class_id: ClassId,
    /// Its state.
    pub state: SessionState,
    /// The code now valid, while the session is active.
    pub qr_token_id: Option<QrTokenId>,
    /// When that code ends.
    pub qr_expires_at: Option<DateTime<Utc>>,
    /// How many were there, in time or late, once it has ended.
    pub attendance_count: Option<u64>,
}

/// What became of an enrolment photograph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PhotoAnswer {
    /// The person.
    pub user_id: UserId,
    /// The photograph, if it was kept.
    pub photo_id: Option<PhotoId>,
    /// Why it was not kept: a name such as `no_face`, `several_faces`, `too_small`, `duplicate`.
    pub refusal: Option<String>,
    /// What the quality gate measured, if there was one face.
    pub quality: Option<Quality>,
    /// How many photographs the person's template now rests on.
    pub photos: u32,
}

/// What was erased of a person's enrolled face.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FacesErasedAnswer {
    /// The person.
    #[schema(value_type = Uuid)]
    pub user_id: UserId,
    /// How many photographs there were, each with its embeddings.
    pub photos: u32,
}

/// What is being sent to a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookAnswer {
    /// The webhook.
    #[schema(value_type = Uuid)]
    pub webhook_id: WebhookId,
    /// The delivery of a ping, to be found in the log of deliveries.
    #[schema(value_type = Option<Uuid>)]
    pub delivery_id: Option<DeliveryId>,
    /// The last place in FACTS that is sent again; null for a ping.
    pub until: Option<u64>,
}

/// The faces of an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecognitionAnswer {
    /// The pack that looked.
    pub pack: String,
    /// The faces, without embeddings.
    pub faces: Vec<Face>,
}
