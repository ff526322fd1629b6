//! Extractors of bodies, which refuse in the envelope.

use super::{
    pace::TooSlow,
    problem::{FieldError, Problem},
};
use axum::{
    RequestExt,
    extract::{FromRequest, Request, multipart::MultipartError},
};
use http::{HeaderMap, StatusCode, header};
use http_body::Body;
use http_body_util::LengthLimitError;
use rollcall_schemas::code::Code;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::error::Error;

/// A JSON body. Refuses another content type (`415`), a body over the limit (`413`), what is not JSON and absent
/// fields (`400`), and fields of the wrong type or unknown ones (`422`), naming the field. More than 127 arrays and objects
/// within each other are not read (`400`).
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(Code::UnsupportedMediaType, "the body must be application/json"));
        }
        let Bytes(body) = Bytes::from_request(request, state).await?;
        // serde reads a struct from a list, too: by place, so that nobody would see what a value is for.
        if body.trim_ascii_start().starts_with(b"[") {
            return Err(Problem::validation([("body", "must be an object")]));
        }
        let mut reader = serde_json::Deserializer::from_slice(&body);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            if error.inner().is_data() {
                return refused_field(&error.path().to_string(), &without_position(error.inner()));
            }
            Problem::invalid_input("the body is not JSON")
                .with_details(json!({ "reason": error.inner().to_string() }))
        })?;
        reader.end().map_err(|_| Problem::invalid_input("the body goes on after its JSON value"))?;
        Ok(Self(value))
    }
}

/// The bytes of a body, up to the route's limit.
#[derive(Clone, Debug)]
pub struct Bytes(pub axum::body::Bytes);

impl<S: Send + Sync> FromRequest<S> for Bytes {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = axum::body::Bytes::from_request(within_limit(request)?, state).await;
        body.map(Self).map_err(|rejection| refused_body(rejection.status(), &rejection))
    }
}

/// A `multipart/form-data` body. Errors of its fields turn into a [`Problem`] by `?`.
#[derive(Debug)]
pub struct Multipart(pub axum::extract::Multipart);

impl<S: Send + Sync> FromRequest<S> for Multipart {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        if !content_type.is_some_and(|value| value.as_bytes().starts_with(b"multipart/form-data")) {
            return Err(Problem::new(Code::UnsupportedMediaType, "the body must be multipart/form-data"));
        }
        let body = axum::extract::Multipart::from_request(within_limit(request)?, state).await;
        body.map(Self).map_err(|rejection| Problem::invalid_input(rejection.body_text()))
    }
}

impl From<MultipartError> for Problem {
    fn from(error: MultipartError) -> Self {
        refused_body(error.status(), &error)
    }
}

/// Refuses a body that says itself that it is too large, before waiting for any of it.
fn within_limit(request: Request) -> Result<Request, Problem> {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let declared: Option<u64> = length.and_then(|value| value.to_str().ok()?.parse().ok());
    let request = request.with_limited_body();
    match (declared, request.body().size_hint().upper()) {
        (Some(declared), Some(limit)) if declared > limit => {
            Err(Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE))
        }
        _ => Ok(request),
    }
}

fn refused_body(status: StatusCode, error: &(dyn Error + 'static)) -> Problem {
    if is_caused_by::<TooSlow>(error) {
        Problem::of_status(StatusCode::REQUEST_TIMEOUT)
    } else if status == StatusCode::PAYLOAD_TOO_LARGE || is_caused_by::<LengthLimitError>(error) {
        Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE)
    } else {
        Problem::invalid_input("the body could not be read")
            .with_details(json!({ "reason": error.to_string() }))
    }
}

fn is_caused_by<E: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    error.is::<E>() || error.source().is_some_and(is_caused_by::<E>)
}

/// A field that could not be read into its type.
pub fn refused_field(path: &str, message: &str) -> Problem {
    let absent = message.strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
    let Some((name, _)) = absent else {
        return Problem::validation([(path, message)]);
    };
    let field = if matches!(path, "" | ".") { name.to_owned() } else { format!("{path}.{name}") };
    Problem::new(Code::MissingRequiredField, format!("the field {field} is required"))
        .with_details(json!({ "fields": [FieldError::new(field, "required")] }))
}

/// serde_json appends the position to what serde says.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.to_owned())
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
