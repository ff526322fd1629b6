//! `GET /system/health` and `GET /admin/system-health`.
//!
//! What a worker does shows in the log: its durable consumers wait for messages, or hold some. So nobody has to report, and
//! a worker that died without a word is missed.

use crate::{error::ApiError, reply::Reply, state::Api};
use axum::extract::State;
use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use rollcall_bus::ConsumerState;
use rollcall_schemas::subject::Stream;
use rollcall_service::{
    health::Dependency,
    http::{Success, SuccessEnvelope},
};
use serde::Serialize;
use utoipa::ToSchema;

/// How the deployment is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HealthData {
    /// `ok`, or `degraded` when a part is not ready or nobody does a work that waits.
    status: &'static str,
    version: &'static str,
    /// When the process that answers was started, and how long ago that is.
    started_at: DateTime<Utc>,
    uptime_seconds: i64,
    /// What that process depends on.
    dependencies: Vec<Dependency>,
    /// The streams of the log, with the work that is done from each. Empty when the log is away.
    streams: Vec<StreamBody>,
}

/// A stream of the log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StreamBody {
    name: &'static str,
    messages: u64,
    bytes: u64,
    /// How many bytes it may hold; null when not limited.
    max_bytes: Option<u64>,
    workers: Vec<WorkerBody>,
}

/// A kind of work, done by one or several workers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct WorkerBody {
    name: String,
    /// Whether somebody does it: `false` is a worker that is missing.
    is_alive: bool,
    /// Messages that nobody has taken yet.
    pending: u64,
    /// Messages that somebody has taken and not settled.
    in_flight: u64,
}

impl WorkerBody {
    fn new(name: String, state: ConsumerState) -> Self {
        let is_alive = state.waiting + state.in_flight > 0;
        Self { name, is_alive, pending: state.pending, in_flight: state.in_flight }
    }
}

/// How is the deployment, in detail?
#[utoipa::path(
    get,
    path = "/api/v1/system/health",
    tag = "admin",
    responses((status = 200, description = "How it is", body = SuccessEnvelope<HealthData>))
)]
pub(crate) async fn get_system_health(State(api): State<Api>) -> Reply<HealthData> {
    Ok(Success::ok(health(&api).await))
}

/// How is the deployment, in detail? The same as `/system/health`.
#[utoipa::path(
    get,
    path = "/api/v1/admin/system-health",
    tag = "admin",
    responses((status = 200, description = "How it is", body = SuccessEnvelope<HealthData>))
)]
pub(crate) async fn get_admin_system_health(State(api): State<Api>) -> Reply<HealthData> {
    Ok(Success::ok(health(&api).await))
}

async fn health(api: &Api) -> HealthData {
    let dependencies = api.health().dependencies().await;
    let streams = streams(api).await;
    let is_read = streams.is_ok();
    let streams = streams.unwrap_or_default();
    let are_ready = dependencies.iter().all(|dependency| dependency.ready);
    let are_alive = streams.iter().flat_map(|stream| &stream.workers).all(|worker| worker.is_alive);
    let now = api.clock().now();
    HealthData {
        status: if is_read && are_ready && are_alive { "ok" } else { "degraded" },
        version: env!("CARGO_PKG_VERSION"),
        started_at: api.started_at(),
        uptime_seconds: (now - api.started_at()).num_seconds(),
        dependencies,
        streams,
    }
}

async fn streams(api: &Api) -> Result<Vec<StreamBody>, ApiError> {
    let described = Stream::ALL.map(async |stream| {
        let state = api.bus().stream(stream).await?;
        let workers = api.bus().consumers(stream).await?;
        Ok::<_, ApiError>(StreamBody {
            name: stream.name(),
            messages: state.messages,
            bytes: state.bytes,
            max_bytes: state.max_bytes,
            workers: workers.into_iter().map(|(name, state)| WorkerBody::new(name, state)).collect(),
        })
    });
    try_join_all(described).await
}

#[cfg(test)]
mod tests {
    use crate::testing::{SOON, TestApi};
    use rollcall_test_support::eventually;
    use serde_json::{Value, json};
    use std::time::Duration;

    fn workers(health: &Value, stream: &str) -> Vec<Value> {
        let streams = health["streams"].as_array().unwrap();
        let found = streams.iter().find(|found| found["name"] == stream).unwrap();
        found["workers"].as_array().unwrap().clone()
    }

    #[tokio::test]
    async fn a_worker_that_is_there_is_seen_and_a_part_that_is_not_is_named() {
        let test = TestApi::start().await;
        let health = async |path: &str| test.admin().get(path).await.data().clone();
        assert_eq!(workers(&health("/api/v1/system/health").await, "SCANS"), Vec::<Value>::new());
        test.start_attendance_worker();
        let scans = eventually("the worker waits for scans", SOON, || async {
            let scans = workers(&health("/api/v1/system/health").await, "SCANS");
            scans.first().filter(|worker| worker["isAlive"] == true).cloned()
        })
        .await;
        assert_eq!(scans["pending"], 0);

        let fails = || async { Err::<(), _>("connection refused") };
        test.api.health().register("postgres", Duration::from_secs(1), fails);
        let health = health("/api/v1/admin/system-health").await;
        assert_eq!(health["status"], "degraded");
        let postgres = json!({ "name": "postgres", "ready": false, "reason": "connection refused" });
        assert!(health["dependencies"].as_array().unwrap().contains(&postgres), "{health}");
    }
}
