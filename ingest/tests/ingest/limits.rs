//! Who may push, and how much: keys, roles, cameras, the pause switch, the per-camera limit.

use crate::world::*;
use chrono::{DurationRound, TimeDelta};
use rollcall_schemas::{
    feed::{AuthEntry, AuthFact, CameraEntry, ConfigurationEntry},
    id::CameraId,
    request::{KeyUse, KeyUses},
    role::Role,
    subject::{self, RequestKind, Stream},
};
use rollcall_service::auth::ApiKey;
use rollcall_test_support::{Answer, Client, eventually};
use serde_json::json;
use std::collections::BTreeMap;

/// Pushes until the answer has this status; the feeds tell in their own time.
async fn becomes(world: &World, client: &Client, camera: CameraId, status: u16) -> Answer {
    eventually("the other status", SOON, async || {
        let answer = push(client, camera, &jpeg(1), world.clock.now()).await;
        (answer.status.as_u16() == status).then_some(answer)
    })
    .await
}

#[tokio::test]
async fn only_the_camera_itself_and_operators_may_push() {
    let world = World::start().await;
    let now = world.clock.now();
    let stranger = ApiKey::generate(&world.entropy);
    let wrong_secret = {
        let (key, other) = (world.door_key.reveal(), world.yard_key.reveal());
        format!("{}{}", &key[..key.len() - 43], &other[other.len() - 43..])
    };
    push(&world.client(), DOOR, &jpeg(1), now).await.refused(401, "AUTH_UNAUTHORIZED");
    for key in [stranger.reveal(), wrong_secret, "rck_".into(), "secret".into()] {
        let client = world.client().with_api_key(&key);
        push(&client, DOOR, &jpeg(1), now).await.refused(401, "AUTH_TOKEN_INVALID");
    }
    push(&world.client().with_token("a.b.c"), DOOR, &jpeg(1), now).await.refused(401, "AUTH_TOKEN_INVALID");
    push(&world.camera(), YARD, &jpeg(1), now).await.refused(403, "AUTH_UNAUTHORIZED");
    for role in [Role::Student, Role::Teacher] {
        push(&world.user(role), DOOR, &jpeg(1), now).await.refused(403, "AUTH_UNAUTHORIZED");
    }
    assert_eq!(world.last_sequence(Stream::Frames).await, 0);
    for role in [Role::Operator, Role::Admin] {
        push(&world.user(role), DOOR, &jpeg(1), now).await.data();
    }
    let token = world.user(Role::Operator);
    world.clock.advance(TimeDelta::hours(25));
    push(&token, DOOR, &jpeg(1), world.clock.now()).await.refused(401, "AUTH_TOKEN_EXPIRED");
}

#[tokio::test]
async fn a_revoked_key_and_a_revoked_token_end_without_a_database() {
    let world = World::start().await;
    let operator = world.user(Role::Operator);
    push(&world.camera(), DOOR, &jpeg(1), world.clock.now()).await.data();
    let mut entry = key_entry(DOOR, &world.door_key);
    let AuthFact::ApiKey { revoked, .. } = &mut entry.fact else { unreachable!("it is a key") };
    *revoked = true;
    entry.revision = 2;
    put(&world.bus, &entry).await;
    becomes(&world, &world.camera(), DOOR, 401).await.refused(401, "AUTH_TOKEN_INVALID");

    becomes(&world, &operator, DOOR, 202).await;
    let fact = AuthFact::Revocation { user_id: STUDENT, issued_before: world.clock.now() };
    put(&world.bus, &AuthEntry { revision: 1, fact }).await;
    becomes(&world, &operator, DOOR, 401).await.refused(401, "AUTH_TOKEN_EXPIRED");
}

#[tokio::test]
async fn a_token_ends_with_its_sign_in_and_no_other_does() {
    let world = World::start().await;
    let (token, claims) = world.token(Role::Operator);
    let (signed_out, other) = (world.client().with_token(&token), world.user(Role::Operator));
    becomes(&world, &signed_out, DOOR, 202).await;
    let ended_at = world.clock.now();
    let forget_at = ended_at + TimeDelta::hours(24);
    let fact = AuthFact::EndedSignIn { sign_in_id: claims.sid, ended_at, forget_at };
    put(&world.bus, &AuthEntry { revision: 1, fact }).await;
    becomes(&world, &signed_out, DOOR, 401).await.refused(401, "AUTH_TOKEN_EXPIRED");
    let scan = json!({ "qrToken": "3f1c9a52-8a3e-4a6f-9d55-0b7f4c1e2d90" });
    let student = signed_out.post("/api/v1/attendance/mark", &scan).await;
    student.refused(401, "AUTH_TOKEN_EXPIRED");
    becomes(&world, &other, DOOR, 202).await;
}

#[tokio::test]
async fn limits_that_an_administrator_set_come_by_their_feed() {
    let world = World::start().await;
    let burst = async || {
        let answer = world.user(Role::Student).post("/api/v1/attendance/mark", &json!({})).await;
        answer.headers["ratelimit-limit"].to_str().unwrap().to_owned()
    };
    assert_eq!(burst().await, SCAN_BURST.to_string());
    let set = async |revision, limits| put(&world.bus, &ConfigurationEntry { revision, limits }).await;
    set(1, BTreeMap::from([("scan_user".to_owned(), "60/min burst 3".parse().unwrap())])).await;
    eventually("the limit is heard of", SOON, async || (burst().await == "3").then_some(())).await;
    set(2, BTreeMap::new()).await;
    let own = SCAN_BURST.to_string();
    eventually("its own is back", SOON, async || (burst().await == own).then_some(())).await;
}

#[tokio::test]
async fn a_user_who_pushes_frames_has_a_limit_of_their_own() {
    let world = World::start().await;
    let limits = BTreeMap::from([("write_user".to_owned(), "1/min burst 1".parse().unwrap())]);
    put(&world.bus, &ConfigurationEntry { revision: 1, limits }).await;
    let limited = becomes(&world, &world.user(Role::Operator), DOOR, 429).await;
    limited.refused(429, "RATE_LIMITED");
    assert_eq!(push(&world.camera(), DOOR, &jpeg(2), world.clock.now()).await.status, 202);
}

#[tokio::test]
async fn cameras_come_are_disabled_and_go_by_their_feed() {
    let world = World::start().await;
    let operator = world.user(Role::Operator);
    let roof = CameraId::derive(&[b"roof"]);
    push(&operator, roof, &jpeg(1), world.clock.now()).await.refused(404, "NOT_FOUND");
    let change = async |revision, change: &dyn Fn(&mut CameraEntry)| {
        let mut entry = CameraEntry { revision, ..camera_entry(roof) };
        change(&mut entry);
        put(&world.bus, &entry).await;
    };
    change(1, &|_| {}).await;
    becomes(&world, &operator, roof, 202).await;
    change(2, &|entry| entry.enabled = false).await;
    becomes(&world, &operator, roof, 409).await.refused(409, "CONFLICT");
    change(3, &|_| {}).await;
    becomes(&world, &operator, roof, 202).await;
    change(4, &|entry| entry.deleted = true).await;
    becomes(&world, &operator, roof, 404).await;
    let before = world.last_sequence(Stream::Frames).await;
    push(&operator, roof, &jpeg(9), world.clock.now()).await.refused(404, "NOT_FOUND");
    assert_eq!(world.last_sequence(Stream::Frames).await, before);

    let garbled = operator.post("/api/v1/cameras/roof/frames", &json!({})).await;
    assert_eq!(garbled.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], "id");
}

#[tokio::test]
async fn a_pause_refuses_and_says_when_to_come_back() {
    let world = World::start().await;
    world.pause(1, true).await;
    let refused = becomes(&world, &world.camera(), DOOR, 503).await;
    refused.refused(503, "SERVICE_UNAVAILABLE");
    assert!(refused.headers.contains_key("retry-after"));
    let before = world.last_sequence(Stream::Frames).await;
    push(&world.camera(), DOOR, &jpeg(2), world.clock.now()).await.refused(503, "SERVICE_UNAVAILABLE");
    assert_eq!(world.last_sequence(Stream::Frames).await, before);
    world.pause(2, false).await;
    becomes(&world, &world.camera(), DOOR, 202).await;
}

#[tokio::test]
async fn each_camera_has_a_limit_of_its_own() {
    /// Far more than a camera limited to one a second could push before the test gives up.
    const MANY: u8 = 100;
    let world = World::start().await;
    put(&world.bus, &CameraEntry { revision: 2, max_frames_per_second: 1, ..camera_entry(DOOR) }).await;
    let mut accepted = 0;
    let mut limited = None;
    for seed in 0..MANY {
        let answer = push(&world.camera(), DOOR, &jpeg(seed), world.clock.now()).await;
        match answer.status.as_u16() {
            202 => accepted += 1,
            _ => {
                limited = Some(answer);
                break;
            }
        }
    }
    let limited = limited.expect("the limit is met");
    limited.refused(429, "RATE_LIMITED");
    let header = |name: &str| limited.headers[name].to_str().unwrap().parse::<u64>().unwrap();
    assert_eq!((header("ratelimit-limit"), header("ratelimit-remaining")), (2, 0));
    assert!(header("retry-after") >= 1 && header("ratelimit-reset") >= 1);
    assert_eq!(world.last_sequence(Stream::Frames).await, accepted);

    let yard = world.client().with_api_key(&world.yard_key.reveal());
    let answer = push(&yard, YARD, &jpeg(1), world.clock.now()).await;
    assert_eq!(answer.status, 202);
    assert!(answer.headers.contains_key("ratelimit-remaining"));
}

#[tokio::test]
async fn uses_of_keys_are_told_together_and_at_the_latest_at_the_end() {
    let world = World::start().await;
    for seed in 0..3 {
        push(&world.camera(), DOOR, &jpeg(seed), world.clock.now()).await.data();
    }
    push(&world.client().with_api_key("rck_"), DOOR, &jpeg(1), world.clock.now())
        .await
        .refused(401, "AUTH_TOKEN_INVALID");
    let before = world.last_sequence(Stream::Requests).await;
    world.front.stop().await;
    let told =
        world.bus.last(Stream::Requests, &subject::request(RequestKind::KeyUses)).await.unwrap().unwrap();
    assert_eq!(told.sequence, before + 1, "one message for all");
    let KeyUses { uses } = serde_json::from_slice(&told.payload).unwrap();
    let minute = world.clock.now().duration_trunc(TimeDelta::minutes(1)).unwrap();
    assert_eq!(uses, [KeyUse { key_id: world.door_key.key_id, used_at: minute }]);
}
