//! `GET /reviews/{id}` and `GET /reviews/{id}/face`: a question with the evidence beside it.

use super::{ReviewBody, find};
use crate::{
    attendance::AttendanceBody,
    audit::{Act, Audit},
    error::ApiError,
    extract::Caller,
    reply::Reply,
    state::Api,
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use rollcall_schemas::{
    header::{HeaderSource, SIGHTING_ID},
    id::{AttendanceId, ReviewId, SightingId},
    subject::Stream,
};
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Success, SuccessEnvelope};
use rollcall_store::{attendance_views, review_views};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// A review with what is beside it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReviewData {
    review: ReviewBody,
    /// What the student's record says now, if there is one.
    attendance: Option<AttendanceBody>,
    /// Where the picture of the face is, if one was kept.
    face_url: Option<String>,
}

/// Read one review, with the candidates and what the record says.
#[utoipa::path(
    get,
    path = "/api/v1/reviews/{id}",
    tag = "attendance",
    params(("id" = Uuid, Path, description = "The review")),
    responses((status = 200, description = "The review", body = SuccessEnvelope<ReviewData>))
)]
pub(crate) async fn get_review(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Path(id): Path<ReviewId>,
) -> Reply<ReviewData> {
    let mut db = api.connection().await?;
    let review = find(&mut db, id).await?;
    let record = AttendanceId::of(review.session_id, review.student_id);
    let attendance = attendance_views::find(&mut db, record).await?.map(AttendanceBody::from);
    let face_url = review.evidence_sequence.map(|_| format!("/api/v1/reviews/{id}/face"));
    let candidates: Vec<_> = review.candidates.iter().map(|candidate| candidate.user_id).collect();
    let names = review_views::names(&mut db, &candidates, caller.as_teacher()).await?;
    let seen = json!({ "studentId": review.student_id, "candidates": candidates });
    audit.record(&mut db, Act::of("review.read", id).after(&seen)).await?;
    let review = ReviewBody::from(review).with_names(&names);
    Ok(Success::ok(ReviewData { review, attendance, face_url }))
}

/// See the face that a review is about, as the camera saw it: a small JPEG. Each look at it is on record.
#[utoipa::path(
    get,
    path = "/api/v1/reviews/{id}/face",
    tag = "attendance",
    params(("id" = Uuid, Path, description = "The review")),
    responses(
        (status = 200, description = "The face", content_type = "image/jpeg", body = Vec<u8>),
        (status = 404, description = "`NOT_FOUND`: no such review, or the picture is not kept any more", body = ErrorEnvelope),
    )
)]
pub(crate) async fn get_review_face(
    State(api): State<Api>,
    audit: Audit,
    Path(id): Path<ReviewId>,
) -> Result<Response, ApiError> {
    let mut db = api.connection().await?;
    let review = find(&mut db, id).await?;
    let gone = || Problem::not_found("picture of the face: it is not kept any more");
    let (sequence, sighting) = review.evidence_sequence.zip(review.sighting_id).ok_or_else(gone)?;
    let crop = api.bus().get(Stream::Evidence, sequence).await?;
    // A stream that was made anew counts from the beginning again.
    let is_of = |sighting: SightingId, crop: &rollcall_bus::Delivery| {
        crop.header(SIGHTING_ID) == Some(sighting.to_string().as_str())
    };
    let crop = crop.filter(|crop| is_of(sighting, crop)).ok_or_else(gone)?;
    let whose = json!({ "studentId": review.student_id });
    audit.record(&mut db, Act::of("review.face_read", id).after(&whose)).await?;
    Ok(([(CONTENT_TYPE, "image/jpeg"), (CACHE_CONTROL, "no-store")], crop.payload).into_response())
}
