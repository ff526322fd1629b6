//! A private deployment for one benchmark: a log, a database, and services as processes of their own, in a folder that
//! is gone afterwards. Both sides of a ratio use the same servers.

use super::process::{Service, ServiceProcess};
use crate::config::Config;
use anyhow::Context;
use rollcall_bus::Bus;
use rollcall_service::{
    auth::{TokenSigner, generate_signing_key},
    clock::{Clock, Entropy},
    config::Secret,
    servers::{NatsOptions, NatsServer, PostgresOptions, PostgresServer},
};
use rollcall_store::{Pool, Postgres};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// More than a private PostgreSQL's own connections, the services' pools and a peer's clients together.
const MAX_CONNECTIONS: u16 = 150;
const POOL: u32 = 8;
const PING_PAUSE: Duration = Duration::from_millis(20);
const PING_DEADLINE: Duration = Duration::from_secs(30);

/// A running deployment.
pub struct Deployment {
    /// Its log.
    pub bus: Bus,
    /// Its database.
    pub pool: Pool<Postgres>,
    /// Issues the access tokens that its services take.
    pub signer: TokenSigner,
    /// The time.
    pub clock: Clock,
    /// Ids.
    pub entropy: Entropy,
    services: Vec<ServiceProcess>,
    servers: Servers,
    folder: TempDir,
}

struct Servers {
    nats: NatsServer,
    postgres: PostgresServer,
}

/// Runs `work` with a deployment of these services, and takes everything down afterwards, whatever came of it.
///
/// # Errors
/// When something does not start, and when `work` fails.
pub async fn with<T>(
    config: &Config,
    services: &[Service],
    work: impl AsyncFnOnce(&mut Deployment) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut deployment =
        Deployment::start(config, services).await.context("starting a private deployment")?;
    let done = work(&mut deployment).await;
    deployment.stop().await;
    done
}

impl Deployment {
    async fn start(config: &Config, services: &[Service]) -> anyhow::Result<Self> {
        let (clock, entropy) = (Clock::real(), Entropy::real());
        let folder = folder(&config.data_dir)?;
        let nats = NatsOptions { folder: folder.path().join("nats"), port: None, max_store_bytes: None };
        let nats = NatsServer::start(nats, &entropy).await?;
        let postgres = PostgresOptions {
            folder: folder.path().join("postgres"),
            port: None,
            max_connections: MAX_CONNECTIONS,
            durable: true,
        };
        let postgres = PostgresServer::start(postgres, &entropy).await?;
        let key = generate_signing_key(&entropy);
        let settings = settings(config, &nats, &postgres, folder.path(), &key)?;

        let pool = rollcall_store::open(&postgres.url(), POOL)?;
        rollcall_store::migrate(&pool).await?;
        let mut log = config.nats.clone();
        log.url = nats.url();
        log.limits.frames.max_bytes = Some(0);
        let bus = Bus::connect(&log, "rollcall-bench").await?;
        bus.ensure_streams().await?;
        let signer = TokenSigner::new(&key, config.auth.clone(), clock.clone(), entropy.clone())?;
        let mut deployment = Self {
            bus,
            pool,
            signer,
            clock,
            entropy,
            services: Vec::new(),
            servers: Servers { nats, postgres },
            folder,
        };
        for &service in services {
            let process = ServiceProcess::start(service, &settings, deployment.folder.path()).await?;
            deployment.services.push(process);
        }
        Ok(deployment)
    }

    async fn stop(mut self) {
        for service in &mut self.services {
            service.kill().await;
        }
        self.pool.close().await;
        self.servers.postgres.stop().await;
        self.servers.nats.stop().await;
    }

    /// Where a service listens.
    pub fn address(&self, service: Service) -> &str {
        &self.process(service).address
    }

    /// The process of a service.
    pub fn pid(&self, service: Service) -> u32 {
        self.process(service).pid
    }

    /// The running services.
    pub fn services(&self) -> &[ServiceProcess] {
        &self.services
    }

    /// Where the database is, with user and password.
    pub fn database_url(&self) -> Secret {
        Secret::new(self.servers.postgres.url())
    }

    /// The folder of this deployment.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the database again, for settings that are read at its start only, and waits until our connections to it
    /// work again.
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn restart_database(&mut self) -> anyhow::Result<()> {
        self.servers.postgres.restart().await.context("starting the database again")?;
        let back = async {
            // Each connection of before fails once.
            while rollcall_store::ping(&self.pool).await.is_err() {
                sleep(PING_PAUSE).await;
            }
        };
        timeout(PING_DEADLINE, back).await.context("the database does not answer again")
    }

    fn process(&self, service: Service) -> &ServiceProcess {
        let found = self.services.iter().find(|process| process.service == service);
        found.expect("a benchmark asks for services that it started")
    }
}

/// A folder on the disk that a deployment here would use; a benchmark in memory would flatter the log and the database.
fn folder(data_dir: &Path) -> anyhow::Result<TempDir> {
    fs::create_dir_all(data_dir).with_context(|| format!("making {}", data_dir.display()))?;
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(data_dir.canonicalize()?)?;
    // PostgreSQL may run under an account of its own, which must get through.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o711))?;
    Ok(folder)
}

/// What the services are told, in words of the environment.
fn settings(
    config: &Config,
    nats: &NatsServer,
    postgres: &PostgresServer,
    folder: &Path,
    key: &Secret,
) -> anyhow::Result<Vec<(String, String)>> {
    let key_file = folder.join("signing-key.pem");
    fs::write(&key_file, key.reveal())?;
    fs::set_permissions(&key_file, Permissions::from_mode(0o600))?;
    let path = |path: &Path| path.display().to_string();
    let file = config.file.iter().map(|file| ("CONFIG", path(file)));
    let settings = [
        ("NATS__URL", nats.url()),
        // A benchmark measures work, not the limit.
        ("NATS__LIMITS__FRAMES__MAX_BYTES", "0".to_owned()),
        ("DATABASE__URL", postgres.url()),
        ("DATA_DIR", path(folder)),
        ("API__SIGNING_KEY_FILE", path(&key_file)),
        ("LIMITS__SIGN_IN_ADDRESS", "10000000/min burst 1000000".to_owned()),
        ("LIMITS__READ_USER", "10000000/min burst 1000000".to_owned()),
        ("LIMITS__LIVE_ADDRESS", "10000000/min burst 1000000".to_owned()),
        ("API__WATCHERS_PER_USER", "1000000".to_owned()),
        ("FACE__PACK", config.face.pack.clone()),
        ("FACE__MODELS_DIR", path(config.face.models_dir().path())),
        ("TELEMETRY__FILTER", "warn".to_owned()),
    ];
    Ok(file.chain(settings).map(|(name, value)| (format!("ROLLCALL_{name}"), value)).collect())
}
