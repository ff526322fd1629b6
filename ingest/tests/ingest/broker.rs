//! What happens while the broker is full, away, or back again.

use crate::world::*;
use rollcall_bus::{Bus, BusConfig, Limit, StreamLimits};
use rollcall_ingest::IngestConfig;
use rollcall_schemas::{role::Role, subject::Stream};
use rollcall_service::servers::NatsServer;
use rollcall_test_support::{TestBroker, eventually, own_broker};
use serde_json::json;
use uuid::Uuid;

async fn connect(server: &NatsServer) -> Bus {
    let config = BusConfig { url: server.url(), publish_timeout_ms: 2_000, ..BusConfig::default() };
    let bus = Bus::connect(&config, "test").await.unwrap();
    bus.ensure_streams().await.unwrap();
    bus
}

#[tokio::test]
async fn a_killed_broker_means_come_back_and_the_retry_makes_no_duplicate() {
    let mut server = own_broker().await;
    let world = World::on(connect(&server).await, IngestConfig::default()).await;
    let now = world.clock.now();
    push(&world.camera(), DOOR, &jpeg(1), now).await.data();
    server.kill().await;
    // What was answered and what was not: the camera cannot tell, and sends both again.
    for seed in [1, 2] {
        let refused = push(&world.camera(), DOOR, &jpeg(seed), now).await;
        let details = refused.refused(503, "SERVICE_UNAVAILABLE");
        assert_eq!(details["capturedAt"], json!(now), "what to send again with the same bytes");
        assert!(refused.headers.contains_key("retry-after"));
    }
    let mark = json!({ "qrToken": Uuid::nil() });
    let scan = world.user(Role::Student).post("/api/v1/attendance/mark", &mark).await;
    scan.refused(503, "SERVICE_UNAVAILABLE");
    assert!(scan.headers.contains_key("retry-after"));
    let not_ready = world.front.health.dependencies().await;
    assert!(
        not_ready.iter().any(|dependency| dependency.name == "ingest" && !dependency.ready),
        "{not_ready:?}"
    );

    server.restart().await.unwrap();
    for (seed, duplicate) in [(1, true), (2, false)] {
        let answer = eventually("being accepted again", SOON, async || {
            let answer = push(&world.camera(), DOOR, &jpeg(seed), now).await;
            answer.status.is_success().then_some(answer)
        })
        .await;
        assert_eq!(answer.data()["duplicate"], duplicate);
    }
    assert_eq!(world.bus.stream(Stream::Frames).await.unwrap().messages, 2);
    assert_eq!(world.last_sequence(Stream::Scans).await, 0);
}

#[tokio::test]
async fn a_full_log_refuses_at_the_door_and_forgets_nothing() {
    let frames = Limit { max_bytes: Some(20_000), max_age_hours: None };
    let config = BusConfig {
        limits: StreamLimits { frames, ..StreamLimits::default() },
        ..TestBroker::start().await.config()
    };
    let bus = Bus::connect(&config, "test").await.unwrap();
    bus.ensure_streams().await.unwrap();
    let world = World::on(bus, IngestConfig::default()).await;
    let mut accepted = 0;
    let refused = loop {
        let answer = push(&world.camera(), DOOR, &jpeg(accepted), world.clock.now()).await;
        if !answer.status.is_success() {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 100, "20,000 bytes hold no 100 pictures");
    };
    refused.refused(503, "SERVICE_UNAVAILABLE");
    assert!(refused.headers.contains_key("retry-after"));
    assert!(accepted > 0);
    let frames = world.bus.stream(Stream::Frames).await.unwrap();
    assert_eq!((frames.first_sequence, frames.messages), (1, u64::from(accepted)));
}

#[tokio::test]
async fn a_snapshot_knows_the_keys_before_the_broker_is_back() {
    let snapshots = tempfile::tempdir().unwrap();
    let config = IngestConfig { snapshot_folder: Some(snapshots.path().into()), ..IngestConfig::default() };
    let mut server = own_broker().await;
    let bus = connect(&server).await;
    let first = World::on(bus.clone(), config.clone()).await;
    let knows = |file: &str, what: String| {
        std::fs::read_to_string(snapshots.path().join(file)).is_ok_and(|text| text.contains(&what))
    };
    eventually("snapshots", SOON, async || {
        let key = knows("auth.json", first.door_key.key_id.to_string());
        (key && knows("cameras.json", DOOR.to_string())).then_some(())
    })
    .await;
    server.kill().await;
    eventually("noticing", SOON, async || (!bus.is_connected()).then_some(())).await;

    let second = first.another(config).await;
    let camera = second.edge.client().with_api_key(&first.door_key.reveal());
    let known = push(&camera, DOOR, &jpeg(1), first.clock.now()).await;
    known.refused(503, "SERVICE_UNAVAILABLE");
    assert_eq!(known.body["error"]["message"], "the log is not available; send the same again");
    // Without a snapshot nobody is known yet, and nobody is turned away for good.
    let third = first.another(IngestConfig::default()).await;
    let camera = third.edge.client().with_api_key(&first.door_key.reveal());
    let unknown = push(&camera, DOOR, &jpeg(1), first.clock.now()).await;
    unknown.refused(503, "SERVICE_UNAVAILABLE");
    assert_eq!(unknown.body["error"]["message"], "starting: not everything is known yet");

    server.restart().await.unwrap();
    for front in [second, third] {
        let camera = front.edge.client().with_api_key(&first.door_key.reveal());
        eventually("being accepted", SOON, async || {
            push(&camera, DOOR, &jpeg(1), first.clock.now()).await.status.is_success().then_some(())
        })
        .await;
    }
    assert_eq!(first.last_sequence(Stream::Frames).await, 1);
}
