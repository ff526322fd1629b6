//! Questions that wait for a person: shown with their evidence, and answered.

mod answer;
mod list;
mod one;

use super::PersonBody;
use crate::{error::ApiError, state::Api};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    fact::Resolution,
    id::{CameraId, ClassId, ReviewId, SessionId, UserId},
    sighting::Candidate,
};
use rollcall_service::http::Problem;
use rollcall_store::{
    PgConnection,
    review_views::{self, AnswerView, ReviewView},
};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list::list_reviews))
        .routes(routes!(one::get_review))
        .routes(routes!(one::get_review_face))
        .routes(routes!(answer::accept_review))
        .routes(routes!(answer::reject_review))
        .routes(routes!(answer::reassign_review))
}

/// A face or a scan about which a person decides.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReviewBody {
    #[schema(value_type = Uuid)]
    id: ReviewId,
    #[schema(value_type = Uuid)]
    session_id: SessionId,
    #[schema(value_type = Uuid)]
    class_id: ClassId,
    kind: ReviewKind,
    /// The student whose record depends on it.
    #[schema(value_type = Uuid)]
    student_id: UserId,
    student_name: String,
    /// The camera that saw the face.
    #[schema(value_type = Option<Uuid>)]
    camera_id: Option<CameraId>,
    /// Whom the face may be, most similar first; nobody for a scan.
    candidates: Vec<CandidateBody>,
    /// Why it was not decided: `uncertain`, `outside_class`, `look_alike` or `seen_twice` of a face in doubt, `no_scan` of
    /// a face without a scan, `no_face` of a scan without a face, `outside_networks`, `too_far`, `no_position` or
    /// `shared_device` of a scan in doubt.
    reason: String,
    /// What was found of the scan, as in the scan checks of its session; null for a face, and where nothing was asked.
    #[schema(value_type = Option<Object>)]
    found: Option<Value>,
    /// When the face was seen, or the scan received.
    captured_at: DateTime<Utc>,
    opened_at: DateTime<Utc>,
    /// Null while it is open.
    answer: Option<AnswerBody>,
}

/// What a review is about.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ReviewKind {
    /// A face that a camera saw.
    Face,
    /// A scan that no face confirms, or that is in doubt.
    Scan,
}

/// Whom a face may be.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CandidateBody {
    #[schema(value_type = Uuid)]
    user_id: UserId,
    /// The full name, where a single review is read; a teacher is told those of their own students.
    name: Option<String>,
    /// Cosine similarity.
    similarity: f32,
}

/// How a review was answered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AnswerBody {
    /// `accepted`, `rejected`, `reassigned`; `known` when it was settled otherwise; `overtaken` when it turned out to be
    /// about something outside the session.
    resolution: Resolution,
    resolved_at: DateTime<Utc>,
    /// Who answered; null where nobody did.
    resolved_by: Option<PersonBody>,
    /// Why, in their words.
    reason: Option<String>,
    /// Who it is instead.
    #[schema(value_type = Option<Uuid>)]
    reassigned_to: Option<UserId>,
}

impl From<Candidate> for CandidateBody {
    fn from(candidate: Candidate) -> Self {
        Self { user_id: candidate.user_id, name: None, similarity: candidate.similarity }
    }
}

impl From<AnswerView> for AnswerBody {
    fn from(answer: AnswerView) -> Self {
        Self {
            resolution: answer.resolution,
            resolved_at: answer.at,
            resolved_by: answer.by.map(PersonBody::from),
            reason: answer.why,
            reassigned_to: answer.reassigned_to,
        }
    }
}

impl From<ReviewView> for ReviewBody {
    fn from(review: ReviewView) -> Self {
        Self {
            id: review.id,
            session_id: review.session_id,
            class_id: review.class_id,
            kind: if review.sighting_id.is_some() { ReviewKind::Face } else { ReviewKind::Scan },
            student_id: review.student_id,
            student_name: review.student_name,
            camera_id: review.camera_id,
            candidates: review.candidates.into_iter().map(CandidateBody::from).collect(),
            reason: review.reason,
            found: review.found,
            captured_at: review.captured_at,
            opened_at: review.opened_at,
            answer: review.answer.map(AnswerBody::from),
        }
    }
}

impl ReviewBody {
    /// The same with the candidates' names.
    fn with_names(mut self, names: &HashMap<UserId, String>) -> Self {
        for candidate in &mut self.candidates {
            candidate.name = names.get(&candidate.user_id).cloned();
        }
        self
    }
}

/// A review that must exist.
async fn find(db: &mut PgConnection, id: ReviewId) -> Result<ReviewView, ApiError> {
    Ok(review_views::find(db, id).await?.ok_or_else(|| Problem::not_found("review"))?)
}
