//! `GET /system/metrics/{area}`.
//!
//! For people who look now and then, and for pages that show it. Whoever keeps it over time lets Prometheus read
//! `/metrics` of each process: it is counted there, and added up here.

mod areas;
mod measured;

pub(super) use areas::ApiMetrics;
pub(super) use measured::Measured;

use crate::{error::ApiError, reply::Reply, state::Api};
use areas::{AlertMetrics, DatabaseMetrics, ModelMetrics, StreamMetrics, UptimeMetrics};
use axum::extract::State;
use rollcall_schemas::process::ProcessQuestion;
use rollcall_service::http::{Path, Success, SuccessEnvelope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is measured.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Area {
    /// The calls that are answered, and how fast.
    Api,
    /// The networks, and how fast they are.
    Models,
    /// PostgreSQL.
    Database,
    /// The streams of the log, and what cameras bring.
    Streams,
    /// What somebody should look at, and how often.
    Alerts,
    /// The processes, and since when they run.
    Uptime,
}

/// What was measured. Counts are those of all processes together, each since it started.
#[derive(Serialize, ToSchema)]
#[serde(tag = "area", rename_all = "lowercase")]
pub(crate) enum MetricsData {
    Api(ApiMetrics),
    Models(ModelMetrics),
    Database(DatabaseMetrics),
    Streams(StreamMetrics),
    Alerts(AlertMetrics),
    Uptime(UptimeMetrics),
}

/// Measurements of one area, of all processes together.
#[utoipa::path(
    get,
    path = "/api/v1/system/metrics/{area}",
    tag = "admin",
    params(("area" = inline(Area), Path, description = "What is measured")),
    responses((status = 200, description = "The measurements", body = SuccessEnvelope<MetricsData>))
)]
pub(crate) async fn get_system_metrics(State(api): State<Api>, Path(area): Path<Area>) -> Reply<MetricsData> {
    measure(&api, area).await.map(Success::ok)
}

async fn measure(api: &Api, area: Area) -> Result<MetricsData, ApiError> {
    let reports = async || api.processes(&ProcessQuestion { lines: None, measures: true }).await;
    let measured = async || Measured::of(&reports().await);
    Ok(match area {
        Area::Api => MetricsData::Api(ApiMetrics::of(&measured().await)),
        Area::Models => MetricsData::Models(ModelMetrics::of(&measured().await)),
        Area::Database => MetricsData::Database(DatabaseMetrics::measure(api).await?),
        Area::Streams => MetricsData::Streams(StreamMetrics::measure(api, &measured().await).await?),
        Area::Alerts => MetricsData::Alerts(AlertMetrics::measure(api, &measured().await).await?),
        Area::Uptime => MetricsData::Uptime(UptimeMetrics::of(&reports().await, api.clock().now())),
    })
}
