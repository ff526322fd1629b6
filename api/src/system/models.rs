//! `GET /models/status`.

use crate::{reply::Reply, state::Api};
use axum::extract::State;
use chrono::{DateTime, Utc};
use rollcall_schemas::process::{ModelReport, ProcessQuestion};
use rollcall_service::http::{Success, SuccessEnvelope};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Which models run, and where.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ModelsData {
    status: ModelsStatus,
    /// The active packs: one, unless processes are configured differently, and then what they see is never compared.
    active_packs: Vec<String>,
    /// The processes that run models.
    workers: Vec<ModelWorker>,
}

/// How the models are.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ModelsStatus {
    /// Everybody known is recognised, on what was asked for.
    Ok,
    /// A process runs on something else, with another pack, or is still reading who is known.
    Degraded,
    /// No process runs models.
    Absent,
}

/// A process that runs models.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ModelWorker {
    #[schema(value_type = Uuid)]
    process: Uuid,
    service: String,
    version: String,
    started_at: DateTime<Utc>,
    #[serde(flatten)]
    models: ModelReport,
}

/// Which model pack is active, and which execution provider really runs it?
///
/// Whoever runs models says so itself, at the moment of the call.
#[utoipa::path(
    get,
    path = "/api/v1/models/status",
    tag = "admin",
    responses((status = 200, description = "The models", body = SuccessEnvelope<ModelsData>))
)]
pub(crate) async fn get_models_status(State(api): State<Api>) -> Reply<ModelsData> {
    let reports = api.processes(&ProcessQuestion::default()).await;
    let workers = reports.into_iter().filter_map(|report| {
        let models = report.models?;
        let (process, service, version) = (report.process, report.service, report.version);
        Some(ModelWorker { process, service, version, started_at: report.started_at, models })
    });
    let workers: Vec<_> = workers.collect();
    let mut active_packs: Vec<_> = workers.iter().map(|worker| worker.models.pack.clone()).collect();
    active_packs.sort_unstable();
    active_packs.dedup();
    let is_good = |worker: &ModelWorker| worker.models.is_ready && worker.models.used == worker.models.asked;
    let status = if workers.is_empty() {
        ModelsStatus::Absent
    } else if workers.iter().all(is_good) && active_packs.len() == 1 {
        ModelsStatus::Ok
    } else {
        ModelsStatus::Degraded
    };
    Ok(Success::ok(ModelsData { status, active_packs, workers }))
}
