//! The private servers of a deployment: started where the settings name none, started again when they die, stopped
//! last.

use super::Endpoints;
use crate::config::Config;
use rollcall_service::{
    clock::Entropy,
    config::Secret,
    servers::{NatsOptions, NatsServer, PostgresOptions, PostgresServer, ServerError},
};
use std::{future::Future, path::PathBuf, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a server that cannot be started again is left alone.
const RESTART_PAUSE: Duration = Duration::from_secs(2);

/// Servers with a task each that looks after them.
pub struct Servers {
    data_dir: PathBuf,
    stop: CancellationToken,
    /// In the order in which they are stopped.
    keepers: Vec<JoinHandle<()>>,
}

impl Servers {
    /// Starts what the settings do not name, and writes its address into them.
    pub async fn start(config: &mut Config, entropy: &Entropy) -> anyhow::Result<Self> {
        let mut servers =
            Self { data_dir: config.data_dir.clone(), stop: CancellationToken::new(), keepers: Vec::new() };
        if config.database.url.reveal().is_empty() {
            let folder = config.data_dir.join("postgres");
            let options = PostgresOptions { folder, port: None, max_connections: 100, durable: true };
            let server = PostgresServer::start(options, entropy).await?;
            config.database.url = Secret::new(server.url());
            servers.look_after("postgres", server);
        }
        if config.nats.url.is_empty() {
            let folder = config.data_dir.join("nats");
            let options = NatsOptions { folder, port: None, max_store_bytes: None };
            let server = NatsServer::start(options, entropy).await?;
            config.nats.url = server.url();
            servers.look_after("nats-server", server);
        }
        Endpoints::of(config).write(&config.data_dir)?;
        Ok(servers)
    }

    /// Stops them in order.
    pub async fn stop(&mut self) {
        Endpoints::remove(&self.data_dir);
        self.stop.cancel();
        for keeper in self.keepers.drain(..) {
            if let Err(error) = keeper.await {
                tracing::error!(%error, "a server's keeper failed");
            }
        }
    }

    fn look_after(&mut self, name: &'static str, server: impl Server) {
        self.keepers.push(tokio::spawn(keep(name, server, self.stop.clone())));
    }
}

/// Starts a server again whenever it dies, at the same address and with the same data, until `stop`.
async fn keep(name: &'static str, mut server: impl Server, stop: CancellationToken) {
    while stop.run_until_cancelled(server.ended()).await.is_some() {
        tracing::error!(server = name, "ended by itself; starting it again");
        if let Err(error) = server.restart().await {
            tracing::error!(server = name, %error, "cannot be started again yet");
            // An ended server is noticed at once, so this is the pause between two attempts.
            stop.run_until_cancelled(tokio::time::sleep(RESTART_PAUSE)).await;
        }
    }
    server.stop().await;
}

/// What both servers can do.
trait Server: Send + 'static {
    fn ended(&mut self) -> impl Future<Output = ()> + Send;
    fn restart(&mut self) -> impl Future<Output = Result<(), ServerError>> + Send;
    fn stop(&mut self) -> impl Future<Output = ()> + Send;
}

impl Server for NatsServer {
    async fn ended(&mut self) {
        NatsServer::ended(self).await;
    }

    async fn restart(&mut self) -> Result<(), ServerError> {
        NatsServer::restart(self).await
    }

    async fn stop(&mut self) {
        NatsServer::stop(self).await;
    }
}

impl Server for PostgresServer {
    async fn ended(&mut self) {
        PostgresServer::ended(self).await;
    }

    async fn restart(&mut self) -> Result<(), ServerError> {
        PostgresServer::restart(self).await
    }

    async fn stop(&mut self) {
        PostgresServer::stop(self).await;
    }
}
