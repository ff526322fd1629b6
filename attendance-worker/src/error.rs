//! Why a message was not handled, and what the bus is told: what is away is waited for, what is broken is tried a few
//! times, what cannot be read goes to DEAD at once.

use rollcall_bus::{BusError, HandleError, PublishError};
use rollcall_schemas::{header::HeaderError, outcome::Refusal};
use rollcall_store::{StoreError, outbox::DeliverError};

/// Why an effect was not brought about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    /// The database did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log did not take a message, which stays in the outbox.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The log did not answer.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Somebody else recorded one of the same marks, or planned a session at the same time, in the meantime: read again,
    /// and decide again.
    #[error("another writer was quicker")]
    Crossed,
    /// Something from before this message, on which it depends, is still to be handled.
    #[error("something from before it is still to be handled")]
    Early,
    /// The message does not say what it must.
    #[error("unreadable: {0}")]
    Unreadable(String),
    /// Whoever decided for a group of messages, this one included, did not come back.
    #[error("given up together with others")]
    Abandoned,
}

/// Why a command is not carried out.
#[derive(Debug)]
pub(crate) enum NotDone {
    /// It is refused, and has changed nothing.
    Refused(Refusal),
    /// It could not be decided.
    Failed(WorkError),
}

impl<E: Into<WorkError>> From<E> for NotDone {
    fn from(error: E) -> Self {
        Self::Failed(match error.into() {
            // Somebody else has just planned a session at the same time: read again, and it is found.
            WorkError::Store(StoreError::Excluded { .. }) => WorkError::Crossed,
            error => error,
        })
    }
}

impl From<DeliverError<PublishError>> for WorkError {
    fn from(error: DeliverError<PublishError>) -> Self {
        match error {
            DeliverError::Store(error) => error.into(),
            DeliverError::Publish(error) => error.into(),
        }
    }
}

impl From<serde_json::Error> for WorkError {
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<HeaderError> for WorkError {
    fn from(error: HeaderError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<WorkError> for HandleError {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Store(StoreError::Unavailable(_)) | WorkError::Bus(_) | WorkError::Early => {
                Self::unavailable(error)
            }
            WorkError::Publish(error) => error.into(),
            WorkError::Unreadable(_) => Self::reject(error),
            WorkError::Store(_) | WorkError::Crossed | WorkError::Abandoned => Self::retry(error),
        }
    }
}
