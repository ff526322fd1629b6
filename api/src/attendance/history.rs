//! `GET /attendance/{id}/history`.

use super::{AttendanceBody, PersonBody, one::subject};
use crate::{reply::Reply, state::Api};
use axum::extract::State;
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    fact::{AttendanceStatus, Evidence},
    id::{AttendanceId, SessionId, UserId},
};
use rollcall_service::http::{Path, Success, SuccessEnvelope};
use rollcall_store::attendance_views::{self, RecordSubject, VersionView};
use serde::Serialize;
use utoipa::ToSchema;

/// What a record said for some time.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RecordVersion)]
struct VersionBody {
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
    /// From when it stood.
    recorded_at: DateTime<Utc>,
    /// Until when; null for what stands.
    changed_at: Option<DateTime<Utc>>,
}

impl From<VersionView> for VersionBody {
    fn from(version: VersionView) -> Self {
        Self {
            status: version.status,
            marked_at: version.marked_at,
            evidence: version.evidence,
            similarity: version.similarity,
            decided_by: version.decided_by.map(PersonBody::from),
            reason: version.reason,
            recorded_at: version.recorded_at,
            changed_at: version.changed_at,
        }
    }
}

/// A record and everything that it has said.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HistoryData {
    #[schema(value_type = Uuid)]
    session_id: SessionId,
    #[schema(value_type = Uuid)]
    student_id: UserId,
    /// Null when it was taken back.
    attendance: Option<AttendanceBody>,
    /// Oldest first; what stands comes last.
    versions: Vec<VersionBody>,
}

/// Read everything that a record has said: who decided, by what evidence, when and why; also when it was taken back.
#[utoipa::path(
    get,
    path = "/api/v1/attendance/{id}/history",
    tag = "attendance",
    params(("id" = Uuid, Path, description = "The record")),
    responses((status = 200, description = "The versions", body = SuccessEnvelope<HistoryData>))
)]
pub(crate) async fn get_history(State(api): State<Api>, Path(id): Path<AttendanceId>) -> Reply<HistoryData> {
    let mut db = api.connection().await?;
    let RecordSubject { session_id, student_id, .. } = subject(&mut db, id).await?;
    let attendance = attendance_views::find(&mut db, id).await?.map(AttendanceBody::from);
    let versions = attendance_views::history(&mut db, id).await?.into_iter().map(VersionBody::from).collect();
    Ok(Success::ok(HistoryData { session_id, student_id, attendance, versions }))
}
