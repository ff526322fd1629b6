//! `rollcall up`: every service in one process on one address, with private servers where none are configured. What
//! starts last stops first: the front door, then the workers, then the servers.

mod endpoints;
mod servers;

pub use endpoints::Endpoints;

use crate::{
    config::Config,
    run::{self, Foundation, STOP_GRACE},
};
use anyhow::Context;
use rollcall_api::{BootstrapError, FirstUser};
use rollcall_schemas::role::Role;
use rollcall_service::{clock::Entropy, config::Secret, lifecycle::Lifecycle};
use rollcall_store::{Pool, Postgres, StoreError};
use servers::Servers;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// A running deployment.
pub struct System {
    foundation: Foundation,
    pool: Pool<Postgres>,
    lifecycle: Lifecycle,
    address: SocketAddr,
    servers: Servers,
    bcrypt_cost: u32,
}

/// Runs until it is interrupted.
///
/// # Errors
/// When something does not start, or a part fails while running.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let mut system = start(config).await?;
    tracing::info!(address = %system.address, "everything is up; see /docs, stop with Ctrl-C");
    let stopped = system.lifecycle.run_until_stopped(STOP_GRACE).await;
    system.servers.stop().await;
    Ok(stopped?)
}

/// Starts everything.
///
/// # Errors
/// When something does not start; what had started is stopped again.
pub async fn start(mut config: Config) -> anyhow::Result<System> {
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("making the data folder {}", config.data_dir.display()))?;
    config.data_dir = config.data_dir.canonicalize()?;
    let entropy = Entropy::real();
    let servers = Servers::start(&mut config, &entropy).await?;
    config.api.signing_key_file = Some(config.signing_key_file());
    config.ingest.snapshot_folder.get_or_insert_with(|| config.data_dir.join("snapshots"));
    let lifecycle = Lifecycle::new("rollcall");
    // Made first, so that it stops first: nothing new comes in while the workers finish.
    let door = lifecycle.part("http");
    let foundation = Foundation::lay(&config, "rollcall-up").await?;
    run::migrate(&config).await?;
    let pool = foundation.open_database(&config)?;
    let router = run::everything(&config, &foundation, &pool, &lifecycle).await?;
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
    let address = listener.local_addr()?;
    run::serve(router, listener, &config, &foundation, &door);
    Ok(System { foundation, pool, lifecycle, address, servers, bcrypt_cost: config.api.bcrypt_cost })
}

impl System {
    /// Where HTTP is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its database.
    pub fn pool(&self) -> &Pool<Postgres> {
        &self.pool
    }

    /// Sees that there is an administrator with this e-mail; one that is there stays as it is.
    ///
    /// # Errors
    /// When the database does not do it.
    pub async fn ensure_admin(
        &self,
        organisation: &str,
        email: &str,
        password: &Secret,
    ) -> anyhow::Result<()> {
        let admin = FirstUser {
            organisation: organisation.to_owned(),
            email: email.to_owned(),
            full_name: "Administrator".to_owned(),
            role: Role::Admin,
            password: password.clone(),
            bcrypt_cost: self.bcrypt_cost,
        };
        let Foundation { clock, entropy, .. } = &self.foundation;
        match rollcall_api::create_user(&self.pool, clock, entropy, admin).await {
            Ok(_) | Err(BootstrapError::Store(StoreError::Taken { .. })) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Stops everything in order.
    ///
    /// # Errors
    /// When a part had failed.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let stopped = self.lifecycle.stop(STOP_GRACE).await;
        self.pool.close().await;
        self.servers.stop().await;
        Ok(stopped?)
    }
}
