//! The front door: frames from cameras, pictures from operators, scans from students, into the log.
//!
//! Knows NATS only. Who may call, which cameras there are and whether the deployment is paused come from feeds, so
//! cameras and students are served while the database is away. What enters is checked without decoding it
//! ([`inspect`]), stored durably, and only then acknowledged. [`replay`] publishes stored pictures by the same checks.
//!
//! What does not belong here: pixels (`face-worker`) and any rule about attendance (`attendance-worker`).
//!
//! # Metrics
//! | name | kind | labels |
//! |---|---|---|
//! | `rollcall_ingest_frames_total` | counter | `source` = live, upload; `result` = accepted, duplicate, or the code of the refusal |
//! | `rollcall_ingest_frame_bytes` | summary | `source` |
//! | `rollcall_ingest_frame_age_seconds` | histogram, receipt minus capture | `source` |
//! | `rollcall_ingest_scans_total` | counter | `result` = recorded, pending, or the code of the refusal |

mod captured_at;
mod config;
mod frame;
mod http;
mod inspect;
mod key_uses;
mod knowledge;
pub mod replay;

pub use captured_at::{CaptureWindow, CapturedAtRefusal};
pub use config::IngestConfig;
pub use inspect::{ImageLimits, ImageRefusal, Inspected, check_declared, inspect};

use http::Door;
use knowledge::Knowledge;
use rollcall_bus::Bus;
use rollcall_schemas::access::Rule;
use rollcall_service::{
    auth::TokenConfig,
    clock::{Clock, Entropy},
    health::HealthRegistry,
    lifecycle::Lifecycle,
    limits::Limiter,
};
use std::{convert::Infallible, time::Duration};
use utoipa_axum::router::OpenApiRouter;

/// Who may call what here.
pub const RULES: &[Rule] = http::RULES;
/// How long looking at what is already known may take.
const HEALTH_CHECK: Duration = Duration::from_secs(2);

/// What ingest works with.
#[derive(Clone)]
pub struct IngestDeps {
    /// The log.
    pub bus: Bus,
    /// What access tokens say of themselves.
    pub tokens: TokenConfig,
    /// Tells when something was received.
    pub clock: Clock,
    /// Draws the ids of requests that bring none.
    pub entropy: Entropy,
    /// How many calls are let through.
    pub limiter: Limiter,
    /// Learns whether ingest can do its work.
    pub health: HealthRegistry,
}

/// A running front door.
pub struct Ingest {
    /// Its routes, documented, to be put on a listener.
    pub router: OpenApiRouter,
}

/// Begins to follow the feeds, and offers the routes. Calls that come before the feeds are known are answered `503`.
/// The feeds are followed until the lifecycle's hard stop, so that calls in hand are answered with them.
pub fn start(config: IngestConfig, deps: IngestDeps, lifecycle: &Lifecycle) -> Ingest {
    let knowledge = Knowledge::follow(&deps.bus, config.snapshot_folder.as_deref(), lifecycle);
    watch_health(&deps, &knowledge);
    let (keeping, stop) = (knowledge.clone().keep_limits(deps.limiter.clone()), lifecycle.soft_stop());
    lifecycle.spawn("limits-set", async move {
        stop.run_until_cancelled(keeping).await;
        Ok::<_, Infallible>(())
    });
    let (bus, entropy, stop) = (deps.bus.clone(), deps.entropy.clone(), lifecycle.soft_stop());
    let door = Door::new(config, deps, knowledge);
    let (telling, stop_telling) = (door.clone(), lifecycle.soft_stop());
    lifecycle.spawn("refusals", async move {
        telling.tell_refusals_until(stop_telling).await;
        Ok::<_, Infallible>(())
    });
    let report = key_uses::report(door.authenticator().clone(), bus, entropy, stop);
    lifecycle.spawn("key-uses", async move {
        report.await;
        Ok::<_, Infallible>(())
    });
    Ingest { router: http::router(door) }
}

/// The OpenAPI document of the routes.
pub fn openapi() -> utoipa::openapi::OpenApi {
    http::openapi()
}

fn watch_health(deps: &IngestDeps, knowledge: &Knowledge) {
    let (bus, knowledge) = (deps.bus.clone(), knowledge.clone());
    deps.health.register("ingest", HEALTH_CHECK, move || {
        let state = match knowledge.missing() {
            _ if !bus.is_connected() => Err("the log is not connected".to_owned()),
            Some(missing) => Err(format!("{missing} is not read to its end yet")),
            None => Ok(()),
        };
        async { state }
    });
}
