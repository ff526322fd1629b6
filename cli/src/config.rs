//! The settings of the whole: one section per crate, composed here. What a setting means is said where it is defined.

mod secrets;

use crate::contract;
use rollcall_api::ApiConfig;
use rollcall_attendance_worker::AttendanceConfig;
use rollcall_bus::BusConfig;
#[cfg(feature = "face")]
use rollcall_face_worker::worker::FaceConfig;
use rollcall_ingest::IngestConfig;
use rollcall_service::{
    auth::TokenConfig,
    config::{ConfigError, Secret, Sources, document, load},
    http::HttpConfig,
    limits::LimitsConfig,
    seal::Sealer,
    telemetry::TelemetryConfig,
};
use rollcall_store::{Pool, Postgres, StoreError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};

/// Every setting.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The file that was named, for processes that are to have the same settings.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// Where HTTP is served: all of it by `rollcall up`, a service's own part (and health) by each service.
    pub listen: SocketAddr,
    /// Where `rollcall up` keeps everything: its servers' data, the signing key, snapshots. `rollcall-data` in the
    /// current folder; `/var/lib/rollcall` for root, whose own folders PostgreSQL may not enter.
    pub data_dir: PathBuf,
    /// The log. With an empty url, `rollcall up` runs a private nats-server.
    pub nats: BusConfig,
    /// The database. With an empty url, `rollcall up` runs a private PostgreSQL.
    pub database: DatabaseConfig,
    /// Limits of the HTTP server.
    pub http: HttpConfig,
    /// How many calls are let through, in the whole deployment.
    pub limits: LimitsConfig,
    /// Access tokens.
    pub auth: TokenConfig,
    /// The front door for frames and scans.
    pub ingest: IngestConfig,
    /// Model packs and where they run.
    #[cfg(feature = "face")]
    pub face: FaceConfig,
    /// Decisions and timers.
    pub attendance: AttendanceConfig,
    /// The service for people.
    pub api: ApiConfig,
    /// Logs, metrics, traces.
    pub telemetry: TelemetryConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir: default_data_dir(),
            nats: BusConfig::default(),
            database: DatabaseConfig::default(),
            http: HttpConfig::default(),
            limits: LimitsConfig::default(),
            auth: TokenConfig::default(),
            ingest: IngestConfig::default(),
            #[cfg(feature = "face")]
            face: FaceConfig::default(),
            attendance: AttendanceConfig::default(),
            api: ApiConfig::default(),
            telemetry: TelemetryConfig::default(),
        }
    }
}

/// Prints every setting with its meaning and its default.
///
/// # Errors
/// When standard output cannot be written to.
pub fn print() -> anyhow::Result<()> {
    contract::print(&document::<Config>())
}

fn default_data_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() { "/var/lib/rollcall".into() } else { "rollcall-data".into() }
}

/// How to reach the database.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `postgres://user:password@host:5432/name`, or with `?host=/folder` for a socket.
    pub url: Secret,
    /// The most connections of one process.
    pub max_connections: u32,
    /// Seals the secrets that must be known to be used: what webhooks are signed with. Without it they lie in the database
    /// as they are. The same for every process; `openssl rand -hex 32` makes one.
    pub sealing_key: Secret,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self { url: Secret::default(), max_connections: 24, sealing_key: Secret::default() }
    }
}

impl Config {
    /// Reads every source. What they leave open is filled in from a deployment that runs in the data folder.
    ///
    /// # Errors
    /// When a source holds an unknown key or an unusable value.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Ok(Self { file: sources.file.clone(), ..load(sources)? })
    }

    /// Where `rollcall up` and the tools beside it find the keys that sign access tokens.
    pub fn signing_key_file(&self) -> PathBuf {
        self.api.signing_key_file.clone().unwrap_or_else(|| self.data_dir.join("signing-key.pem"))
    }

    /// Refuses secrets that could be guessed: whoever has them has everything.
    ///
    /// # Errors
    /// When one is weak, with the name of the setting.
    pub fn check_secrets(&self) -> anyhow::Result<()> {
        secrets::check(self)
    }

    /// What seals secrets in the database.
    pub fn sealer(&self) -> Sealer {
        Sealer::new(&self.database.sealing_key)
    }

    /// A pool on the configured database. It connects when first used.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn open_database(&self) -> Result<Pool<Postgres>, StoreError> {
        rollcall_store::open(self.database.url.reveal(), self.database.max_connections)
    }
}
