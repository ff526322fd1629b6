//! Records of attendance and open reviews, read only: what changes them goes over the log.

mod reviews;
mod session;
mod student;

use crate::state::Api;
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    fact::{AttendanceStatus, Evidence},
    id::{AttendanceId, ClassId, SessionId, UserId},
};
use rollcall_store::attendance_views::AttendanceView;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(session::list_session_attendance))
        .routes(routes!(student::list_student_attendance))
        .routes(routes!(reviews::list_reviews))
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
            trace_id: record.trace_id,
        }
    }
}
