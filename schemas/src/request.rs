//! Work that wants an answer. The answer is an [`crate::outcome::Outcome`] under the same request id.

use crate::{
    embedding::Embedding,
    fact::AttendanceStatus,
    frame::{ImageType, rfc3339},
    header::{self, HeaderError, HeaderSource, Headers},
    id::{ApiKeyId, ClassId, RequestId, ReviewId, SessionId, UserId, WebhookId},
    sighting::Quality,
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use uuid::Uuid;

/// What is known of a photograph to analyse beside its bytes, which are the payload. Used by
/// [`crate::subject::RequestKind::EnrolPhoto`] and [`crate::subject::RequestKind::Recognise`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhotoMeta {
    /// The request.
    pub request_id: RequestId,
    /// Who asked.
    pub requested_by: UserId,
    /// Receipt at the api.
    pub received_at: DateTime<Utc>,
    /// The person in the photograph; absent for a recognition.
    pub user_id: Option<UserId>,
    /// What the bytes are.
    pub content_type: ImageType,
}

impl PhotoMeta {
    /// The headers of the message.
    pub fn to_headers(&self) -> Headers {
        let mut headers = vec![
            (header::REQUEST_ID, self.request_id.to_string()),
            (header::REQUESTED_BY, self.requested_by.to_string()),
            (header::RECEIVED_AT, rfc3339(self.received_at)),
            (header::CONTENT_TYPE, self.content_type.to_string()),
        ];
        headers.extend(self.user_id.map(|user| (header::USER_ID, user.to_string())));
        headers
    }

    /// Reads the headers of a message.
    ///
    /// # Errors
    /// When a header is absent or unreadable.
    pub fn from_headers(headers: &impl HeaderSource) -> Result<Self, HeaderError> {
        Ok(Self {
            request_id: headers.parsed(header::REQUEST_ID)?,
            requested_by: headers.parsed(header::REQUESTED_BY)?,
            received_at: headers.parsed(header::RECEIVED_AT)?,
            user_id: headers.header(header::USER_ID).map(|_| headers.parsed(header::USER_ID)).transpose()?,
            content_type: headers.parsed(header::CONTENT_TYPE)?,
        })
    }
}

/// A photograph that passed the quality gate, to be kept. Its crop is in EVIDENCE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StorePhoto {
    /// The enrolment request that brought the photograph.
    pub request_id: RequestId,
    /// Who asked.
    pub requested_by: UserId,
    /// The person.
    pub user_id: UserId,
    /// Receipt at the api.
    pub received_at: DateTime<Utc>,
    /// SHA-256 of the photograph, in hexadecimal: the same photograph twice adds nothing.
    pub sha256: String,
    /// The pack that made the embedding.
    pub pack: String,
    /// The embedding.
    pub embedding: Embedding,
    /// What the quality gate measured.
    pub quality: Quality,
    /// The sequence of the photograph in REQUESTS, so that erasure finds it.
    pub request_sequence: u64,
    /// The sequence of its crop in EVIDENCE.
    pub evidence_sequence: u64,
}

/// Erases everything that is known of a person's face: photographs, embeddings, templates of every pack, and the messages
/// that hold them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EraseFaces {
    /// The request.
    pub request_id: RequestId,
    /// Who asked.
    pub requested_by: UserId,
    /// When: photographs received before this are erased.
    pub requested_at: DateTime<Utc>,
    /// The person.
    pub user_id: UserId,
}

/// A change to a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionRequest {
    /// The request.
    pub request_id: RequestId,
    /// Who asked; the api has checked that they may.
    pub requested_by: UserId,
    /// Receipt at the api: what decisions go by.
    pub requested_at: DateTime<Utc>,
    /// What is wanted.
    pub command: SessionCommand,
}

/// What can be asked of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SessionCommand {
    /// Plan a session of a class. Its id is derived from the request's.
    Create {
        /// The class.
        class_id: ClassId,
        /// What it should be.
        #[serde(flatten)]
        plan: SessionPlan,
    },
    /// Change the plan of a session that has not begun.
    Change {
        /// The session.
        session_id: SessionId,
        /// What it should be.
        #[serde(flatten)]
        plan: SessionPlan,
    },
    /// Give up a session that has not begun.
    Cancel {
        /// The session.
        session_id: SessionId,
    },
    /// Open it for attendance and show its first code.
    Start {
        /// The session.
        session_id: SessionId,
    },
    /// Close it and record the absent.
    End {
        /// The session.
        session_id: SessionId,
    },
    /// Open it again after its end, and take back the absences that the end recorded.
    Reopen {
        /// The session.
        session_id: SessionId,
        /// Until when, if not until its planned end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ends_at: Option<DateTime<Utc>>,
        /// Why.
        reason: String,
    },
    /// Replace its code before its time.
    RotateQr {
        /// The session.
        session_id: SessionId,
    },
}

/// A person's word about records, or the answer to a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttendanceRequest {
    /// The request.
    pub request_id: RequestId,
    /// Who asked, and whose word it is; the api has checked that they may.
    pub requested_by: UserId,
    /// Receipt at the api.
    pub requested_at: DateTime<Utc>,
    /// What is wanted.
    pub command: AttendanceCommand,
}

/// What a person can say of records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AttendanceCommand {
    /// Mark students of a session: all of them or, when one line cannot be, none.
    Mark {
        /// The session.
        session_id: SessionId,
        /// What is said, each student at most once.
        words: Vec<Word>,
    },
    /// Take back what was said of one student: what machines saw stands again.
    Withdraw {
        /// The session.
        session_id: SessionId,
        /// The student.
        student_id: UserId,
        /// Why.
        reason: Option<String>,
    },
    /// Answer a review.
    Resolve {
        /// The review.
        review_id: ReviewId,
        /// The answer.
        verdict: Verdict,
        /// Why.
        reason: Option<String>,
    },
}

/// What a person says of one student.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Word {
    /// The student.
    pub student: StudentRef,
    /// The status.
    pub status: AttendanceStatus,
    /// When the student was there; for those who were.
    pub marked_at: Option<DateTime<Utc>>,
    /// Why.
    pub reason: Option<String>,
}

/// How a student is named.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StudentRef {
    /// By id.
    Id(UserId),
    /// By roll number.
    RollNumber(String),
}

/// The answer to a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Verdict {
    /// It is the student.
    Accept,
    /// It is not.
    Reject,
    /// It is another student of the class.
    Reassign {
        /// Who it is.
        student_id: UserId,
    },
}

/// Something to be sent to a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookRequest {
    /// The request.
    pub request_id: RequestId,
    /// Who asked; the api has checked that they may.
    pub requested_by: UserId,
    /// Receipt at the api.
    pub requested_at: DateTime<Utc>,
    /// The webhook.
    pub webhook_id: WebhookId,
    /// What is wanted.
    pub command: WebhookCommand,
}

/// What can be asked for a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WebhookCommand {
    /// Send something that means nothing, to see whether it arrives.
    Ping,
    /// Send again what FACTS holds after a place.
    Replay {
        /// The sequence in FACTS; what comes after it is sent.
        since: u64,
    },
}

/// What a session should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionPlan {
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// When it ends.
    pub ends_at: DateTime<Utc>,
    /// The room; of a new session, absent means the room of its class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// Whether another session of the class, or in the room, may take place at the same time.
    #[serde(default)]
    pub allow_overlap: bool,
    /// How long a code is valid, in seconds, if not as long as the class says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qr_ttl_seconds: Option<i32>,
}

impl SessionPlan {
    /// From then to then, and otherwise as its class says.
    pub fn between(starts_at: DateTime<Utc>, ends_at: DateTime<Utc>) -> Self {
        Self { starts_at, ends_at, room: None, allow_overlap: false, qr_ttl_seconds: None }
    }
}

/// When API keys were last used, to the minute, as one process saw it over a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyUses {
    /// Each key at most once.
    pub uses: Vec<KeyUse>,
}

/// When an API key was last used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyUse {
    /// The key.
    pub key_id: ApiKeyId,
    /// The minute.
    pub used_at: DateTime<Utc>,
}

/// Calls that were refused for want of authority, for the audit, as one process saw them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusals {
    /// What makes it this message: told again, it is put on record once.
    pub id: Uuid,
    /// The refusals.
    pub refusals: Vec<Refusal>,
}

/// A call that was refused for want of authority, or several like it within a minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// When the last of them was.
    pub at: DateTime<Utc>,
    /// Whose call.
    pub caller: Refused,
    /// On which route: its method and its pattern.
    pub route: String,
    /// The path that was called.
    pub path: String,
    /// What the caller was told.
    pub reason: Option<String>,
    /// How many they are.
    pub occurrences: u32,
    /// Where from.
    pub address: Option<IpAddr>,
    /// The id of the call.
    pub request_id: Option<String>,
    /// The id of its trace.
    pub trace_id: Option<String>,
}

/// Who was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Refused {
    /// A user.
    User(UserId),
    /// Whatever holds an API key.
    ApiKey(ApiKeyId),
    /// Somebody without credentials.
    Nobody,
}
