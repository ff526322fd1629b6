//! `GET /requests/{id}`: the outcome of a call that was answered with `202`.

use crate::{
    audit::{Act, Audit},
    error::ApiError,
    extract::Caller,
    state::Api,
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use http::{HeaderValue, header::RETRY_AFTER};
use rollcall_schemas::{
    id::RequestId,
    outcome::{Answer, Outcome, OutcomeResult},
    role::Role,
};
use rollcall_service::http::{Path, Problem, Success, SuccessEnvelope};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(get_request))
}

/// What became of a request.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestData {
    #[schema(value_type = Uuid)]
    request_id: RequestId,
    status: RequestStatus,
    /// When it was decided.
    decided_at: Option<DateTime<Utc>>,
    /// The answer, if it succeeded.
    answer: Option<Value>,
    /// The code, the message and the details of the refusal, if it failed.
    error: Option<Value>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RequestStatus {
    Pending,
    Succeeded,
    Failed,
}

impl From<Outcome> for RequestData {
    fn from(outcome: Outcome) -> Self {
        let (status, answer, error) = match outcome.result {
            OutcomeResult::Succeeded { answer } => (RequestStatus::Succeeded, Some(json!(answer)), None),
            OutcomeResult::Failed(refusal) => (RequestStatus::Failed, None, Some(json!(refusal))),
        };
        Self { request_id: outcome.request_id, status, decided_at: Some(outcome.decided_at), answer, error }
    }
}

/// Read what became of a request.
///
/// `202` while there is no outcome; outcomes are kept for a day. One reads one's own requests, operators and
/// administrators read all.
#[utoipa::path(
    get,
    path = "/api/v1/requests/{id}",
    tag = "requests",
    params(("id" = Uuid, Path, description = "The request")),
    responses(
        (status = 200, description = "The outcome", body = SuccessEnvelope<RequestData>),
        (status = 202, description = "No outcome yet", body = SuccessEnvelope<RequestData>),
    )
)]
pub(crate) async fn get_request(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Path(request_id): Path<RequestId>,
) -> Result<Response, ApiError> {
    let Some(outcome) = api.bus().outcome(request_id).await? else {
        let data = RequestData {
            request_id,
            status: RequestStatus::Pending,
            decided_at: None,
            answer: None,
            error: None,
        };
        let mut response = Success::accepted("REQUEST_PENDING", data).into_response();
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        return Ok(response);
    };
    if outcome.caller != caller.id() && !matches!(caller.role(), Role::Admin | Role::Operator) {
        return Err(Problem::forbidden("this request is not yours").into());
    }
    // The answer names people by their faces.
    if let OutcomeResult::Succeeded { answer: Answer::Recognition(_) } = outcome.result {
        audit.record(&mut *api.connection().await?, Act::of("recognition.read", request_id)).await?;
    }
    Ok(Success::ok(RequestData::from(outcome)).into_response())
}
