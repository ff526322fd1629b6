//! Whose pages may call from a browser (Fetch standard, CORS protocol). With credentials, so each origin is named: `*`
//! is refused.

use http::{HeaderName, HeaderValue, Method, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{str::FromStr, time::Duration};
use tower_http::cors::CorsLayer;

/// How long a browser may remember what it was told.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Where a page comes from, as browsers send it: `https://school.example`, with a port where it is not the usual one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

/// A text that is no origin.
#[derive(Debug, thiserror::Error)]
pub enum InvalidOrigin {
    /// Every page of the web would call with the credentials of whoever looks at it.
    #[error("`*` is refused, as calls carry credentials: name each origin, such as https://school.example")]
    Any,
    /// Something else.
    #[error("{0:?} is no origin: write https://school.example, without a path")]
    Unreadable(String),
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        if text == "*" {
            return Err(InvalidOrigin::Any);
        }
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let is_host = |host: &str| {
            !host.is_empty()
                && host.bytes().all(|byte| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:[]".contains(&byte)
                })
        };
        match host {
            Some(host) if is_host(host) => Ok(Self(text.to_owned())),
            _ => Err(InvalidOrigin::Unreadable(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Origin {
    type Error = InvalidOrigin;

    fn try_from(text: String) -> Result<Self, InvalidOrigin> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

/// Nothing where nobody's pages may call.
pub(super) fn layer(origins: &[Origin]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let value = |origin: &Origin| HeaderValue::from_str(&origin.0).expect("an origin is visible ASCII");
    let ours = HeaderName::from_static;
    let layer = CorsLayer::new()
        .allow_origin(origins.iter().map(value).collect::<Vec<_>>())
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            ours("idempotency-key"),
            ours("last-event-id"),
            ours("x-request-id"),
            ours("x-requested-with"),
        ])
        .expose_headers([
            header::ETAG,
            header::LINK,
            header::LOCATION,
            header::RETRY_AFTER,
            ours("ratelimit-limit"),
            ours("ratelimit-remaining"),
            ours("ratelimit-reset"),
            ours("x-request-id"),
        ])
        .max_age(REMEMBERED);
    Some(layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for good in ["https://school.example", "http://localhost:5173", "https://[2001:db8::1]:8443"] {
            assert_eq!(String::from(good.parse::<Origin>().unwrap()), good);
        }
        for bad in ["", "school.example", "https://", "https://school.example/", "https://*.example", "null"]
        {
            assert!(matches!(bad.parse::<Origin>(), Err(InvalidOrigin::Unreadable(_))), "{bad}");
        }
        assert!("*".parse::<Origin>().unwrap_err().to_string().contains("name each origin"));
    }
}
