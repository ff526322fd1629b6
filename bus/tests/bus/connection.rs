//! Connecting, and refusing a broker that is not fit.

use crate::{PATIENCE, server::Server, soon};
use rollcall_bus::{Bus, BusConfig, BusError};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

#[tokio::test]
async fn a_fit_broker_is_ready() {
    let server = Server::start();
    let bus = server.bus().await;
    assert!(bus.is_connected());
    assert!(bus.ready().await.unwrap() < PATIENCE);
    assert_eq!(bus.max_payload(), 8 << 20);
}

#[tokio::test]
async fn a_broker_for_small_messages_only_is_refused() {
    let server = Server::start_with("jetstream { store_dir: \"FOLDER/data\" }");
    let refused = Bus::connect(&server.config(), "test").await.unwrap_err();
    assert!(matches!(refused, BusError::PayloadTooSmall { found: 1_048_576, .. }), "{refused:?}");
    assert!(refused.to_string().contains("max_payload: 8MB"), "{refused}");
}

#[tokio::test]
async fn a_broker_without_jetstream_is_refused() {
    let server = Server::start_with("max_payload: 8MB");
    let refused = Bus::connect(&server.config(), "test").await.unwrap_err();
    assert!(matches!(refused, BusError::NoJetStream), "{refused:?}");
}

#[tokio::test]
async fn an_old_broker_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let old_broker = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let info =
            r#"{"server_id":"x","version":"2.8.4","max_payload":8388608,"jetstream":true,"headers":true}"#;
        socket.write_all(format!("INFO {info}\r\n").as_bytes()).await.unwrap();
        let mut received = Vec::new();
        while !String::from_utf8_lossy(&received).contains("PING") {
            socket.read_buf(&mut received).await.unwrap();
        }
        socket.write_all(b"PONG\r\n").await.unwrap();
        socket
    });
    let refused = Bus::connect(&BusConfig { url, ..BusConfig::default() }, "test").await.unwrap_err();
    assert!(matches!(&refused, BusError::ServerTooOld { found } if found == "2.8.4"), "{refused:?}");
    old_broker.await.unwrap();
}

#[tokio::test]
async fn credentials_are_used_and_wrong_ones_refused_at_once() {
    let server = Server::start_with(
        "jetstream { store_dir: \"FOLDER/data\" }\nmax_payload: 8MB\nauthorization { user: rollcall, password: right }",
    );
    let with_password = |password: &str| BusConfig {
        user: Some("rollcall".into()),
        password: Some(password.into()),
        connect_timeout_s: 600,
        ..server.config()
    };
    Bus::connect(&with_password("right"), "test").await.unwrap().ensure_streams().await.unwrap();
    let url = server.url().replace("nats://", "nats://rollcall:right@");
    Bus::connect(&BusConfig { url, ..server.config() }, "test").await.unwrap();
    let wrong = with_password("wrong");
    let refused = soon("refusal", Bus::connect(&wrong, "test")).await.unwrap_err();
    assert!(matches!(refused, BusError::Credentials { .. }), "{refused:?}");
}

#[tokio::test]
async fn an_absent_broker_is_given_up_after_the_configured_time() {
    let mut server = Server::start();
    server.kill();
    let config = BusConfig { connect_timeout_s: 1, ..server.config() };
    let refused = soon("giving up", Bus::connect(&config, "test")).await.unwrap_err();
    assert!(matches!(refused, BusError::Connect { waited_s: 1, .. }), "{refused:?}");
}

#[tokio::test]
async fn a_broker_that_comes_late_is_waited_for() {
    let mut server = Server::start();
    server.kill();
    let config = BusConfig { connect_timeout_s: PATIENCE.as_secs(), ..server.config() };
    let connecting = tokio::spawn(async move { Bus::connect(&config, "test").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!connecting.is_finished());
    server.restart();
    soon("connection", connecting).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_address_that_is_none_is_said_to_be_so() {
    let config = BusConfig { url: "nats://bro ker:not-a-port".into(), ..BusConfig::default() };
    let refused = Bus::connect(&config, "test").await.unwrap_err();
    assert!(matches!(refused, BusError::Address { .. }), "{refused:?}");
    let refused = Bus::connect(&BusConfig::default(), "test").await.unwrap_err();
    assert!(matches!(refused, BusError::NotConfigured), "{refused:?}");
    let url = "nats://127.0.0.1:4222".to_owned();
    let config = BusConfig { url, namespace: Some("a.b".into()), ..BusConfig::default() };
    let refused = Bus::connect(&config, "test").await.unwrap_err();
    assert!(matches!(refused, BusError::Namespace(_)), "{refused:?}");
}
