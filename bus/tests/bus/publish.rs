//! Publishing: stored once, or refused with the reason.

use crate::{eventually, frame, scan, server::Server, soon};
use rollcall_bus::{Bus, BusConfig, Limit, PublishError, Published, StreamLimits};
use rollcall_schemas::{
    header::{self, HeaderSource},
    subject::Stream,
};

#[tokio::test]
async fn the_same_id_is_stored_once_even_when_the_broker_was_killed() {
    let mut server = Server::start();
    let bus = server.bus().await;
    let first = bus.publish(scan(1)).await.unwrap();
    assert_eq!(first, Published { sequence: 1, duplicate: false });
    assert_eq!(bus.publish(scan(1)).await.unwrap(), Published { sequence: 1, duplicate: true });
    server.kill();
    server.restart();
    eventually("publishing again", || async {
        bus.publish(scan(1))
            .await
            .is_ok_and(|published| published == Published { sequence: 1, duplicate: true })
    })
    .await;
    assert_eq!(bus.stream(Stream::Scans).await.unwrap().messages, 1);
}

#[tokio::test]
async fn headers_arrive_and_cannot_end_early() {
    let server = Server::start();
    let bus = server.bus().await;
    let headers = vec![
        (header::TRACEPARENT, "00-1-2-01".to_owned()),
        (header::SOURCE, "a\r\nNats-Msg-Id: b".to_owned()),
    ];
    let stored = bus.publish(scan(1).with_headers(headers)).await.unwrap();
    let read = bus.get(Stream::Scans, stored.sequence).await.unwrap().unwrap();
    assert_eq!(read.header(header::TRACEPARENT), Some("00-1-2-01"));
    assert_eq!(read.header(header::SOURCE), Some("a  Nats-Msg-Id: b"));
    assert_eq!(read.header("Nats-Msg-Id"), Some("scan-1"));
    assert_eq!(read.headers.iter().count(), 2, "the broker's own headers are not ours to show");
}

#[tokio::test]
async fn a_message_over_the_brokers_limit_is_too_large() {
    let server = Server::start();
    let bus = server.bus().await;
    let refused = bus.publish(frame(1, 1, 9 << 20)).await.unwrap_err();
    assert_eq!(refused, PublishError::TooLarge { limit_bytes: 8 << 20 });
    bus.publish(frame(1, 1, 7 << 20)).await.unwrap();
}

#[tokio::test]
async fn a_full_stream_refuses_and_takes_again_when_there_is_room() {
    let server = Server::start();
    let frames = Limit { max_bytes: Some(1 << 20), max_age_hours: None };
    let limits = StreamLimits { frames, ..StreamLimits::default() };
    let bus = Bus::connect(&BusConfig { limits, ..server.config() }, "test").await.unwrap();
    bus.ensure_streams().await.unwrap();
    for number in 0..5 {
        bus.publish(frame(1, number, 200_000)).await.unwrap();
    }
    let refused = bus.publish(frame(1, 5, 200_000)).await.unwrap_err();
    assert!(matches!(refused, PublishError::Full { .. }), "{refused:?}");
    let state = bus.stream(Stream::Frames).await.unwrap();
    assert_eq!(
        (state.messages, state.first_sequence, state.max_bytes),
        (5, 1, Some(1 << 20)),
        "nothing was dropped"
    );
    assert!(bus.erase(Stream::Frames, 1).await.unwrap());
    bus.publish(frame(1, 5, 200_000)).await.unwrap();
}

#[tokio::test]
async fn without_a_broker_publishing_fails_and_goes_on_when_it_is_back() {
    let mut server = Server::start();
    let bus = server.bus().await;
    server.kill();
    let refused = soon("refusal", bus.publish(scan(1))).await.unwrap_err();
    assert!(matches!(refused, PublishError::Unavailable { .. }), "{refused:?}");
    eventually("noticing", || async { !bus.is_connected() }).await;
    assert!(bus.ready().await.is_err());
    server.restart();
    eventually("publishing", || async { bus.publish(scan(1)).await.is_ok() }).await;
    assert_eq!(bus.stream(Stream::Scans).await.unwrap().messages, 1);
}

#[tokio::test]
async fn a_namespace_is_a_log_of_its_own() {
    let server = Server::start();
    let named = |name: &str| BusConfig { namespace: Some(name.into()), ..server.config() };
    let one = Bus::connect(&named("one"), "test").await.unwrap();
    let two = Bus::connect(&named("two"), "test").await.unwrap();
    one.ensure_streams().await.unwrap();
    two.ensure_streams().await.unwrap();
    one.publish(scan(1)).await.unwrap();
    assert_eq!(one.stream(Stream::Scans).await.unwrap().messages, 1);
    assert_eq!(two.stream(Stream::Scans).await.unwrap().messages, 0);
    assert_eq!(one.get(Stream::Scans, 1).await.unwrap().unwrap().subject.as_str(), "scan.captured.v1");
}
