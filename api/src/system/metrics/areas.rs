//! What each area shows.

use super::measured::{Measured, mean_ms};
use crate::{error::ApiError, state::Api};
use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use rollcall_schemas::{
    process::{Measure, ProcessReport},
    subject::Stream,
};
use rollcall_store::statistics;
use serde::Serialize;
use std::collections::BTreeMap;
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

const CALLS: &str = "http_request_duration_seconds";

/// The calls that were answered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiMetrics {
    pub(in crate::system) requests: u64,
    /// Answered `4xx`.
    client_errors: u64,
    /// Answered `5xx`.
    server_errors: u64,
    /// Of all calls, the part that was answered `5xx`; 0 of none.
    pub(in crate::system) error_rate: f64,
    /// Answered `429`, by group of routes.
    limited: BTreeMap<String, u64>,
    /// How long answers took; null before the first.
    #[schema(required)]
    pub(in crate::system) mean_ms: Option<f64>,
    #[schema(required)]
    p50_ms: Option<f64>,
    #[schema(required)]
    pub(in crate::system) p95_ms: Option<f64>,
    #[schema(required)]
    p99_ms: Option<f64>,
    /// Open streams of live events.
    watchers: u64,
    /// Each route that was called, the busiest first.
    routes: Vec<RouteMetrics>,
}

/// The calls of a route.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RouteMetrics {
    method: String,
    route: String,
    requests: u64,
    client_errors: u64,
    server_errors: u64,
    #[schema(required)]
    mean_ms: Option<f64>,
}

#[derive(Clone, Copy, Default)]
struct Calls {
    requests: f64,
    client_errors: f64,
    server_errors: f64,
    seconds: f64,
}

impl Calls {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.client_errors += other.client_errors;
        self.server_errors += other.server_errors;
        self.seconds += other.seconds;
    }
}

impl ApiMetrics {
    pub(in crate::system) fn of(measured: &Measured) -> Self {
        let mut by_route = BTreeMap::<(String, String), Calls>::new();
        let key = |it: &Measure| (label(it, "method"), label(it, "route"));
        for count in measured.named(&format!("{CALLS}_count")) {
            let class = label(count, "status");
            let of_class = |first| if class.starts_with(first) { count.value } else { 0.0 };
            by_route.entry(key(count)).or_default().add(Calls {
                requests: count.value,
                client_errors: of_class('4'),
                server_errors: of_class('5'),
                seconds: 0.0,
            });
        }
        for sum in measured.named(&format!("{CALLS}_sum")) {
            by_route.entry(key(sum)).or_default().seconds += sum.value;
        }
        let mut all = Calls::default();
        by_route.values().for_each(|calls| all.add(*calls));
        let quantile = |share| measured.quantile_ms(CALLS, share);
        let mut routes: Vec<_> = by_route.into_iter().map(RouteMetrics::from).collect();
        routes.sort_by_key(|route| std::cmp::Reverse(route.requests));
        Self {
            requests: all.requests as u64,
            client_errors: all.client_errors as u64,
            server_errors: all.server_errors as u64,
            error_rate: if all.requests > 0.0 { all.server_errors / all.requests } else { 0.0 },
            limited: measured.by_label("http_limited_total", "group"),
            mean_ms: mean_ms(all.seconds, all.requests),
            p50_ms: quantile(0.5),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
            watchers: measured.total("rollcall_api_watchers") as u64,
            routes,
        }
    }
}

impl From<((String, String), Calls)> for RouteMetrics {
    fn from(((method, route), calls): ((String, String), Calls)) -> Self {
        Self {
            method,
            route,
            requests: calls.requests as u64,
            client_errors: calls.client_errors as u64,
            server_errors: calls.server_errors as u64,
            mean_ms: mean_ms(calls.seconds, calls.requests),
        }
    }
}

fn label(measure: &Measure, name: &str) -> String {
    measure.labels.get(name).cloned().unwrap_or_default()
}

/// The networks.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ModelMetrics {
    /// Frames that were looked at, by what came of it: `seen`, `undecodable`, `failed`.
    frames: BTreeMap<String, u64>,
    /// Faces that were found, by verdict.
    faces: BTreeMap<String, u64>,
    /// How long each step took.
    stages: Vec<StageMetrics>,
    /// How long questions to the workers took, from asking to the answer; null before the first.
    #[schema(required)]
    answer_mean_ms: Option<f64>,
}

/// A step of looking at a frame.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StageMetrics {
    stage: String,
    count: u64,
    #[schema(required)]
    mean_ms: Option<f64>,
}

impl ModelMetrics {
    pub(super) fn of(measured: &Measured) -> Self {
        let mut stages = BTreeMap::<String, (f64, f64)>::new();
        for count in measured.named("rollcall_face_stage_seconds_count") {
            stages.entry(label(count, "stage")).or_default().0 += count.value;
        }
        for sum in measured.named("rollcall_face_stage_seconds_sum") {
            stages.entry(label(sum, "stage")).or_default().1 += sum.value;
        }
        let stage = |(stage, (count, seconds))| StageMetrics {
            stage,
            count: count as u64,
            mean_ms: mean_ms(seconds, count),
        };
        let asked = |end| measured.total(&format!("rollcall_bus_ask_seconds_{end}"));
        Self {
            frames: measured.by_label("rollcall_face_frames_total", "result"),
            faces: measured.by_label("rollcall_face_faces_total", "verdict"),
            stages: stages.into_iter().map(stage).collect(),
            answer_mean_ms: mean_ms(asked("sum"), asked("count")),
        }
    }
}

/// PostgreSQL. Its own counts begin when its statistics were last reset.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DatabaseMetrics {
    /// How long the shortest question to it took.
    round_trip_ms: f64,
    size_bytes: u64,
    /// Connections of everybody.
    connections: u32,
    max_connections: u32,
    /// Connections of the process that answers, and how many of them are not in use.
    own_connections: u32,
    own_idle_connections: u32,
    commits: u64,
    rollbacks: u64,
    deadlocks: u64,
    /// Of the blocks that were wanted, the part that was in memory; null before the first.
    #[schema(required)]
    cache_hit_rate: Option<f64>,
}

impl DatabaseMetrics {
    pub(super) async fn measure(api: &Api) -> Result<Self, ApiError> {
        let mut db = api.connection().await?;
        let asked = Instant::now();
        let statistics = statistics::database(&mut db).await?;
        let round_trip_ms = asked.elapsed().as_secs_f64() * 1e3;
        let blocks = statistics.blocks_hit + statistics.blocks_read;
        let pool = api.pool();
        Ok(Self {
            round_trip_ms,
            size_bytes: statistics.size_bytes.unsigned_abs(),
            connections: statistics.connections.unsigned_abs(),
            max_connections: statistics.max_connections.unsigned_abs(),
            own_connections: pool.size(),
            own_idle_connections: u32::try_from(pool.num_idle()).unwrap_or(u32::MAX),
            commits: statistics.commits.unsigned_abs(),
            rollbacks: statistics.rollbacks.unsigned_abs(),
            deadlocks: statistics.deadlocks.unsigned_abs(),
            cache_hit_rate: (blocks > 0).then(|| statistics.blocks_hit as f64 / blocks as f64),
        })
    }
}

/// The streams of the log, and what cameras bring.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamMetrics {
    streams: Vec<LogStreamMetrics>,
    /// Frames and pictures that came in, by what came of it: `accepted`, `duplicate`, or the code of the refusal.
    frames: BTreeMap<String, u64>,
    /// Scans that came in, by what came of it.
    scans: BTreeMap<String, u64>,
    /// How old frames were when they came in; null before the first.
    #[schema(required)]
    frame_age_mean_ms: Option<f64>,
}

/// A stream of the log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LogStreamMetrics {
    name: &'static str,
    /// Messages that it took since it was made.
    taken: u64,
    /// Messages that it holds.
    messages: u64,
    bytes: u64,
    /// Messages that somebody is still to take or settle.
    waiting: u64,
}

impl StreamMetrics {
    pub(super) async fn measure(api: &Api, measured: &Measured) -> Result<Self, ApiError> {
        let streams =
            try_join_all(Stream::ALL.map(async |stream| LogStreamMetrics::measure(api, stream).await));
        let age = |end| measured.total(&format!("rollcall_ingest_frame_age_seconds_{end}"));
        Ok(Self {
            streams: streams.await?,
            frames: measured.by_label("rollcall_ingest_frames_total", "result"),
            scans: measured.by_label("rollcall_ingest_scans_total", "result"),
            frame_age_mean_ms: mean_ms(age("sum"), age("count")),
        })
    }
}

impl LogStreamMetrics {
    async fn measure(api: &Api, stream: Stream) -> Result<Self, ApiError> {
        let state = api.bus().stream(stream).await?;
        let workers = api.bus().consumers(stream).await?;
        Ok(Self {
            name: stream.name(),
            taken: state.last_sequence,
            messages: state.messages,
            bytes: state.bytes,
            waiting: workers.values().map(|worker| worker.pending + worker.in_flight).sum(),
        })
    }
}

/// What somebody should look at, and how often it came up.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AlertMetrics {
    /// Messages that nobody could handle, kept with their reasons.
    dead_letters: u64,
    /// Questions about faces that wait for somebody's eyes.
    open_reviews: u64,
    /// Lines of the logs, by level.
    log_lines: BTreeMap<String, u64>,
    /// Sign-ins, by what came of it: `signed_in`, `refused`, `locked`.
    sign_ins: BTreeMap<String, u64>,
    /// Calls that were answered `5xx`.
    server_errors: u64,
    /// How often the connection to the log was lost.
    disconnections: u64,
}

impl AlertMetrics {
    pub(super) async fn measure(api: &Api, measured: &Measured) -> Result<Self, ApiError> {
        let dead = api.bus().stream(Stream::Dead).await?;
        let counts = statistics::counts(&mut *api.connection().await?, api.clock().now()).await?;
        Ok(Self {
            dead_letters: dead.messages,
            open_reviews: counts.open_reviews.unsigned_abs(),
            log_lines: measured.by_label("rollcall_log_lines_total", "level"),
            sign_ins: measured.by_label("rollcall_api_sign_ins_total", "result"),
            server_errors: ApiMetrics::of(measured).server_errors,
            disconnections: measured.total("rollcall_bus_disconnected_total") as u64,
        })
    }
}

/// The processes.
#[derive(Serialize, ToSchema)]
pub(crate) struct UptimeMetrics {
    processes: Vec<ProcessMetrics>,
}

/// A process that is there.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProcessMetrics {
    #[schema(value_type = Uuid)]
    process: Uuid,
    service: String,
    version: String,
    started_at: DateTime<Utc>,
    uptime_seconds: i64,
    /// Null where the system does not say it.
    #[schema(required)]
    memory_bytes: Option<u64>,
}

impl UptimeMetrics {
    pub(super) fn of(reports: &[ProcessReport], now: DateTime<Utc>) -> Self {
        let process = |report: &ProcessReport| ProcessMetrics {
            process: report.process,
            service: report.service.clone(),
            version: report.version.clone(),
            started_at: report.started_at,
            uptime_seconds: (now - report.started_at).num_seconds(),
            memory_bytes: report.memory_bytes,
        };
        Self { processes: reports.iter().map(process).collect() }
    }
}
