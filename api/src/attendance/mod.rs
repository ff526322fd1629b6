//! Records of attendance and reviews: shown, and changed by asking the attendance worker over the log.

mod asking;
mod history;
mod manual;
mod one;
mod own;
mod reviews;
mod session;
mod student;

use crate::state::Api;
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    fact::{AttendanceStatus, Evidence},
    id::{AttendanceId, ClassId, SessionId, UserId},
};
use rollcall_store::attendance_views::{AttendanceView, DecidedBy};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(session::list_session_attendance))
        .routes(routes!(student::list_student_attendance))
        .routes(routes!(own::list_own_attendance))
        .routes(routes!(manual::mark_manually))
        .routes(routes!(one::override_record))
        .routes(routes!(one::excuse_record))
        .routes(routes!(one::withdraw_word))
        .routes(routes!(history::get_history))
        .merge(reviews::routes())
}

/// A person who decided something.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PersonBody {
    #[schema(value_type = Uuid)]
    id: UserId,
    name: String,
}

impl From<DecidedBy> for PersonBody {
    fn from(person: DecidedBy) -> Self {
        Self { id: person.id, name: person.name }
    }
}

/// One student's attendance of one session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttendanceBody {
    #[schema(value_type = Uuid)]
    id: AttendanceId,
    #[schema(value_type = Uuid)]
    session_id: SessionId,
    #[schema(value_type = Uuid)]
    class_id: ClassId,
    class_name: String,
    #[schema(value_type = Uuid)]
    student_id: UserId,
    student_name: String,
    roll_number: Option<String>,
    /// `present`, `late`, `absent` or `excused`.
    status: AttendanceStatus,
    /// When the student was there: event time.
    marked_at: DateTime<Utc>,
    /// `qr`, `face`, `manual` or `none`.
    evidence: Evidence,
    /// Cosine similarity, for a face.
    similarity: Option<f32>,
    /// Who made the record say so; null where machines did.
    decided_by: Option<PersonBody>,
    /// Why, in their words.
    reason: Option<String>,
    /// The address that the scan came from, as the door saw it; null where the record keeps none.
    ip: Option<String>,
    /// What the scanning program called itself.
    user_agent: Option<String>,
    /// The trace that led to the record.
    trace_id: Option<String>,
}

impl From<AttendanceView> for AttendanceBody {
    fn from(record: AttendanceView) -> Self {
        Self {
            id: record.id,
            session_id: record.session_id,
            class_id: record.class_id,
            class_name: record.class_name,
            student_id: record.student_id,
            student_name: record.student_name,
            roll_number: record.roll_number,
            status: record.status,
            marked_at: record.marked_at,
            evidence: record.evidence,
            similarity: record.similarity,
            decided_by: record.decided_by.map(PersonBody::from),
            reason: record.reason,
            ip: record.ip,
            user_agent: record.user_agent,
            trace_id: record.trace_id,
        }
    }
}

#[cfg(test)]
mod tests;
