//! A refusal: what is said to the caller, and what is kept for the log.

use crate::lifecycle::with_causes;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use rollcall_schemas::code::Code;
use serde::Serialize;
use serde_json::{Value, json};
use std::{borrow::Cow, error::Error, sync::Arc, time::Duration};

/// Why a call is refused. `code`, `message` and `details` are said to the caller; the source is only logged.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Problem {
    /// The HTTP status; the code's own unless set otherwise.
    pub status: StatusCode,
    /// For programs.
    pub code: Code,
    /// For people.
    pub message: Cow<'static, str>,
    /// More for programs.
    pub details: Value,
    /// When to come back, for `Retry-After`.
    pub retry_after: Option<Duration>,
    #[source]
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// One field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The path of the field, such as `schedule[2].room`; `body` for the whole.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl FieldError {
    /// What is wrong with a field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        let field = field.into();
        let field = if matches!(field.as_str(), "" | ".") { "body".to_owned() } else { field };
        Self { field, message: message.into() }
    }
}

impl Problem {
    /// A refusal with the code's own status.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: StatusCode::from_u16(code.http_status()).expect("every code names a valid status"),
            code,
            message: message.into(),
            details: json!({}),
            retry_after: None,
            source: None,
        }
    }

    /// `401`: who is calling is not known.
    pub fn unauthenticated(message: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, ..Self::new(Code::AuthUnauthorized, message) }
    }

    /// `403`: the caller is known and may not do this.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::AuthUnauthorized, message)
    }

    /// `404`: there is no such thing, or none that the caller may know of. `what` is its name: `camera`.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("no such {what}"))
    }

    /// `409`: the state of things does not allow it.
    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Conflict, message)
    }

    /// `400`: not readable as what the route takes.
    pub fn invalid_input(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidInput, message)
    }

    /// `422`: readable, but fields break rules. Anything that pairs paths with messages will do.
    pub fn validation<F: Into<String>, M: Into<String>>(errors: impl IntoIterator<Item = (F, M)>) -> Self {
        let fields: Vec<_> =
            errors.into_iter().map(|(field, message)| FieldError::new(field, message)).collect();
        Self::new(Code::ValidationFailed, "some fields are not valid")
            .with_details(json!({ "fields": fields }))
    }

    /// `429`: more calls than the limit allows.
    pub fn rate_limited(retry_after: Duration) -> Self {
        Self::new(Code::RateLimited, "too many calls").with_retry_after(retry_after)
    }

    /// `503`: a part that this call needs is down or full.
    pub fn unavailable(message: impl Into<Cow<'static, str>>, retry_after: Duration) -> Self {
        Self::new(Code::ServiceUnavailable, message).with_retry_after(retry_after)
    }

    /// `500`: a fault of ours. The caller learns nothing of it but the request id.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(
            Code::InternalServerError,
            "something went wrong on our side; the request id finds it in the logs",
        )
        .caused_by(source)
    }

    /// The refusal that a bare status stands for.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let (code, message) = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (Code::AuthUnauthorized, "not allowed"),
            StatusCode::NOT_FOUND => (Code::NotFound, "no such route"),
            StatusCode::REQUEST_TIMEOUT => (Code::RequestTimeout, "the body comes too slowly"),
            StatusCode::URI_TOO_LONG => (Code::UriTooLong, "the address is longer than 8 KiB"),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                (Code::HeadersTooLarge, "there are more than 100 headers, or more than 32 KiB of them")
            }
            StatusCode::METHOD_NOT_ALLOWED => (Code::MethodNotAllowed, "the route does not take this method"),
            StatusCode::PAYLOAD_TOO_LARGE => (Code::PayloadTooLarge, "the body is larger than the limit"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                (Code::UnsupportedMediaType, "the route does not take this type")
            }
            StatusCode::UNPROCESSABLE_ENTITY => (Code::ValidationFailed, "the content is not valid"),
            StatusCode::TOO_MANY_REQUESTS => (Code::RateLimited, "too many calls"),
            StatusCode::SERVICE_UNAVAILABLE => (Code::ServiceUnavailable, "not available at the moment"),
            status if status.is_server_error() => {
                (Code::InternalServerError, "something went wrong on our side")
            }
            _ => (Code::InvalidInput, "the request cannot be read"),
        };
        Self { status, ..Self::new(code, message) }
    }

    /// Says more to programs.
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }

    /// Says when to come back.
    pub fn with_retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = Some(retry_after);
        self
    }

    /// Keeps the cause for the log.
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Our faults are errors in the log; the callers' are only traced.
    pub(super) fn log(&self) {
        let (status, code) = (self.status.as_u16(), self.code.as_str());
        let cause = self.source.as_ref().map(|source| with_causes(source.as_ref()));
        if self.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(status, code, cause, "{}", self.message);
        } else if self.status.is_server_error() {
            tracing::warn!(status, code, cause, "{}", self.message);
        } else {
            tracing::debug!(status, code, cause, "{}", self.message);
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(after) = self.retry_after {
            // Rounded up: coming back early would be refused again.
            let seconds = after.as_millis().div_ceil(1_000).max(1) as u64;
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::REQUEST_TIMEOUT {
            // What is left of the body would be taken for the next request (RFC 9110, section 15.5.9).
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}
