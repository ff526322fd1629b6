//! `GET /system/logs`.

use crate::{reply::Reply, state::Api};
use axum::extract::State;
use chrono::{DateTime, Utc};
use rollcall_schemas::process::{LineFilter, LogLevel, LogLine, ProcessQuestion};
use rollcall_service::http::{Problem, Query, Success, SuccessEnvelope};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 500;
const MAX_TEXT: usize = 200;

/// Which lines are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogsQuery {
    /// Of this level and worse; `info` when absent.
    #[param(value_type = Option<LogLevel>)]
    level: Option<LogLevel>,
    /// From this time on.
    since: Option<DateTime<Utc>>,
    /// With this text somewhere, in small or large letters: a route, an id of a request or of a trace.
    #[param(min_length = 1, max_length = 200)]
    text: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<u32>,
}

impl LogsQuery {
    fn filter(self) -> Result<LineFilter, Problem> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::validation([("limit", format!("must be 1 to {MAX_LIMIT}"))]));
        }
        if self.text.as_ref().is_some_and(|text| !(1..=MAX_TEXT).contains(&text.chars().count())) {
            return Err(Problem::validation([("text", format!("must have 1 to {MAX_TEXT} characters"))]));
        }
        let level = self.level.unwrap_or(LogLevel::Info);
        Ok(LineFilter { level, since: self.since, text: self.text, limit: limit as usize })
    }
}

/// Lines of the log.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogsData {
    /// Newest first.
    logs: Vec<LogLine>,
}

/// Read the newest lines of the log, of every process of the deployment.
///
/// They are kept in memory, two megabytes of each process: for more, and for what a process wrote before it ended, read
/// what it wrote to standard error. A log holds no secrets, and people by id only.
#[utoipa::path(
    get,
    path = "/api/v1/system/logs",
    tag = "admin",
    params(LogsQuery),
    responses((status = 200, description = "The lines", body = SuccessEnvelope<LogsData>))
)]
pub(crate) async fn list_system_logs(
    State(api): State<Api>,
    Query(query): Query<LogsQuery>,
) -> Reply<LogsData> {
    let filter = query.filter()?;
    let limit = filter.limit;
    let question = ProcessQuestion { lines: Some(filter), measures: false };
    let reports = api.processes(&question).await;
    let mut logs: Vec<LogLine> = reports.into_iter().flat_map(|report| report.lines).collect();
    logs.sort_by_key(|line| std::cmp::Reverse(line.at));
    logs.truncate(limit);
    Ok(Success::ok(LogsData { logs }))
}
