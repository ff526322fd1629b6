//! Each service as a process of its own, and all of them in one. What a service does is in its crate; here is only what
//! it is given: the log, the database, the clock, a router to hang on a listener.

use crate::{config::Config, contract};
use anyhow::Context;
use axum::Router;
use rollcall_api::{Api, ApiDeps};
use rollcall_attendance_worker as attendance_worker;
use rollcall_bus::Bus;
#[cfg(feature = "face")]
use rollcall_face_worker::worker::{self, FaceDeps};
use rollcall_ingest::IngestDeps;
use rollcall_schemas::subject;
use rollcall_service::{
    clock::{Clock, Entropy},
    health::{self, HealthRegistry},
    http,
    lifecycle::Lifecycle,
    limits::{self, Limiter},
    process::Process,
    telemetry,
};
use rollcall_store::{Pool, Postgres};
use std::time::Duration;
use tokio::net::TcpListener;
use utoipa_axum::router::OpenApiRouter;

/// How long a soft stop may take.
pub const STOP_GRACE: Duration = Duration::from_secs(20);
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// What every service stands on. The database is not part of it: cameras and scans are served without one.
pub struct Foundation {
    pub bus: Bus,
    pub clock: Clock,
    pub entropy: Entropy,
    pub health: HealthRegistry,
    pub limiter: Limiter,
    pub process: Process,
}

impl Foundation {
    /// Connects to the log and sees that its streams are there.
    pub async fn lay(config: &Config, client: &str) -> anyhow::Result<Self> {
        let bus = Bus::connect(&config.nats, client).await.context("connecting to the log")?;
        bus.ensure_streams().await.context("preparing the log")?;
        let health = HealthRegistry::default();
        let log = bus.clone();
        health.register("nats", CHECK_TIMEOUT, move || {
            let log = log.clone();
            async move { log.ready().await.map(|_| ()) }
        });
        let entropy = Entropy::real();
        let limiter = Limiter::new(config.limits, &entropy);
        let clock = Clock::real();
        let process = Process::new(client, telemetry::recent_lines(), &clock, &entropy);
        Ok(Self { bus, clock, entropy, health, limiter, process })
    }

    /// Says what this process is to whoever asks all of them.
    fn answer_for_itself(&self, lifecycle: &Lifecycle) {
        let (bus, process, stop) = (self.bus.clone(), self.process.clone(), lifecycle.soft_stop());
        lifecycle.spawn("processes", async move {
            let (subject, answer) = (subject::processes(), |question| process.answer(&question));
            let answering = bus.answer_everybody(&subject, answer);
            stop.run_until_cancelled(answering).await.unwrap_or(Ok(()))
        });
    }

    /// Tells the other processes which calls were let through here, and hears it of them.
    fn share_limits(&self, lifecycle: &Lifecycle) {
        let (bus, limiter, stop) = (self.bus.clone(), self.limiter.clone(), lifecycle.soft_stop());
        lifecycle.spawn("limits", async move {
            let subject = subject::calls_taken();
            let (tell, hear) = (|| limiter.untold(), |told| limiter.hear(&told));
            let sharing = bus.gossip(&subject, limits::TELL_EVERY, tell, hear);
            stop.run_until_cancelled(sharing).await.unwrap_or(Ok(()))
        });
    }

    /// The configured database. It may be down: its pool connects when used, and `/ready` says so.
    pub fn open_database(&self, config: &Config) -> anyhow::Result<Pool<Postgres>> {
        let pool = open_database(config)?;
        let checked = pool.clone();
        self.health.register("database", CHECK_TIMEOUT, move || {
            let pool = checked.clone();
            async move { rollcall_store::ping(&pool).await }
        });
        Ok(pool)
    }

    fn ingest(&self, config: &Config, lifecycle: &Lifecycle) -> OpenApiRouter {
        let deps = IngestDeps {
            bus: self.bus.clone(),
            tokens: config.auth.clone(),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            limiter: self.limiter.clone(),
            health: self.health.clone(),
        };
        rollcall_ingest::start(config.ingest.clone(), deps, lifecycle).router
    }

    async fn api(
        &self,
        config: &Config,
        pool: Pool<Postgres>,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<OpenApiRouter> {
        let deps = ApiDeps {
            pool,
            bus: self.bus.clone(),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            token: config.auth.clone(),
            limiter: self.limiter.clone(),
            health: self.health.clone(),
            sealer: config.sealer(),
            process: self.process.clone(),
        };
        let api = Api::start(config.api.clone(), deps, lifecycle).await?;
        Ok(rollcall_api::router(&api))
    }

    fn attendance_worker(
        &self,
        config: &Config,
        pool: Pool<Postgres>,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<()> {
        let deps = attendance_worker::Deps {
            bus: self.bus.clone(),
            pool,
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            sealer: config.sealer(),
        };
        Ok(attendance_worker::run(config.attendance.clone(), &deps, lifecycle)?)
    }

    #[cfg(feature = "face")]
    async fn face_worker(&self, config: &Config, lifecycle: &Lifecycle) -> anyhow::Result<()> {
        let deps = FaceDeps {
            bus: self.bus.clone(),
            clock: self.clock.clone(),
            health: self.health.clone(),
            process: self.process.clone(),
        };
        Ok(worker::start(&config.face, deps, lifecycle).await?)
    }
}

/// Starts every service and answers with the router of them all.
pub async fn everything(
    config: &Config,
    foundation: &Foundation,
    pool: &Pool<Postgres>,
    lifecycle: &Lifecycle,
) -> anyhow::Result<Router> {
    foundation.share_limits(lifecycle);
    foundation.answer_for_itself(lifecycle);
    let door = foundation.ingest(config, &lifecycle.part("ingest"));
    let api = foundation.api(config, pool.clone(), &lifecycle.part("api")).await?;
    #[cfg(feature = "face")]
    foundation.face_worker(config, &lifecycle.part("face-worker")).await?;
    foundation.attendance_worker(config, pool.clone(), &lifecycle.part("attendance-worker"))?;
    Ok(documented(door.merge(api)))
}

/// The routes, with the document of the whole address beside them.
fn documented(routes: OpenApiRouter) -> Router {
    let (router, _) = routes.split_for_parts();
    router.merge(rollcall_api::docs(&contract::openapi()))
}

/// Runs `rollcall ingest`.
pub async fn ingest(config: Config) -> anyhow::Result<()> {
    let foundation = Foundation::lay(&config, "rollcall-ingest").await?;
    let lifecycle = Lifecycle::new("ingest");
    let door = lifecycle.part("http");
    foundation.share_limits(&lifecycle);
    foundation.answer_for_itself(&lifecycle);
    let (router, _) = foundation.ingest(&config, &lifecycle).split_for_parts();
    serve_until_stopped(router, &config, &foundation, &lifecycle, &door).await
}

/// Runs `rollcall api`. Its document also describes what `rollcall ingest` serves at the same address.
pub async fn api(config: Config) -> anyhow::Result<()> {
    let foundation = Foundation::lay(&config, "rollcall-api").await?;
    let lifecycle = Lifecycle::new("api");
    let door = lifecycle.part("http");
    foundation.share_limits(&lifecycle);
    foundation.answer_for_itself(&lifecycle);
    let routes = foundation.api(&config, foundation.open_database(&config)?, &lifecycle).await?;
    serve_until_stopped(documented(routes), &config, &foundation, &lifecycle, &door).await
}

/// Runs `rollcall face-worker`. Its address serves health and metrics.
#[cfg(feature = "face")]
pub async fn face_worker(config: Config) -> anyhow::Result<()> {
    let foundation = Foundation::lay(&config, "rollcall-face-worker").await?;
    let lifecycle = Lifecycle::new("face-worker");
    foundation.answer_for_itself(&lifecycle);
    foundation.face_worker(&config, &lifecycle.part("worker")).await?;
    let door = lifecycle.part("http");
    serve_until_stopped(Router::new(), &config, &foundation, &lifecycle, &door).await
}

/// Runs `rollcall attendance-worker`. Its address serves health and metrics.
pub async fn attendance_worker(config: Config) -> anyhow::Result<()> {
    let foundation = Foundation::lay(&config, "rollcall-attendance-worker").await?;
    let lifecycle = Lifecycle::new("attendance-worker");
    foundation.answer_for_itself(&lifecycle);
    let pool = foundation.open_database(&config)?;
    foundation.attendance_worker(&config, pool, &lifecycle.part("worker"))?;
    let door = lifecycle.part("http");
    serve_until_stopped(Router::new(), &config, &foundation, &lifecycle, &door).await
}

fn open_database(config: &Config) -> anyhow::Result<Pool<Postgres>> {
    config.open_database().context("reading database.url")
}

/// Brings the schema up to date.
pub async fn migrate(config: &Config) -> anyhow::Result<()> {
    rollcall_store::migrate(&open_database(config)?).await.context("migrating the database")
}

/// Serves `router`, with health and metrics beside it, as a task of `door`.
pub fn serve(
    router: Router,
    listener: TcpListener,
    config: &Config,
    foundation: &Foundation,
    door: &Lifecycle,
) {
    let router = router.merge(health::router(foundation.health.clone()));
    let router = http::finish(router, &config.http, foundation.clock.clone(), foundation.entropy.clone());
    let (limits, serving) = (config.http.clone(), door.clone());
    door.spawn("server", async move { http::serve(listener, router, &limits, &serving).await });
}

async fn serve_until_stopped(
    router: Router,
    config: &Config,
    foundation: &Foundation,
    lifecycle: &Lifecycle,
    door: &Lifecycle,
) -> anyhow::Result<()> {
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    serve(router, listener, config, foundation, door);
    Ok(lifecycle.run_until_stopped(STOP_GRACE).await?)
}
