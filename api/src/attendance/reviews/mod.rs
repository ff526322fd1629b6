//! `GET /reviews`.

use crate::{
    audit::{Act, Audit},
    extract::Caller,
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    id::{CameraId, ClassId, ReviewId, SessionId, UserId},
    sighting::Candidate,
};
use rollcall_store::attendance_views::{self, ReviewFilter, ReviewView};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

/// Which reviews are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfSession {
    /// Those of one session.
    #[param(value_type = Option<Uuid>)]
    session_id: Option<SessionId>,
}

/// A face that waits for a person's decision.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReviewBody {
    #[schema(value_type = Uuid)]
    id: ReviewId,
    #[schema(value_type = Uuid)]
    session_id: SessionId,
    #[schema(value_type = Uuid)]
    class_id: ClassId,
    #[schema(value_type = Uuid)]
    camera_id: CameraId,
    /// Whom it may be, most similar first.
    candidates: Vec<CandidateBody>,
    /// Why it was not decided.
    reason: String,
    captured_at: DateTime<Utc>,
    opened_at: DateTime<Utc>,
}

/// Whom a face may be.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CandidateBody {
    #[schema(value_type = Uuid)]
    user_id: UserId,
    /// Cosine similarity.
    similarity: f32,
}

impl From<Candidate> for CandidateBody {
    fn from(candidate: Candidate) -> Self {
        Self { user_id: candidate.user_id, similarity: candidate.similarity }
    }
}

impl From<ReviewView> for ReviewBody {
    fn from(review: ReviewView) -> Self {
        Self {
            id: review.id,
            session_id: review.session_id,
            class_id: review.class_id,
            camera_id: review.camera_id,
            candidates: review.candidates.into_iter().map(CandidateBody::from).collect(),
            reason: review.reason,
            captured_at: review.captured_at,
            opened_at: review.opened_at,
        }
    }
}

/// A page of open reviews.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReviewsData {
    reviews: Vec<ReviewBody>,
}

/// List the open reviews, oldest sighting first; a teacher sees those of their own classes.
#[utoipa::path(
    get,
    path = "/api/v1/reviews",
    tag = "attendance",
    params(PageParams, OfSession),
    responses((status = 200, description = "A page of reviews", body = PageEnvelope<ReviewsData>))
)]
pub(crate) async fn list_reviews(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    listing: Listing<OfSession>,
) -> Reply<ReviewsData> {
    let filter = ReviewFilter { session_id: listing.filter.session_id, teacher_id: caller.as_teacher() };
    let mut db = api.connection().await?;
    let found = attendance_views::open_reviews(&mut db, filter, listing.page()).await?;
    let reviews: Vec<_> = found.rows.into_iter().map(ReviewBody::from).collect();
    let seen: Vec<_> = reviews.iter().map(|review| review.id).collect();
    audit.record(&mut db, Act::on_all("reviews.read").after(&json!({ "reviewIds": seen }))).await?;
    Ok(listing.answer(ReviewsData { reviews }, found.total))
}
