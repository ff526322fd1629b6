//! `POST /reviews/{id}/accept`, `/reject` and `/reassign`: asked of the attendance worker.

use super::{ReviewBody, find};
use crate::{
    ask::{Pending, mismatched},
    attendance::{
        asking::{Speaker, Told},
        one::Why,
    },
    audit::Act,
    error::ApiError,
    extract::{Body, OptionalBody},
    state::Api,
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use garde::Validate;
use http::StatusCode;
use rollcall_schemas::{
    id::{ReviewId, UserId},
    outcome::{Answer, AttendanceAnswer},
    request::{AttendanceCommand, Verdict},
};
use rollcall_service::http::{ErrorEnvelope, Path, Success, SuccessEnvelope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A review that is answered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnsweredData {
    review: ReviewBody,
    /// What the student's record says now, if there is one.
    attendance: Option<AttendanceAnswer>,
}

/// Say that it is the student: the record says so from the moment of the evidence.
#[utoipa::path(
    post,
    path = "/api/v1/reviews/{id}/accept",
    tag = "attendance",
    params(
        ("id" = Uuid, Path, description = "The review"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats a call without repeating its effect"),
    ),
    request_body = Option<Why>,
    responses(
        (status = 200, description = "Accepted", body = SuccessEnvelope<AnsweredData>),
        (status = 202, description = "The answer is still to come", body = SuccessEnvelope<Pending>),
        (status = 409, description = "`CONFLICT`: it is answered already, or happened outside the session", body = ErrorEnvelope),
    )
)]
pub(crate) async fn accept_review(
    State(api): State<Api>,
    speaker: Speaker,
    Path(id): Path<ReviewId>,
    OptionalBody(why): OptionalBody<Why>,
) -> Result<Response, ApiError> {
    let act = Act::of("review.acceptance_asked", id);
    answer(&api, speaker, id, (Verdict::Accept, why.reason), (act, "REVIEW_ACCEPTED")).await
}

/// Say that it is not the student. No record changes.
#[utoipa::path(
    post,
    path = "/api/v1/reviews/{id}/reject",
    tag = "attendance",
    params(
        ("id" = Uuid, Path, description = "The review"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats a call without repeating its effect"),
    ),
    request_body = Option<Why>,
    responses(
        (status = 200, description = "Rejected", body = SuccessEnvelope<AnsweredData>),
        (status = 202, description = "The answer is still to come", body = SuccessEnvelope<Pending>),
        (status = 409, description = "`CONFLICT`: it is answered already", body = ErrorEnvelope),
    )
)]
pub(crate) async fn reject_review(
    State(api): State<Api>,
    speaker: Speaker,
    Path(id): Path<ReviewId>,
    OptionalBody(why): OptionalBody<Why>,
) -> Result<Response, ApiError> {
    let act = Act::of("review.rejection_asked", id);
    answer(&api, speaker, id, (Verdict::Reject, why.reason), (act, "REVIEW_REJECTED")).await
}

/// Who it is instead.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "studentId": "7d6a2f0e-5b1c-4e8a-9f43-1c2b3a4d5e6f", "reason": "her twin" }))]
pub(crate) struct Reassignment {
    /// A student who was in the class then.
    #[garde(skip)]
    #[schema(value_type = Uuid)]
    student_id: UserId,
    /// Why, in a few words.
    #[garde(length(chars, min = 1, max = 500))]
    reason: Option<String>,
}

/// Say that the face is another student's: that one's record says so from the moment of the evidence.
#[utoipa::path(
    post,
    path = "/api/v1/reviews/{id}/reassign",
    tag = "attendance",
    params(
        ("id" = Uuid, Path, description = "The review"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats a call without repeating its effect"),
    ),
    request_body = Reassignment,
    responses(
        (status = 200, description = "Reassigned", body = SuccessEnvelope<AnsweredData>),
        (status = 202, description = "The answer is still to come", body = SuccessEnvelope<Pending>),
        (status = 403, description = "`NOT_ENROLLED`: the student was not in the class then", body = ErrorEnvelope),
        (status = 409, description = "`CONFLICT`: it is answered already, about a scan, or happened outside the session", body = ErrorEnvelope),
    )
)]
pub(crate) async fn reassign_review(
    State(api): State<Api>,
    speaker: Speaker,
    Path(id): Path<ReviewId>,
    Body(Reassignment { student_id, reason }): Body<Reassignment>,
) -> Result<Response, ApiError> {
    let act = Act::of("review.reassignment_asked", id);
    let verdict = Verdict::Reassign { student_id };
    answer(&api, speaker, id, (verdict, reason), (act, "REVIEW_REASSIGNED")).await
}

async fn answer(
    api: &Api,
    speaker: Speaker,
    id: ReviewId,
    (verdict, reason): (Verdict, Option<String>),
    (act, code): (Act, &'static str),
) -> Result<Response, ApiError> {
    find(&mut *api.connection().await?, id).await?;
    let command = AttendanceCommand::Resolve { review_id: id, verdict, reason };
    match speaker.ask(api, command, act).await? {
        Told::Done(Answer::Review(answer)) => {
            let review = find(&mut *api.connection().await?, id).await?.into();
            let data = AnsweredData { review, attendance: answer.record };
            Ok(Success::new(StatusCode::OK, code, data).into_response())
        }
        Told::Done(_) => Err(mismatched()),
        Told::Pending(pending) => Ok(pending.into_response()),
    }
}
