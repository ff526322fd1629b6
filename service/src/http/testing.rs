//! Calls a finished router without a network.

use super::{HttpConfig, finish};
use crate::clock::{Clock, Entropy};
use axum::{Router, body::Body};
use chrono::DateTime;
use http::{Request, Response, StatusCode, header};
use serde_json::Value;
use tower::ServiceExt;

pub(crate) struct Edge(Router);

impl Edge {
    pub(crate) fn new(router: Router) -> Self {
        Self::with(router, &HttpConfig::default())
    }

    pub(crate) fn with(router: Router, config: &HttpConfig) -> Self {
        let clock = Clock::manual(DateTime::from_timestamp(1_700_000_000, 0).unwrap());
        Self(finish(router, config, clock, Entropy::seeded(1)))
    }

    pub(crate) async fn response(&self, request: Request<Body>) -> Response<Body> {
        self.0.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn text(&self, request: Request<Body>) -> String {
        let body = self.response(request).await.into_body();
        String::from_utf8(axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap()
    }

    /// The status and the JSON body.
    pub(crate) async fn call(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.response(request).await;
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

pub(crate) fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header(header::CONTENT_TYPE, "application/json").body(body.into()).unwrap()
}
