//! A real broker with a namespace for each test.

use crate::folders;
use rollcall_bus::{Bus, BusConfig};
use rollcall_service::{
    clock::Entropy,
    servers::{NatsOptions, NatsServer},
};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::OnceCell;

/// Streams reserve what they may hold; many tests' reservations must fit, though nothing near that is ever written.
const STORE_BYTES: u64 = 1 << 50;

/// A namespace of its own on this process's nats-server.
#[derive(Clone, Debug)]
pub struct TestBroker {
    config: BusConfig,
}

impl TestBroker {
    /// A fresh namespace, without streams.
    pub async fn start() -> Self {
        static SERVER: OnceCell<NatsServer> = OnceCell::const_new();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = SERVER.get_or_init(own_broker).await;
        let namespace = format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Self { config: BusConfig { url: server.url(), namespace: Some(namespace), ..BusConfig::default() } }
    }

    /// How to reach it. Limits may be changed before connecting.
    pub fn config(&self) -> BusConfig {
        self.config.clone()
    }

    /// A connection, with every stream in place.
    pub async fn bus(&self) -> Bus {
        let bus = Bus::connect(&self.config, "test").await.expect("the broker is up");
        bus.ensure_streams().await.expect("the broker has room");
        bus
    }
}

/// A nats-server of the test's own, to be killed and restarted.
pub async fn own_broker() -> NatsServer {
    let folder = folders::fresh("nats");
    let options = NatsOptions { folder, port: None, max_store_bytes: Some(STORE_BYTES) };
    NatsServer::start(options, &Entropy::real()).await.unwrap_or_else(|error| panic!("{error}"))
}
