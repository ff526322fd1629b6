//! Which models run here, for whoever asks the process.

use super::{FaceConfig, people::KnownPeople};
use crate::pool::Pool;
use rollcall_schemas::process::{ModelReport, ProviderFailure, ProviderNodes};
use serde::Serialize;

/// How to describe them at any time. It does not hold the pool: that ends with the worker.
pub(super) fn describe(
    config: &FaceConfig,
    pool: &Pool,
    people: KnownPeople,
) -> impl Fn() -> ModelReport + Send + Sync + 'static {
    let (pack, report) = (pool.pack().clone(), pool.report().clone());
    let failures: Vec<_> = report
        .failures
        .iter()
        .map(|(provider, reason)| ProviderFailure { provider: name(*provider), reason: reason.clone() })
        .collect();
    let nodes: Vec<_> = report
        .nodes
        .iter()
        .map(|(provider, nodes)| ProviderNodes { provider: provider.clone(), nodes: *nodes as u64 })
        .collect();
    let engines = u32::try_from(config.inference_threads()).unwrap_or(u32::MAX);
    move || ModelReport {
        pack: pack.name.clone(),
        summary: pack.summary.clone(),
        licence: pack.licence.clone(),
        dimension: u32::try_from(pack.embedder.dimension).unwrap_or(u32::MAX),
        asked: name(report.asked),
        used: name(report.used),
        failures: failures.clone(),
        nodes: nodes.clone(),
        engines,
        index: name(people.gallery().index_kind()),
        people: people.gallery().len() as u64,
        is_ready: people.is_ready(),
    }
}

/// The name that something has in the settings.
fn name(of: impl Serialize) -> String {
    let value = serde_json::to_value(of).expect("a setting is plain data");
    let name = if value.is_object() { &value["kind"] } else { &value };
    name.as_str().unwrap_or_default().to_owned()
}
