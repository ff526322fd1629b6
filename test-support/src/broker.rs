//! A real broker with a namespace for each test.

use crate::folders;
use rollcall_bus::{Bus, BusConfig};
use rollcall_schemas::subject::{Namespace, Stream};
use rollcall_service::{
    clock::Entropy,
    servers::{NatsOptions, NatsServer},
};
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::OnceCell,
};

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

    /// Deletes a durable consumer, as a broker does that loses its memory: the next one of that name begins at the first
    /// message.
    pub async fn forget_place(&self, stream: Stream, durable: &str) {
        self.administer(&format!("CONSUMER.DELETE.{}.{durable}", self.name_of(stream))).await;
    }

    /// Deletes a stream and everything in it.
    pub async fn delete_stream(&self, stream: Stream) {
        self.administer(&format!("STREAM.DELETE.{}", self.name_of(stream))).await;
    }

    fn name_of(&self, stream: Stream) -> String {
        let namespace = self.config.namespace.as_deref().expect("every test has one");
        Namespace::new(namespace).expect("it is a counter").stream(stream)
    }

    /// Asks the broker for something that the log has no operation for, on purpose (NATS client protocol).
    async fn administer(&self, operation: &str) {
        let url = self.config.url.strip_prefix("nats://").and_then(|rest| rest.rsplit_once('@'));
        let (credentials, address) = url.expect("nats://user:password@host:port");
        let (user, pass) = credentials.split_once(':').expect("user:password");
        let mut socket = BufReader::new(TcpStream::connect(address).await.expect("the broker is up"));
        let connect = json!({ "user": user, "pass": pass, "verbose": false, "pedantic": false });
        let commands =
            format!("CONNECT {connect}\r\nSUB answer 1\r\nPUB $JS.API.{operation} answer 0\r\n\r\n");
        socket.get_mut().write_all(commands.as_bytes()).await.expect("the broker is up");
        let mut line = String::new();
        while !line.contains("\"success\"") {
            assert!(!line.contains("-ERR") && !line.contains("\"error\""), "{operation}: {line}");
            line.clear();
            let read = socket.read_line(&mut line).await.expect("the broker speaks in lines");
            assert!(read > 0, "the broker hung up");
        }
    }
}

/// A nats-server of the test's own, to be killed and restarted.
pub async fn own_broker() -> NatsServer {
    let folder = folders::fresh("nats");
    let options = NatsOptions { folder, port: None, max_store_bytes: Some(STORE_BYTES) };
    NatsServer::start(options, &Entropy::real()).await.unwrap_or_else(|error| panic!("{error}"))
}
