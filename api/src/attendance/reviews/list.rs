//! `GET /reviews`.

use super::ReviewBody;
use crate::{
    audit::{Act, Audit},
    extract::Caller,
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use rollcall_schemas::id::SessionId;
use rollcall_store::review_views::{self, ReviewFilter};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

/// Which reviews are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhichReviews {
    /// Those of one session.
    #[param(value_type = Option<Uuid>)]
    session_id: Option<SessionId>,
    /// `open`, which is what is shown without it, or `resolved`.
    #[param(inline)]
    status: Option<ReviewStatus>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ReviewStatus {
    Open,
    Resolved,
}

/// A page of reviews.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReviewsData {
    reviews: Vec<ReviewBody>,
}

/// List the open reviews, oldest evidence first, or those that are resolved, newest first; a teacher sees those of their
/// own classes.
#[utoipa::path(
    get,
    path = "/api/v1/reviews",
    tag = "attendance",
    params(PageParams, WhichReviews),
    responses((status = 200, description = "A page of reviews", body = PageEnvelope<ReviewsData>))
)]
pub(crate) async fn list_reviews(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    listing: Listing<WhichReviews>,
) -> Reply<ReviewsData> {
    let filter = ReviewFilter { session_id: listing.filter.session_id, teacher_id: caller.as_teacher() };
    let mut db = api.connection().await?;
    let found = match listing.filter.status {
        Some(ReviewStatus::Resolved) => review_views::resolved(&mut db, filter, listing.page()).await?,
        Some(ReviewStatus::Open) | None => review_views::open(&mut db, filter, listing.page()).await?,
    };
    let reviews: Vec<_> = found.rows.into_iter().map(ReviewBody::from).collect();
    let seen: Vec<_> = reviews.iter().map(|review| review.id).collect();
    audit.record(&mut db, Act::on_all("reviews.read").after(&json!({ "reviewIds": seen }))).await?;
    Ok(listing.answer(ReviewsData { reviews }, found.total))
}
