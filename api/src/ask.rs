//! Questions to the workers, over the log.

use crate::{error::ApiError, extract::Caller, state::Api};
use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header::LOCATION, request::Parts};
use rollcall_bus::{AskError, Message};
use rollcall_schemas::{
    header::{self, Headers},
    id::RequestId,
    outcome::{Answer, OutcomeResult},
};
use rollcall_service::{
    http::{Problem, Success},
    telemetry::current_traceparent,
};
use serde::Serialize;
use utoipa::ToSchema;

/// More than any client needs to name a call of its own.
const MAX_KEY_LENGTH: usize = 200;

/// The header with which a caller repeats a call without repeating its effect.
#[derive(Clone, Debug)]
pub(crate) struct IdempotencyKey(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let key = value.to_str().ok().filter(|key| (1..=MAX_KEY_LENGTH).contains(&key.len()));
        let refused = || {
            Problem::invalid_input(format!("Idempotency-Key must be 1 to {MAX_KEY_LENGTH} ASCII characters"))
        };
        key.map(|key| Self(Some(key.to_owned()))).ok_or_else(refused)
    }
}

impl IdempotencyKey {
    /// The key, if there is one.
    pub(crate) fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The id of the request: the same for the same key, caller and call, a fresh one without a key. See
    /// [`RequestId::of_key`] for what is a call.
    pub(crate) fn request_id(&self, api: &Api, caller: &Caller, call: &str, content: &[u8]) -> RequestId {
        match &self.0 {
            Some(key) => RequestId::of_key(caller.id(), key, call, content),
            None => RequestId(api.entropy().uuid_v4()),
        }
    }
}

/// What became of a question.
pub(crate) enum Asked {
    /// It was answered.
    Answered(Answer),
    /// It is in the log, and its answer will be stored.
    Pending(Pending),
}

/// Where the answer will be.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pending {
    /// The request.
    #[schema(value_type = Uuid)]
    pub(crate) request_id: RequestId,
    /// Where its outcome can be read.
    pub(crate) status_url: String,
}

impl Pending {
    pub(crate) fn new(request_id: RequestId) -> Self {
        Self { request_id, status_url: format!("/api/v1/requests/{request_id}") }
    }
}

impl IntoResponse for Pending {
    fn into_response(self) -> Response {
        let location = HeaderValue::from_str(&self.status_url).expect("a path with a UUID is a header value");
        let mut response = Success::accepted("REQUEST_ACCEPTED", self).into_response();
        response.headers_mut().insert(LOCATION, location);
        response
    }
}

impl Api {
    /// Asks, and waits as long as configured.
    ///
    /// # Errors
    /// The refusal, if that is the answer; or that nobody can be asked at present.
    pub(crate) async fn ask(&self, question: Message, request: RequestId) -> Result<Asked, ApiError> {
        match self.bus().ask(question, request, self.settings().now().ask_deadline()).await {
            Ok(outcome) => match outcome.result {
                OutcomeResult::Succeeded { answer } => Ok(Asked::Answered(answer)),
                OutcomeResult::Failed(refusal) => Err(ApiError::refused(refusal)),
            },
            Err(AskError::TimedOut) => Ok(Asked::Pending(Pending::new(request))),
            Err(error) => Err(error.into()),
        }
    }
}

/// The trace that a question belongs to, as headers.
pub(crate) fn trace_headers() -> Headers {
    current_traceparent().map(|parent| (header::TRACEPARENT, parent)).into_iter().collect()
}

/// An answer of another kind than was asked for.
pub(crate) fn mismatched() -> ApiError {
    Problem::internal("a request was answered with something else").into()
}
