//! What a process says of itself when it is asked: what it is, what it logged, what it counted, which models it runs.
//! Asked of all of them at once on plain NATS and kept by nobody: it is no part of the log.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessQuestion {
    /// Which lines of its log are wanted; none when absent.
    #[serde(default)]
    pub lines: Option<LineFilter>,
    /// Whether its counters are wanted.
    #[serde(default)]
    pub measures: bool,
}

/// Which lines of a log are wanted: the newest of those that fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LineFilter {
    /// Of this level and worse.
    pub level: LogLevel,
    /// From this time on.
    pub since: Option<DateTime<Utc>>,
    /// With this text somewhere, in small or large letters.
    pub text: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// How bad a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For whoever debugs Rollcall itself.
    Trace,
    /// Refusals of callers' mistakes, retries.
    Debug,
    /// What happens: starts, stops, each call.
    Info,
    /// Something outside is away or refuses.
    Warn,
    /// A fault of ours.
    Error,
}

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogLine {
    /// When.
    pub at: DateTime<Utc>,
    /// How bad.
    pub level: LogLevel,
    /// The process that wrote it, such as `rollcall-api`.
    pub service: String,
    /// The part of the program that wrote it.
    pub target: String,
    /// What it says.
    pub message: String,
    /// What else it says, by name; `span` holds what the call or message was.
    pub fields: Map<String, Value>,
    /// The trace that it belongs to.
    #[schema(required)]
    pub trace_id: Option<String>,
}

/// What a process says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessReport {
    /// The process, drawn when it starts.
    pub process: Uuid,
    /// What it calls itself, such as `rollcall-api`.
    pub service: String,
    /// Its version.
    pub version: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// How much memory it holds, where the system says so.
    pub memory_bytes: Option<u64>,
    /// The models that it runs, if it runs any.
    pub models: Option<ModelReport>,
    /// The lines that were asked for, newest first.
    pub lines: Vec<LogLine>,
    /// What it counted since it started, if that was asked for.
    pub measures: Vec<Measure>,
}

/// A number that a process keeps, as Prometheus would read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Its name, such as `http_requests_total`.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The number.
    pub value: f64,
}

/// The models that a process runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelReport {
    /// The active pack.
    pub pack: String,
    /// What it is, in a line.
    pub summary: String,
    /// The licences of its weights (SPDX).
    pub licence: String,
    /// Numbers in an embedding.
    pub dimension: u32,
    /// The execution provider that was asked for: `cpu`, `cuda` or `tensorrt`.
    pub asked: String,
    /// The one that the networks really run on.
    pub used: String,
    /// Those that were tried and did not work.
    pub failures: Vec<ProviderFailure>,
    /// Where the nodes of the networks run, as ONNX Runtime reports it.
    pub nodes: Vec<ProviderNodes>,
    /// How many sets of networks work side by side.
    pub engines: u32,
    /// How people are searched.
    pub index: String,
    /// How many people can be recognised.
    pub people: u64,
    /// Whether everybody there was at the start can be recognised by now.
    pub is_ready: bool,
}

/// An execution provider that does not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderFailure {
    /// Which.
    pub provider: String,
    /// Why.
    pub reason: String,
}

/// How much an execution provider runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderNodes {
    /// Which, as ONNX Runtime calls it.
    pub provider: String,
    /// How many nodes.
    pub nodes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_of_another_version_is_still_one() {
        assert_eq!(serde_json::from_str::<ProcessQuestion>("{}").unwrap(), ProcessQuestion::default());
    }

    #[test]
    fn errors_are_worst() {
        let mut levels = [LogLevel::Warn, LogLevel::Error, LogLevel::Trace, LogLevel::Info, LogLevel::Debug];
        levels.sort_unstable();
        let names = levels.map(|level| serde_json::to_value(level).unwrap());
        assert_eq!(names, ["trace", "debug", "info", "warn", "error"]);
    }
}
