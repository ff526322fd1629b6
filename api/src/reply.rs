//! What handlers return.

use crate::error::ApiError;
use rollcall_service::http::Success;

/// An answer in its envelope, or a refusal in the other.
pub(crate) type Reply<T> = Result<Success<T>, ApiError>;
