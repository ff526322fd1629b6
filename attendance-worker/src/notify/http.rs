//! HTTP as channels use it: nothing is followed, nothing of an answer is read but its head, and all of it takes no longer
//! than set.

use super::{
    channel::{Failure, Receipt},
    reach::Unreachable,
};
use chrono::TimeDelta;
use reqwest::{Client, ClientBuilder, Response, StatusCode, header::RETRY_AFTER, redirect::Policy};
use rollcall_service::http::use_ring;
use std::{error::Error, time::Duration};

/// What every client of HTTP here has in common.
pub(super) fn client(timeout: Duration) -> ClientBuilder {
    use_ring();
    Client::builder()
        .timeout(timeout)
        .redirect(Policy::none())
        // A proxy would connect where we did not check.
        .no_proxy()
        .user_agent(concat!("Rollcall/", env!("CARGO_PKG_VERSION")))
}

/// What came of a call. The body of the answer is not read: the connection ends with it.
pub(super) fn judge(answer: Result<Response, reqwest::Error>) -> Result<Receipt, Failure> {
    let answer = answer.map_err(|error| Failure::later(explain(&error)))?;
    let status = answer.status();
    let code = Some(status.as_u16());
    if status.is_success() {
        return Ok(Receipt { code });
    }
    if status == StatusCode::GONE {
        return Err(Failure::Never { code, reason: "the receiver wants nothing any more".into() });
    }
    let reason = if status.is_redirection() {
        "the receiver is elsewhere, and nothing is followed".into()
    } else {
        format!("the receiver answered {}", status.as_u16()).into()
    };
    Err(Failure::Later { code, reason, after: asked_pause(&answer) })
}

/// The seconds of `Retry-After` (RFC 9110, section 10.2.3); a date in it is passed over.
fn asked_pause(answer: &Response) -> Option<TimeDelta> {
    let seconds: u32 = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(TimeDelta::seconds(seconds.into()))
}

/// What went wrong, without the address: it may hold a secret.
fn explain(error: &reqwest::Error) -> String {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(unreachable) = cause.downcast_ref::<Unreachable>() {
            return unreachable.to_string();
        }
        source = cause.source();
    }
    let what = if error.is_timeout() {
        "the receiver took too long"
    } else if error.is_connect() {
        "the receiver cannot be connected to"
    } else {
        "the connection failed"
    };
    what.to_owned()
}
