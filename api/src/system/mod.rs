//! How the deployment is, for those who run it.
//!
//! What a process alone knows (its log, its counters, the models it runs) is asked of all of them when somebody wants to
//! see it: see [`processes`].

mod health;
mod logs;
mod metrics;
mod models;
mod processes;
mod stats;

use crate::state::Api;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(health::get_system_health))
        .routes(routes!(health::get_admin_system_health))
        .routes(routes!(stats::get_system_stats))
        .routes(routes!(logs::list_system_logs))
        .routes(routes!(metrics::get_system_metrics))
        .routes(routes!(models::get_models_status))
}

#[cfg(test)]
mod tests;
