//! A deployment of a test's own: private servers, and the binary as one process per service. What is done with it, and
//! what must be true afterwards, is in the tests.

mod binary;
mod history;
mod load;
mod people;
mod pictures;
mod school;
mod wire;

pub(crate) use binary::{Process, descendants, free_address, is_running, output, rollcall, take_turn};
pub(crate) use history::{assert_ledger, facts, read_all, records, settled};
pub(crate) use load::{Frame, FrameAnswer, Load, Scan, ScanAnswer, push, scan};
pub(crate) use people::{Camera, PASSWORD, People, Student, create_admin, run_create_admin, sign_in};
pub(crate) use pictures::{Pictures, models_dir};
pub(crate) use school::{School, Session};
pub(crate) use wire::send_spaces;

use rollcall_bus::{Bus, BusConfig};
use rollcall_service::{
    auth::{TokenConfig, TokenSigner, generate_signing_key},
    clock::{Clock, Entropy},
    servers::{NatsServer, PostgresServer},
};
use rollcall_store::{Pool, Postgres};
use rollcall_test_support::{Client, own_broker, own_postgres};
use std::{collections::BTreeMap, fs::File, net::SocketAddr, os::unix::fs::PermissionsExt, time::Duration};
use tempfile::TempDir;

/// Far longer than anything takes on a busy machine; reaching it is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);

/// Who can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    Ingest,
    Api,
    FaceWorker,
    AttendanceWorker,
}

impl Service {
    pub(crate) const ALL: [Service; 4] =
        [Service::Api, Service::Ingest, Service::FaceWorker, Service::AttendanceWorker];

    fn command(self) -> &'static str {
        match self {
            Service::Ingest => "ingest",
            Service::Api => "api",
            Service::FaceWorker => "face-worker",
            Service::AttendanceWorker => "attendance-worker",
        }
    }
}

/// Two servers, and a process per service. All of them are gone when it is dropped.
pub(crate) struct Deployment {
    pub(crate) nats: NatsServer,
    pub(crate) postgres: PostgresServer,
    pub(crate) bus: Bus,
    pub(crate) pool: Pool<Postgres>,
    pub(crate) signer: TokenSigner,
    /// Settings of every process, beside those that say where things are.
    settings: Vec<(String, String)>,
    services: BTreeMap<Service, Process>,
    folder: TempDir,
    _turn: File,
}

impl Deployment {
    /// Everything.
    pub(crate) async fn start() -> Self {
        Self::with(&Service::ALL, &[]).await
    }

    /// Some services, with settings that are not the tests' usual ones.
    pub(crate) async fn with(services: &[Service], settings: &[(&str, &str)]) -> Self {
        if services.contains(&Service::FaceWorker) {
            // On first use, everything that it needs is fetched.
            Pictures::get();
        }
        // Two cores bear one deployment at a time; more would only make each other slow.
        let turn = binary::take_turn().await;
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let (nats, postgres) = tokio::join!(own_broker(), own_postgres());
        let config = BusConfig { url: nats.url(), ..BusConfig::default() };
        let bus = Bus::connect(&config, "test").await.expect("the broker is up");
        bus.ensure_streams().await.expect("the broker has room");
        let pool = rollcall_store::open(&postgres.url(), 4).expect("a well-formed URL");
        let entropy = Entropy::seeded(1);
        let pem = generate_signing_key(&entropy);
        let key_file = folder.path().join("signing-key.pem");
        std::fs::write(&key_file, pem.reveal()).expect("an own folder is writable");
        let owners_only = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&key_file, owners_only).expect("an own file may be changed");
        let signer =
            TokenSigner::new(&pem, TokenConfig::default(), Clock::real(), entropy).expect("a good key");
        let mut deployment = Self {
            settings: usual_settings(&folder, &nats, &postgres, settings),
            nats,
            postgres,
            bus,
            pool,
            signer,
            services: BTreeMap::new(),
            folder,
            _turn: turn,
        };
        for &service in services {
            deployment.spawn(service);
        }
        for &service in services {
            deployment.ready(service).await;
        }
        deployment
    }

    fn spawn(&mut self, service: Service) {
        let address = self.services.get(&service).map_or_else(free_address, |old| old.address);
        let mut command = rollcall();
        command.arg(service.command()).envs(self.settings.iter().cloned());
        let log = self.folder.path().join(format!("{}.log", service.command()));
        self.services.insert(service, Process::spawn(command, address, &log));
    }

    /// Waits until the service says that it can do its work.
    async fn ready(&mut self, service: Service) {
        self.services.get_mut(&service).expect("it was started").ready().await;
    }

    /// Kills a service as `kill -9` does.
    pub(crate) async fn kill(&mut self, service: Service) {
        self.services.get_mut(&service).expect("it was started").kill().await;
    }

    /// Starts a killed service again, at the same address.
    pub(crate) async fn restart(&mut self, service: Service) {
        self.spawn(service);
        self.ready(service).await;
    }

    /// A caller of the service without credentials.
    pub(crate) fn visitor(&self, service: Service) -> Client {
        self.services[&service].visitor.clone()
    }

    /// Where the service listens.
    pub(crate) fn address(&self, service: Service) -> SocketAddr {
        self.services[&service].address
    }

    /// The binary as somebody beside the deployment would run it, with the same settings.
    pub(crate) fn tool(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = rollcall();
        command.args(arguments).envs(self.settings.iter().cloned()).current_dir(self.folder.path());
        command
    }

    /// A folder that is gone with the deployment.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

fn usual_settings(
    folder: &TempDir,
    nats: &NatsServer,
    postgres: &PostgresServer,
    others: &[(&str, &str)],
) -> Vec<(String, String)> {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut settings = vec![
        ("NATS_URL", nats.url()),
        ("DATABASE_URL", postgres.url()),
        ("ROLLCALL_DATA_DIR", path("data")),
        ("ROLLCALL_API__SIGNING_KEY_FILE", path("signing-key.pem")),
        // Passwords are hashed for real, but not for long.
        ("ROLLCALL_API__BCRYPT_COST", "4".to_owned()),
        ("ROLLCALL_INGEST__SNAPSHOT_FOLDER", path("snapshots")),
        // Callers are sent away with a place to look rather than kept waiting while a worker is down.
        ("ROLLCALL_INGEST__SCAN_DEADLINE_MS", "2000".to_owned()),
        ("ROLLCALL_FACE__MODELS_DIR", models_dir().display().to_string()),
        ("ROLLCALL_FACE__INFERENCE_THREADS", "1".to_owned()),
    ];
    settings.extend(others.iter().map(|(name, value)| (*name, (*value).to_owned())));
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Waits for a condition with the tests' usual patience.
pub(crate) async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"));
}
