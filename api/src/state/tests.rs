//! What holds while a server is away.

use crate::{ApiConfig, testing::TestApi};
use chrono::TimeDelta;
use rollcall_bus::{Bus, BusConfig};
use rollcall_schemas::feed::CameraEntry;
use rollcall_test_support::{TestBroker, TestDatabase, eventually, own_broker, own_postgres};
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

/// A server comes back, a client notices, and the outbox is swept every few seconds.
const RECOVERY: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_change_made_while_the_log_is_away_is_told_when_it_is_back() {
    let mut broker = own_broker().await;
    let database = TestDatabase::create().await;
    let config = BusConfig { url: broker.url(), ..BusConfig::default() };
    let bus = Bus::connect(&config, "test").await.unwrap();
    bus.ensure_streams().await.unwrap();
    let test = TestApi::start_on(ApiConfig::default(), bus.clone(), database.url()).await;
    let feed = bus.feed::<CameraEntry>(None, None, test.lifecycle.soft_stop());
    broker.kill().await;
    eventually("the loss is noticed", RECOVERY, || async { (!bus.is_connected()).then_some(()) }).await;

    let created = test.operator().post("/api/v1/cameras", &json!({ "name": "Door" })).await;
    let id = created.data()["camera"]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/requests/{}", Uuid::nil());
    test.student().get(&path).await.refused(503, "SERVICE_UNAVAILABLE");

    test.clock.advance(TimeDelta::minutes(1));
    broker.restart().await.unwrap();
    eventually("the camera is told", RECOVERY, || async { feed.get(&id).map(drop) }).await;
}

#[tokio::test]
async fn while_the_database_is_away_calls_say_so_and_what_needs_none_goes_on() {
    let mut postgres = own_postgres().await;
    let broker = TestBroker::start().await;
    let test = TestApi::start_on(ApiConfig::default(), broker.bus().await, &postgres.url()).await;
    postgres.kill().await;
    let refused = test.operator().get("/api/v1/users").await;
    refused.refused(503, "DATABASE_ERROR");
    assert!(refused.headers.contains_key("retry-after"));
    let pending = test.student().get(&format!("/api/v1/requests/{}", Uuid::nil())).await;
    assert_eq!((pending.status.as_u16(), pending.code()), (202, "REQUEST_PENDING"));
    postgres.restart().await.unwrap();
    eventually("the database is used again", RECOVERY, || async {
        test.operator().get("/api/v1/users").await.status.is_success().then_some(())
    })
    .await;
}
