use crate::{
    ApiConfig,
    testing::{PASSWORD, TestApi},
};
use rollcall_bus::{Bus, BusConfig, Feed, Message};
use rollcall_schemas::{
    feed::{AuthEntry, AuthFact, CameraEntry, FeedEntry},
    id::CameraId,
};
use rollcall_service::{
    clock::Entropy,
    servers::{NatsOptions, NatsServer},
};
use rollcall_test_support::{TestBroker, TestDatabase, eventually};
use serde_json::json;
use std::time::Duration;

/// A server comes back, and a client notices.
const RECOVERY: Duration = Duration::from_secs(30);

async fn put<T: FeedEntry>(bus: &Bus, entry: &T) {
    bus.publish(Message::entry(entry).unwrap()).await.unwrap();
}

fn follow(test: &TestApi, bus: &Bus) -> (Feed<CameraEntry>, Feed<AuthEntry>) {
    let stop = test.lifecycle.soft_stop();
    (bus.feed(None, None, stop.clone()), bus.feed(None, None, stop))
}

/// Waits until an entry is as it should be.
async fn told<T: FeedEntry>(feed: &Feed<T>, key: &str, is: impl Fn(&T) -> bool) -> T {
    eventually("the entry", RECOVERY, async || {
        feed.get(key).filter(|entry| is(entry)).map(|entry| (*entry).clone())
    })
    .await
}

fn is_revoked(entry: &AuthEntry) -> bool {
    matches!(entry.fact, AuthFact::ApiKey { revoked: true, .. })
}

/// A camera with a key, both told: the camera's entry and the key's.
async fn a_camera(test: &TestApi, name: &str) -> (CameraEntry, AuthEntry) {
    let admin = test.admin();
    let camera = admin.post("/api/v1/cameras", &json!({ "name": name })).await;
    let id = camera.data()["camera"]["id"].as_str().unwrap().to_owned();
    let key = admin.post(&format!("/api/v1/cameras/{id}/keys"), &json!({})).await;
    let key = format!("api-key/{}", key.data()["keyId"].as_str().unwrap());
    let (cameras, keys) = follow(test, &test.bus);
    (told(&cameras, &id, |_| true).await, told(&keys, &key, |_| true).await)
}

#[tokio::test]
async fn a_log_that_was_lost_learns_what_lives_again() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        NatsOptions { folder: folder.path().to_owned(), port: None, max_store_bytes: Some(1 << 50) };
    let mut broker = NatsServer::start(options, &Entropy::real()).await.unwrap();
    let config = BusConfig { url: broker.url(), ..BusConfig::default() };
    let bus = Bus::connect(&config, "test").await.unwrap();
    bus.ensure_streams().await.unwrap();
    let database = TestDatabase::create().await;
    let test = TestApi::start_on(ApiConfig::default(), bus.clone(), database.url()).await;
    let (door, door_key) = a_camera(&test, "Door").await;
    let (yard, yard_key) = a_camera(&test, "Yard").await;
    test.admin().delete(&format!("/api/v1/cameras/{}", yard.camera_id)).await.data();

    broker.kill().await;
    std::fs::remove_dir_all(folder.path().join("jetstream")).unwrap();
    broker.restart().await.unwrap();
    eventually("the streams are made anew", RECOVERY, async || bus.ensure_streams().await.ok()).await;
    let (cameras, keys) = follow(&test, &bus);
    assert_eq!(told(&cameras, &door.key(), |_| true).await, door);
    assert_eq!(told(&keys, &door_key.key(), |_| true).await, door_key);
    // What is gone need not be told: nobody knows it.
    assert!(cameras.get(&yard.key()).is_none() && keys.get(&yard_key.key()).is_none());
    eventually("tokens are taken again", RECOVERY, async || {
        test.admin().get("/api/v1/cameras").await.status.is_success().then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_the_log_has_otherwise_becomes_what_the_rows_say() {
    let test = TestApi::start().await;
    let (door, door_key) = a_camera(&test, "Door").await;
    let (yard, yard_key) = a_camera(&test, "Yard").await;
    test.admin().delete(&format!("/api/v1/cameras/{}", yard.camera_id)).await.data();

    let other = TestBroker::start().await.bus().await;
    // Older than the rows: the key was revoked since. Newer than the rows: the database was restored.
    put(&other, &yard_key).await;
    put(&other, &CameraEntry { revision: 9, enabled: false, ..door.clone() }).await;
    put(&other, &door_key).await;
    let unknown = CameraEntry { camera_id: CameraId::derive(&[b"unknown"]), ..door.clone() };
    put(&other, &unknown).await;
    let (cameras, keys) = follow(&test, &other);
    test.start_another(other).await;

    assert_eq!(
        told(&cameras, &door.key(), |entry| entry.enabled).await,
        CameraEntry { revision: 10, ..door.clone() }
    );
    assert_eq!(told(&keys, &yard_key.key(), is_revoked).await.revision, yard_key.revision + 1);
    assert_eq!(
        told(&cameras, &unknown.key(), |_| true).await,
        unknown,
        "what no row speaks of is left alone"
    );
    // The next change counts from there.
    let path = format!("/api/v1/cameras/{}", door.camera_id);
    test.admin().put(&path, &json!({ "enabled": false })).await.data();
    let (cameras, _) = follow(&test, &test.bus);
    assert_eq!(told(&cameras, &door.key(), |entry| !entry.enabled).await.revision, 11);
}

#[tokio::test]
async fn a_log_that_was_lost_learns_which_sign_ins_ended() {
    let test = TestApi::start().await;
    let body = json!({ "email": "admin@school.example", "password": PASSWORD });
    let sign_in = async || {
        let answer = test.edge.client().post("/api/v1/auth/login", &body).await;
        test.edge.client().with_token(answer.data()["token"].as_str().unwrap())
    };
    let (ended, going_on) = (sign_in().await, sign_in().await);
    ended.post("/api/v1/auth/logout", &json!({})).await.data();

    let other = TestBroker::start().await.bus().await;
    other.ensure_streams().await.unwrap();
    let api = test.start_another(other.clone()).await;
    let (_, keys) = follow(&test, &other);
    let told = eventually("the end is told", RECOVERY, async || {
        let entries = keys.snapshot();
        entries.into_iter().find(|entry| matches!(entry.fact, AuthFact::EndedSignIn { .. }))
    })
    .await;
    let ends =
        keys.snapshot().iter().filter(|entry| matches!(entry.fact, AuthFact::EndedSignIn { .. })).count();
    assert_eq!(ends, 1, "the other goes on");
    eventually("the other api knows it", RECOVERY, async || api.keys().get(&told.key()).map(drop)).await;
    going_on.get("/api/v1/auth/me").await.data();
}
