//! `GET /system/stats`.

use super::metrics::{ApiMetrics, Measured};
use crate::{error::ApiError, reply::Reply, state::Api};
use axum::extract::State;
use rollcall_schemas::{process::ProcessQuestion, subject::Stream};
use rollcall_service::http::{Success, SuccessEnvelope};
use rollcall_store::statistics::{self, Counts};
use serde::Serialize;
use utoipa::ToSchema;

/// The deployment in a few numbers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatsData {
    /// How long the process has run that has run longest.
    uptime_seconds: i64,
    /// Processes that are there.
    processes: usize,
    /// The memory that they hold together, where the system says it.
    memory_bytes: u64,
    people: People,
    classes: u64,
    cameras: u64,
    /// Cameras whose frames are taken.
    enabled_cameras: u64,
    /// Sessions that are open.
    active_sessions: u64,
    /// Sign-ins that somebody can go on with.
    sign_ins: u64,
    frames: Work,
    scans: Work,
    /// Messages that nobody could handle.
    dead_letters: u64,
    calls: Calls,
}

/// People by role.
#[derive(Serialize, ToSchema)]
struct People {
    admins: u64,
    operators: u64,
    teachers: u64,
    students: u64,
}

/// Work that comes in by the log.
#[derive(Serialize, ToSchema)]
struct Work {
    /// What was accepted since the stream was made.
    accepted: u64,
    /// What is still to be done by whoever is furthest behind.
    waiting: u64,
}

/// The calls of all processes, since each started.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Calls {
    requests: u64,
    /// In the mean since the longest running process started.
    per_second: f64,
    error_rate: f64,
    #[schema(required)]
    mean_ms: Option<f64>,
    #[schema(required)]
    p95_ms: Option<f64>,
}

/// The deployment in a few numbers.
#[utoipa::path(
    get,
    path = "/api/v1/system/stats",
    tag = "admin",
    responses((status = 200, description = "The numbers", body = SuccessEnvelope<StatsData>))
)]
pub(crate) async fn get_system_stats(State(api): State<Api>) -> Reply<StatsData> {
    let now = api.clock().now();
    let counts = statistics::counts(&mut *api.connection().await?, now).await?;
    let (frames, scans) = (work(&api, Stream::Frames).await?, work(&api, Stream::Scans).await?);
    let dead = api.bus().stream(Stream::Dead).await?;
    let reports = api.processes(&ProcessQuestion { lines: None, measures: true }).await;
    let measured = ApiMetrics::of(&Measured::of(&reports));
    let uptimes = reports.iter().map(|report| (now - report.started_at).num_seconds());
    let uptime_seconds = uptimes.max().unwrap_or_default();
    Ok(Success::ok(StatsData {
        uptime_seconds,
        processes: reports.len(),
        memory_bytes: reports.iter().filter_map(|report| report.memory_bytes).sum(),
        people: People::from(counts),
        classes: counts.classes.unsigned_abs(),
        cameras: counts.cameras.unsigned_abs(),
        enabled_cameras: counts.enabled_cameras.unsigned_abs(),
        active_sessions: counts.active_sessions.unsigned_abs(),
        sign_ins: counts.sign_ins.unsigned_abs(),
        frames,
        scans,
        dead_letters: dead.messages,
        calls: Calls {
            requests: measured.requests,
            per_second: measured.requests as f64 / uptime_seconds.max(1) as f64,
            error_rate: measured.error_rate,
            mean_ms: measured.mean_ms,
            p95_ms: measured.p95_ms,
        },
    }))
}

async fn work(api: &Api, stream: Stream) -> Result<Work, ApiError> {
    let state = api.bus().stream(stream).await?;
    let workers = api.bus().consumers(stream).await?;
    let waiting = workers.values().map(|worker| worker.pending + worker.in_flight).max();
    Ok(Work { accepted: state.last_sequence, waiting: waiting.unwrap_or(state.messages) })
}

impl From<Counts> for People {
    fn from(counts: Counts) -> Self {
        Self {
            admins: counts.admins.unsigned_abs(),
            operators: counts.operators.unsigned_abs(),
            teachers: counts.teachers.unsigned_abs(),
            students: counts.students.unsigned_abs(),
        }
    }
}
