//! The two envelopes, and how an answer gets into one.
//!
//! A handler's [`Success`] or [`Problem`] becomes a response that carries what to say as an extension; [`render`], a
//! layer that knows the clock, writes the envelope. So every body is written in one place, and what others answered
//! without an envelope (an unknown route, axum's own refusals) gets one there too.

use super::problem::Problem;
use crate::clock::Clock;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use http::{HeaderValue, StatusCode, header};
use rollcall_schemas::code::Code;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use sha2::{Digest, Sha256};
use std::{borrow::Cow, sync::Arc};
use utoipa::openapi::{Object, ObjectBuilder, Type};

/// An answer of success, to be put into its envelope.
#[derive(Debug)]
pub struct Success<T> {
    status: StatusCode,
    code: Cow<'static, str>,
    data: T,
    meta: Value,
}

impl<T: Serialize> Success<T> {
    /// `200`, code `OK`.
    pub fn ok(data: T) -> Self {
        Self::new(StatusCode::OK, "OK", data)
    }

    /// `201`, with a code such as `USER_CREATED`.
    pub fn created(code: impl Into<Cow<'static, str>>, data: T) -> Self {
        Self::new(StatusCode::CREATED, code, data)
    }

    /// `202`, with a code such as `FRAME_ACCEPTED`.
    pub fn accepted(code: impl Into<Cow<'static, str>>, data: T) -> Self {
        Self::new(StatusCode::ACCEPTED, code, data)
    }

    /// Any other status of success.
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, data: T) -> Self {
        Self { status, code: code.into(), data, meta: json!({}) }
    }

    /// Adds what is said about the data, such as its page.
    pub fn with_meta(mut self, meta: Value) -> Self {
        self.meta = meta;
        self
    }
}

impl<T: Serialize> IntoResponse for Success<T> {
    fn into_response(self) -> Response {
        match serde_json::value::to_raw_value(&self.data) {
            Ok(data) => {
                Answer { code: self.code, data: data.into(), meta: self.meta }.into_response(self.status)
            }
            Err(error) => Problem::internal(error).into_response(),
        }
    }
}

/// What a success is to say, on its way into its envelope: for layers that keep it, compare it, or give it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    code: Cow<'static, str>,
    data: Arc<RawValue>,
    meta: Value,
}

impl Answer {
    /// What a response is to say, if it is a success in an envelope.
    pub fn of(response: &Response) -> Option<&Self> {
        response.extensions().get()
    }

    /// The answer as a response of that status.
    pub fn into_response(self, status: StatusCode) -> Response {
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }

    /// SHA-256 of what is said; when it is said does not count.
    pub(super) fn sha256(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [self.code.as_bytes(), self.data.get().as_bytes(), self.meta.to_string().as_bytes()] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// The envelope of success, as clients see it.
#[derive(Debug, Serialize, schemars::JsonSchema, utoipa::ToSchema)]
pub struct SuccessEnvelope<T> {
    /// Always true.
    #[schema(schema_with = always_true)]
    #[schemars(extend("const" = true))]
    pub success: bool,
    /// What was done: `OK`, `USER_CREATED`.
    pub code: Cow<'static, str>,
    /// The answer itself.
    pub data: T,
    /// What is said about the data, such as its page.
    #[schema(value_type = std::collections::BTreeMap<String, Value>)]
    pub meta: Value,
    /// When it was answered.
    pub timestamp: DateTime<Utc>,
}

/// The envelope of refusal, as clients see it.
#[derive(Debug, Serialize, schemars::JsonSchema, utoipa::ToSchema)]
pub struct ErrorEnvelope {
    /// Always false.
    #[schema(schema_with = always_false)]
    #[schemars(extend("const" = false))]
    pub success: bool,
    /// What went wrong.
    pub error: ErrorBody,
    /// When it was answered.
    pub timestamp: DateTime<Utc>,
}

/// What went wrong.
#[derive(Debug, Serialize, schemars::JsonSchema, utoipa::ToSchema)]
pub struct ErrorBody {
    /// For programs.
    pub code: Code,
    /// For people.
    pub message: Cow<'static, str>,
    /// More for programs, such as each field with its error.
    #[schema(value_type = std::collections::BTreeMap<String, Value>)]
    pub details: Value,
}

/// The schema of `success` in an envelope of success.
pub fn always_true() -> Object {
    always(true)
}

fn always_false() -> Object {
    always(false)
}

/// Told apart by this field, the two envelopes are one type to a client.
fn always(value: bool) -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([value])).build()
}

/// Puts what the routes answered into its envelope.
pub(super) fn render(mut response: Response, clock: &Clock) -> Response {
    if let Some(answer) = response.extensions_mut().remove::<Answer>() {
        let Answer { code, data, meta } = answer;
        let envelope = SuccessEnvelope { success: true, code, data: &*data, meta, timestamp: clock.now() };
        return write(response, &envelope);
    }
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if is_bare_refusal(&response) => Problem::of_status(response.status()),
        None => return response,
    };
    write(response, &problem.into_envelope(clock.now()))
}

impl Problem {
    /// What the caller is told, also where there is no response to put it into; the rest goes into the log.
    pub fn into_envelope(self, timestamp: DateTime<Utc>) -> ErrorEnvelope {
        self.log();
        let error = ErrorBody { code: self.code, message: self.message, details: self.details };
        ErrorEnvelope { success: false, error, timestamp }
    }
}

/// Whether a refusal has no JSON of its own; one that has speaks another protocol (Engine.IO, JWKS).
fn is_bare_refusal(response: &Response) -> bool {
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let is_json = content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    is_error && !is_json
}

/// Replaces the body and keeps the head: status, `Allow`, `Location`, cookies.
fn write(response: Response, envelope: &impl Serialize) -> Response {
    let (mut head, _) = response.into_parts();
    let body = serde_json::to_vec(envelope).expect("an envelope of plain data can be written");
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response::from_parts(head, Body::from(body))
}
