//! What surrounds every route, from the inside out: body limit, panics, time-out, envelope, compression, CORS, security
//! headers, and on the outside the trace, the log line and the metrics of the call.

use super::{
    envelope::render,
    parts::{RequestId, TrustedProxies},
    problem::Problem,
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
use std::{any::Any, time::Duration};
use tokio::time::Instant;
use tower_http::{
    catch_panic::CatchPanicLayer, compression::CompressionLayer, cors::CorsLayer,
    set_header::SetResponseHeaderLayer,
};
use tracing::{Instrument, field::Empty};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longer ids of callers are replaced: they go into every log line.
const MAX_REQUEST_ID: usize = 128;
/// After a time-out the same call may well succeed soon.
const RETRY_AFTER_TIMEOUT: Duration = Duration::from_secs(1);
/// Set where a route has not set its own. The policy suits an API with pages of its own origin.
const SECURITY_HEADERS: &[(HeaderName, &str)] = &[
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
];

/// The limits of an HTTP server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Bytes that a body may have where a route does not say otherwise.
    pub body_limit_bytes: usize,
    /// Milliseconds that a call may take until its answer begins.
    pub request_timeout_ms: u64,
    /// Milliseconds that a client may take to send the head of a request.
    pub header_timeout_ms: u64,
    /// Connections that are open at the same time; more wait to be accepted.
    pub max_connections: usize,
    /// Origins whose pages may call, such as `https://school.example`.
    pub cors_origins: Vec<String>,
    /// Networks of proxies whose `X-Forwarded-For` is believed, such as `10.0.0.0/8`.
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            body_limit_bytes: 1024 * 1024,
            request_timeout_ms: 60_000,
            header_timeout_ms: 10_000,
            max_connections: 10_000,
            cors_origins: vec![],
            trusted_proxies: vec![],
        }
    }
}

/// Puts the layers around a router. Apply it once, to the whole router of a listener. A route that takes larger bodies
/// has a `DefaultBodyLimit` layer of its own.
pub fn finish(router: Router, config: &HttpConfig, clock: Clock, entropy: Entropy) -> Router {
    let timeout = Duration::from_millis(config.request_timeout_ms);
    let proxies = TrustedProxies(config.trusted_proxies.as_slice().into());
    let router = router
        .layer(DefaultBodyLimit::max(config.body_limit_bytes))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(timeout, within))
        .layer(from_fn_with_state(clock, render))
        .layer(CompressionLayer::new())
        .layer(cors(&config.cors_origins))
        .layer(Extension(proxies));
    let secured = SECURITY_HEADERS.iter().fold(router, |router, (name, value)| {
        let value = HeaderValue::from_static(value);
        router.layer(SetResponseHeaderLayer::if_not_present(name.clone(), value))
    });
    secured.layer(from_fn_with_state(entropy, observe))
}

fn cors(origins: &[String]) -> CorsLayer {
    if origins.is_empty() {
        return CorsLayer::new();
    }
    // An origin that cannot be a header value can be no browser's origin either.
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    CorsLayer::new()
        .allow_origin(origins)
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            REQUEST_ID,
        ])
        .expose_headers([REQUEST_ID, header::RETRY_AFTER, header::LOCATION])
        .max_age(Duration::from_secs(600))
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    Problem::internal(format!("panicked: {}", panic_message(panic.as_ref()))).into_response()
}

/// Answers for a handler that takes too long. A stream whose answer has begun may go on.
async fn within(State(timeout): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("the call took too long", RETRY_AFTER_TIMEOUT).into_response(),
    }
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
