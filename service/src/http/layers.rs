//! What surrounds every route, from the inside out: body limit, panics, pace, size of the head, envelope, compression,
//! CORS, security headers, and on the outside the trace, the log line and the metrics of the call.

use super::{
    cors::{self, Origin},
    envelope::render,
    pace::{self, Pace},
    parts::{RequestId, TrustedProxies},
    problem::Problem,
    tls::TlsConfig,
};
use crate::{
    clock::{Clock, Entropy},
    lifecycle::panic_message,
    telemetry::{TRACEPARENT, continue_trace},
};
use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, header};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{any::Any, num::NonZeroU32};
use tokio::time::Instant;
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer};
use tracing::{Instrument, field::Empty};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longer ids of callers are replaced: they go into every log line.
const MAX_REQUEST_ID: usize = 128;
/// Set where a route has not set its own. The policy suits an API with pages of its own origin.
static SECURITY_HEADERS: [(HeaderName, &str); 8] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(self), geolocation=(self), microphone=()"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
];

/// Where TLS is ours: for a year, browsers come back with TLS only (RFC 6797).
static STRICT_TRANSPORT: (HeaderName, &str) = (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");

/// The limits of an HTTP server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Bytes that a body may have where a route does not say otherwise.
    pub body_limit_bytes: usize,
    /// Milliseconds that a call may take until its answer begins.
    pub request_timeout_ms: u64,
    /// Milliseconds that a client may take to send the head of a request, and may stay without sending one.
    pub header_timeout_ms: u64,
    /// Milliseconds for which a body may pause.
    pub body_timeout_ms: u64,
    /// Bytes a second that a body must bring on average, beyond such pauses.
    pub body_min_bytes_per_s: NonZeroU32,
    /// Milliseconds for which a client may take nothing of its answer.
    pub write_timeout_ms: u64,
    /// Connections that are open at the same time; more wait to be accepted.
    pub max_connections: usize,
    /// Origins whose pages may call, with credentials, such as `https://school.example`. `*` is refused.
    #[schemars(with = "Vec<String>")]
    pub cors_origins: Vec<Origin>,
    /// Networks of proxies whose `X-Forwarded-For` is believed, such as `10.0.0.0/8`.
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
    /// TLS, where no proxy in front does it.
    pub tls: TlsConfig,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            body_limit_bytes: 1024 * 1024,
            request_timeout_ms: 60_000,
            header_timeout_ms: 10_000,
            body_timeout_ms: 10_000,
            body_min_bytes_per_s: NonZeroU32::new(1_024).expect("1024 is not 0"),
            write_timeout_ms: 30_000,
            max_connections: 10_000,
            cors_origins: vec![],
            trusted_proxies: vec![],
            tls: TlsConfig::default(),
        }
    }
}

/// Puts the layers around a router. Apply it once, to the whole router of a listener. A route that takes larger bodies
/// has a `DefaultBodyLimit` layer of its own.
///
/// They are one stack, handed over at once: a router boxes every layer that it is given for each route, and clones all
/// the boxes within at every one of them, at every call.
pub fn finish(router: Router, config: &HttpConfig, clock: Clock, entropy: Entropy) -> Router {
    let proxies = TrustedProxies(config.trusted_proxies.as_slice().into());
    let over_tls = config.tls.is_on();
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(entropy, observe))
        .map_response(move |response| secure(response, over_tls))
        .layer(Extension(proxies))
        .option_layer(cors::layer(&config.cors_origins))
        .layer(CompressionLayer::new())
        .map_response(move |response| render(response, &clock))
        .layer(from_fn_with_state(Pace::of(config), pace::within))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(DefaultBodyLimit::max(config.body_limit_bytes));
    router.layer(layers)
}

/// Sets the headers that a route has not set itself.
fn secure<B>(mut response: http::Response<B>, over_tls: bool) -> http::Response<B> {
    let strict = over_tls.then_some(&STRICT_TRANSPORT);
    // Room for all of them at once: a map that grows moves what it holds.
    response.headers_mut().reserve(SECURITY_HEADERS.len() + 1);
    for (name, value) in SECURITY_HEADERS.iter().chain(strict) {
        response.headers_mut().entry(name).or_insert_with(|| HeaderValue::from_static(value));
    }
    response
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    Problem::internal(format!("panicked: {}", panic_message(panic.as_ref()))).into_response()
}

/// Gives the call its id, its trace, its log line and its metrics. Only the route's pattern is told, never the query
/// or a header: they may hold secrets.
async fn observe(State(entropy): State<Entropy>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(&request, &entropy);
    let method = method_name(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.response.status_code = Empty,
        method,
        route,
        request_id = &*id.0,
    );
    if let Some(traceparent) = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok()) {
        continue_trace(&span, traceparent);
    }
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).instrument(span.clone()).await;

    let (status, duration) = (response.status().as_u16(), began.elapsed());
    span.record("http.response.status_code", status);
    span.in_scope(|| tracing::info!(status, duration_ms = duration.as_secs_f64() * 1e3, "answered"));
    let labels = [("method", method.to_owned()), ("route", route), ("status", status.to_string())];
    metrics::counter!("http_requests_total", &labels).increment(1);
    metrics::histogram!("http_request_duration_seconds", &labels).record(duration.as_secs_f64());
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn request_id(request: &Request, entropy: &Entropy) -> RequestId {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let usable = given.filter(|id| !id.is_empty() && id.len() <= MAX_REQUEST_ID);
    RequestId(usable.map_or_else(|| entropy.uuid_v4().to_string().into(), Into::into))
}

/// A caller may invent methods; a label of a metric may not grow without bound.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests;
