//! Whether the process is alive, and whether it can do its work.
//!
//! `/health` answers while the process lives; an orchestrator restarts on it. `/ready` names each dependency with its
//! state; a proxy routes on it. `/metrics` is what Prometheus scrapes.

use crate::{
    http::{Problem, Success},
    telemetry,
};
use axum::{Router, extract::State, response::IntoResponse, routing::get};
use futures::{FutureExt, future::BoxFuture, future::join_all};
use parking_lot::RwLock;
use rollcall_schemas::code::Code;
use serde::Serialize;
use serde_json::json;
use std::{fmt::Display, future::Future, sync::Arc, time::Duration};

/// What the process depends on. Clones are the same registry.
#[derive(Clone, Default)]
pub struct HealthRegistry(Arc<RwLock<Vec<Check>>>);

#[derive(Clone)]
struct Check {
    name: &'static str,
    timeout: Duration,
    run: Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
}

/// The state of one dependency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Dependency {
    /// Its name.
    pub name: &'static str,
    /// Whether it can be used.
    pub ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl HealthRegistry {
    /// Adds a dependency, in the place of one of the same name: services that share a process share it. `check` is run
    /// whenever somebody asks; taking longer than `timeout` is not ready.
    pub fn register<F, E>(
        &self,
        name: &'static str,
        timeout: Duration,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        let run = move || check().map(|result| result.map_err(|error| error.to_string())).boxed();
        let mut checks = self.0.write();
        checks.retain(|check| check.name != name);
        checks.push(Check { name, timeout, run: Arc::new(run) });
    }

    /// Asks every dependency, all at the same time.
    pub async fn dependencies(&self) -> Vec<Dependency> {
        let checks = self.0.read().clone();
        join_all(checks.iter().map(Check::dependency)).await
    }
}

impl Check {
    async fn dependency(&self) -> Dependency {
        let reason = match tokio::time::timeout(self.timeout, (self.run)()).await {
            Ok(result) => result.err(),
            Err(_) => Some(format!("no answer within {} ms", self.timeout.as_millis())),
        };
        Dependency { name: self.name, ready: reason.is_none(), reason }
    }
}

/// `/health`, `/ready` and `/metrics`.
pub fn router(registry: HealthRegistry) -> Router {
    // Installs the recorder if nobody has: what is counted before the first scrape should be in it.
    let metrics = telemetry::metrics();
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(async move || metrics.render()))
        .with_state(registry)
}

async fn health() -> impl IntoResponse {
    Success::ok(json!({ "status": "alive" }))
}

async fn ready(State(registry): State<HealthRegistry>) -> Result<impl IntoResponse, Problem> {
    let dependencies = registry.dependencies().await;
    if dependencies.iter().all(|dependency| dependency.ready) {
        return Ok(Success::ok(json!({ "dependencies": dependencies })));
    }
    Err(Problem::new(Code::ServiceUnavailable, "a part that this process needs is not ready")
        .with_details(json!({ "dependencies": dependencies })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::{Edge, get};
    use http::StatusCode;

    const SOON: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn ready_names_each_dependency() {
        let registry = HealthRegistry::default();
        registry.register("nats", SOON, || async { Ok::<_, String>(()) });
        let edge = Edge::new(router(registry.clone()));
        let (status, body) = edge.call(get("/ready")).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body["data"]["dependencies"], json!([{ "name": "nats", "ready": true }]));

        registry.register("postgres", SOON, || async { Err("connection refused") });
        registry.register("gallery", SOON, || async { std::future::pending::<Result<(), String>>().await });
        let (status, body) = edge.call(get("/ready")).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["error"]["code"], "SERVICE_UNAVAILABLE");
        let expected = json!([
            { "name": "nats", "ready": true },
            { "name": "postgres", "ready": false, "reason": "connection refused" },
            { "name": "gallery", "ready": false, "reason": "no answer within 50 ms" },
        ]);
        assert_eq!(body["error"]["details"]["dependencies"], expected);
    }

    #[tokio::test]
    async fn alive_does_not_depend_on_anything() {
        let registry = HealthRegistry::default();
        registry.register("postgres", SOON, || async { Err("gone") });
        assert_eq!(Edge::new(router(registry)).call(get("/health")).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_text() {
        let edge = Edge::new(router(HealthRegistry::default()));
        edge.call(get("/health")).await;
        let text = edge.text(get("/metrics")).await;
        assert!(text.contains("http_requests_total"), "{text}");
    }
}
