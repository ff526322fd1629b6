//! Refusals of images, times and the log, as callers read them: the code, the field, and what to do about it.

use crate::{captured_at::CapturedAtRefusal, inspect::ImageRefusal};
use rollcall_bus::PublishError;
use rollcall_schemas::code::Code;
use rollcall_service::http::{FieldError, Problem};
use serde_json::json;
use std::time::Duration;

/// When to come back while the broker is away: it restarts in seconds.
const BROKER_AWAY: Duration = Duration::from_secs(1);
/// When to come back while the log is full: room comes as messages grow old.
const LOG_FULL: Duration = Duration::from_secs(10);

/// A refusal that is about one field.
pub(super) fn of_field(code: Code, field: &str, message: impl Into<String>) -> Problem {
    let message = message.into();
    Problem::new(code, message.clone()).with_details(json!({ "fields": [FieldError::new(field, message)] }))
}

pub(super) fn of_image(refusal: &ImageRefusal) -> Problem {
    let code = match refusal {
        ImageRefusal::Empty => Code::MissingRequiredField,
        ImageRefusal::TooLarge { .. } => Code::PayloadTooLarge,
        ImageRefusal::NotAnImage | ImageRefusal::TypeNotTaken { .. } | ImageRefusal::TypeDiffers { .. } => {
            Code::UnsupportedMediaType
        }
        ImageRefusal::Truncated { .. }
        | ImageRefusal::Unreadable { .. }
        | ImageRefusal::TooManyPixels { .. } => Code::ValidationFailed,
    };
    of_field(code, "image", refusal.to_string())
}

pub(super) fn of_captured_at(refusal: &CapturedAtRefusal) -> Problem {
    of_field(Code::ValidationFailed, "capturedAt", refusal.to_string())
}

/// Nothing is lost: the caller has the message, and sending the same again stores it once.
pub(super) fn of_publish(error: PublishError) -> Problem {
    let problem = match &error {
        PublishError::Full { .. } => {
            Problem::unavailable("the log is full; send the same again later", LOG_FULL)
        }
        PublishError::Unavailable { .. } => {
            Problem::unavailable("the log is not available; send the same again", BROKER_AWAY)
        }
        PublishError::TooLarge { limit_bytes } => {
            return of_image(&ImageRefusal::TooLarge { limit_bytes: *limit_bytes });
        }
    };
    problem.caused_by(error)
}
