//! How large the head of a request may be. What is within hyper's own limits ([`super::serve`]) and beyond these is
//! refused in the envelope; beyond hyper's, with a bare status.

use super::problem::Problem;
use axum::extract::Request;
use http::{HeaderMap, StatusCode};

/// Bytes of a URI: what a browser's address bar takes.
const MAX_URI_BYTES: usize = 8 * 1024;
/// Headers of a request.
const MAX_HEADERS: usize = 100;
/// Bytes of their names and values together.
const MAX_HEADER_BYTES: usize = 32 * 1024;

pub(super) fn check(request: &Request) -> Result<(), Problem> {
    let uri = request.uri();
    let uri_bytes = uri.path().len() + uri.query().map_or(0, str::len);
    if uri_bytes > MAX_URI_BYTES {
        return Err(Problem::of_status(StatusCode::URI_TOO_LONG));
    }
    if request.headers().len() > MAX_HEADERS || bytes(request.headers()) > MAX_HEADER_BYTES {
        return Err(Problem::of_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }
    Ok(())
}

fn bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}
