//! What can go wrong in a handler, and how it is told.

use axum::response::{IntoResponse, Response};
use rollcall_bus::{AskError, BusError};
use rollcall_schemas::{code::Code, outcome::Refusal};
use rollcall_service::http::Problem;
use rollcall_store::StoreError;
use std::time::Duration;

/// When a caller should come back after a part was not there.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// A refusal with its own words.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log did not do it.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Nobody could be asked.
    #[error(transparent)]
    Ask(#[from] AskError),
}

impl ApiError {
    /// The refusal that a worker answered with.
    pub(crate) fn refused(refusal: Refusal) -> Self {
        let problem = Problem::new(refusal.code, refusal.message);
        Self::Problem(if refusal.details.is_null() { problem } else { problem.with_details(refusal.details) })
    }

    /// What the caller is told.
    pub(crate) fn into_problem(self) -> Problem {
        match self {
            ApiError::Problem(problem) => problem,
            ApiError::Store(error) => store_problem(error),
            ApiError::Bus(error) => {
                Problem::unavailable("the log is not available", RETRY_AFTER).caused_by(error)
            }
            ApiError::Ask(error) => {
                Problem::unavailable("the part that answers this is not available", RETRY_AFTER)
                    .caused_by(error)
            }
        }
    }
}

fn store_problem(error: StoreError) -> Problem {
    match &error {
        StoreError::Unavailable(_) => Problem::new(Code::DatabaseError, "the database cannot be reached")
            .with_retry_after(RETRY_AFTER)
            .caused_by(error),
        StoreError::Taken { constraint } => Problem::conflict(taken(constraint)).caused_by(error),
        StoreError::Excluded { .. } => {
            Problem::conflict("something else is there at the same time").caused_by(error)
        }
        StoreError::Dangling { .. } => {
            Problem::conflict("something that this refers to does not exist").caused_by(error)
        }
        StoreError::Unusable(_) => {
            Problem::invalid_input("a value cannot be stored, such as a text with a null character")
                .caused_by(error)
        }
        StoreError::Fault(_) | StoreError::Corrupt { .. } => Problem::internal(error),
    }
}

/// What a broken uniqueness means to the caller, by the name of the constraint.
fn taken(constraint: &str) -> &'static str {
    match constraint {
        "users_email" => "the e-mail address is already taken",
        "users_roll_number" => "the roll number is already taken",
        "cameras_name" => "a camera of that name exists already",
        "classes_code" => "a class of that code exists already",
        "guardians_email" => "the student has a guardian of that address already",
        "enrolments_current" => "the student is already enrolled",
        _ => "it exists already",
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.into_problem().into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_is_a_conflict_in_the_words_of_the_caller() {
        let problem = ApiError::from(StoreError::Taken { constraint: "users_email".into() }).into_problem();
        assert_eq!((problem.code, problem.status.as_u16()), (Code::Conflict, 409));
        assert_eq!(problem.message, "the e-mail address is already taken");
    }

    #[test]
    fn a_refusal_keeps_its_code_and_details() {
        let refusal = Refusal {
            code: Code::SessionNotActive,
            message: "it has ended".into(),
            details: serde_json::json!({ "state": "completed" }),
        };
        let problem = ApiError::refused(refusal).into_problem();
        assert_eq!((problem.code, problem.status.as_u16()), (Code::SessionNotActive, 409));
        assert_eq!(problem.details["state"], "completed");
    }
}
