use super::*;
use crate::{
    auth::{ApiKey, Authenticator, TokenConfig},
    clock::Clock,
    http::{
        Success,
        testing::{Edge, get},
    },
};
use axum::{Router, extract::ConnectInfo, middleware::from_fn_with_state, routing};
use http::StatusCode;
use rollcall_schemas::feed::AuthFact;
use std::net::SocketAddr;
use tokio::time::advance;

const HERE: Charged = Charged::Address(Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))));
const SECOND: Duration = Duration::from_secs(1);

fn of(per_minute: u32, burst: u32) -> Limit {
    Limit { per_minute: NonZeroU32::new(per_minute).unwrap(), burst: NonZeroU32::new(burst).unwrap() }
}

/// A limiter that is the `number`th process of its deployment.
fn process(number: u64, limit: Limit) -> Limiter {
    Limiter::new(LimitsConfig::uniform(limit), &Entropy::seeded(number))
}

fn takes(limiter: &Limiter, charged: Charged) -> Allowance {
    limiter.take(RouteGroup::Read, charged).unwrap()
}

/// How many of many calls in a row are let through.
fn let_through(limiter: &Limiter, charged: Charged) -> u32 {
    (0..1_000).map(|_| u32::from(takes(limiter, charged).retry_after.is_none())).sum()
}

fn tell(from: &Limiter, to: &Limiter) {
    if let Some(told) = from.untold() {
        to.hear(&told);
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_passes_and_what_follows_waits_for_its_turn() {
    let limiter = process(1, of(60, 3));
    let levels: Vec<_> = (0..4).map(|_| takes(&limiter, HERE)).collect();
    assert_eq!(levels.iter().map(|level| level.remaining).collect::<Vec<_>>(), [2, 1, 0, 0]);
    assert_eq!(levels.iter().map(|level| level.reset.as_secs()).collect::<Vec<_>>(), [1, 2, 3, 3]);
    assert_eq!(levels[2].retry_after, None);
    assert_eq!(levels[3].retry_after, Some(SECOND));
    advance(SECOND).await;
    assert_eq!(let_through(&limiter, HERE), 1);
    advance(60 * SECOND).await;
    assert_eq!(let_through(&limiter, HERE), 3);
}

#[tokio::test(start_paused = true)]
async fn callers_and_groups_have_buckets_of_their_own() {
    let limiter = process(1, of(1, 1));
    let id = Uuid::from_u128(1);
    for charged in [HERE, Charged::Address(None), Charged::User(UserId(id)), Charged::Key(ApiKeyId(id))] {
        assert_eq!(let_through(&limiter, charged), 1, "{charged:?}");
    }
    assert!(limiter.take(RouteGroup::Write, HERE).unwrap().retry_after.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_site_does_not_get_more_by_changing_its_address() {
    let limiter = process(1, of(1, 1));
    let at = |address: &str| let_through(&limiter, Charged::Address(Some(address.parse().unwrap())));
    assert_eq!([at("2001:db8::1"), at("2001:db8::2"), at("2001:db8:0:1::1")], [1, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_camera_has_the_limit_of_its_setting_and_a_changed_one_holds_at_once() {
    let limiter = Limiter::new(LimitsConfig::default(), &Entropy::seeded(1));
    let (camera, other) = (CameraId(Uuid::from_u128(1)), CameraId(Uuid::from_u128(2)));
    let passed = |camera, rate| (0..100).filter(|_| limiter.take_frame(camera, rate).check().is_ok()).count();
    assert_eq!([passed(camera, 1), passed(other, 1), passed(camera, 5)], [2, 2, 10]);
    advance(SECOND).await;
    assert_eq!(passed(camera, 5), 5);
}

#[tokio::test(start_paused = true)]
async fn what_others_let_through_is_gone_here_too() {
    let limit = of(60, 10);
    let (one, other) = (process(1, limit), process(2, limit));
    for _ in 0..4 {
        takes(&one, HERE);
    }
    tell(&one, &other);
    assert_eq!(let_through(&other, HERE), 6);
    tell(&other, &one);
    assert_eq!(let_through(&one, HERE), 0);
    assert_eq!(one.untold(), None, "what is told is not told again");
}

#[tokio::test(start_paused = true)]
async fn an_excess_is_a_debt() {
    let limit = of(60, 10);
    let (one, other) = (process(1, limit), process(2, limit));
    // Both at once, before either has heard: twice the burst, which is the most that two can let through.
    assert_eq!(let_through(&one, HERE) + let_through(&other, HERE), 20);
    let (of_one, of_other) = (one.untold().unwrap(), other.untold().unwrap());
    one.hear(&of_other);
    other.hear(&of_one);
    advance(10 * SECOND).await;
    assert_eq!(let_through(&one, HERE) + let_through(&other, HERE), 0, "ten seconds pay for ten calls");
    advance(SECOND).await;
    assert_eq!(let_through(&one, HERE), 1);
}

#[tokio::test(start_paused = true)]
async fn several_processes_hold_the_limit_together() {
    const PROCESSES: u32 = 3;
    const SECONDS: u32 = 60;
    let limit = of(600, 20);
    let all: Vec<_> = (0..PROCESSES).map(|number| process(number.into(), limit)).collect();
    let mut passed = 0;
    for step in 0..(SECONDS * 20) {
        // Ten calls to each within every interval: a hundred times what is allowed.
        passed += (0..10).flat_map(|_| &all).filter(|one| takes(one, HERE).check().is_ok()).count();
        assert!(step > 0 || passed <= 60, "N bursts at the very most");
        let told: Vec<_> = all.iter().filter_map(Limiter::untold).collect();
        for one in &all {
            told.iter().for_each(|told| one.hear(told));
        }
        advance(TELL_EVERY).await;
    }
    // Burst + rate x time, and once (N - 1) bursts, or rate x interval of each other process.
    let allowed = 20 + 10 * SECONDS;
    let overshoot = (PROCESSES - 1) * 20;
    assert!((allowed - 20..=allowed + overshoot).contains(&(passed as u32)), "{passed}");
}

#[tokio::test(start_paused = true)]
async fn a_process_does_not_heed_its_own_words() {
    let limiter = process(1, of(60, 10));
    for _ in 0..5 {
        takes(&limiter, HERE);
    }
    tell(&limiter, &limiter);
    assert_eq!(let_through(&limiter, HERE), 5);
}

#[tokio::test(start_paused = true)]
async fn who_calls_cannot_be_read_from_what_is_told() {
    let limiter = process(1, of(60, 10));
    let (user, key) = (UserId(Uuid::from_u128(0xabcdef)), ApiKeyId(Uuid::from_u128(0xfedcba)));
    for charged in [HERE, Charged::User(user), Charged::Key(key)] {
        takes(&limiter, charged);
    }
    let told = serde_json::to_string(&limiter.untold().unwrap()).unwrap();
    for secret in ["192.0.2.1", "abcdef", "fedcba", "c0000201"] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn callers_with_a_full_bucket_are_forgotten() {
    let limiter = process(1, of(60, 10));
    for number in 0..1_000 {
        takes(&limiter, Charged::Address(Some(Ipv4Addr::from_bits(number).into())));
    }
    advance(5 * SECOND).await;
    for _ in 0..FORGET_EVERY {
        limiter.untold();
    }
    assert!(limiter.0.buckets.lock().is_empty());
    assert_eq!(let_through(&limiter, HERE), 10);
}

/// A page behind the gate, for calls from one address.
fn edge(limit: Limit, key: &ApiKey) -> Edge {
    let fact = AuthFact::ApiKey {
        key_id: key.key_id,
        secret_sha256: key.secret_sha256(),
        camera_id: None,
        scopes: vec![],
        expires_at: None,
        revoked: false,
    };
    let keys = HashMap::from([(format!("api-key/{}", key.key_id), fact)]);
    let authenticator = Authenticator::new(keys, TokenConfig::default(), Clock::real());
    let gate = Gate { authenticator, limiter: process(1, limit) };
    let page = |Authenticated(caller): Authenticated| async move { Success::ok(caller.is_ok()) };
    let router = Router::new().route("/page", routing::get(page));
    Edge::new(router.route_layer(from_fn_with_state(gate, admit)))
}

async fn call(edge: &Edge, address: &str, key: Option<&str>) -> http::Response<axum::body::Body> {
    let mut request = get("/page");
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(address.parse().unwrap(), 1)));
    if let Some(key) = key {
        request.headers_mut().insert("x-api-key", key.parse().unwrap());
    }
    edge.response(request).await
}

fn header(response: &http::Response<axum::body::Body>, name: &str) -> u64 {
    response.headers()[name].to_str().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_answer_says_what_is_left_and_a_refusal_when_to_come_back() {
    let edge = edge(of(60, 2), &ApiKey::generate(&Entropy::seeded(2)));
    let first = call(&edge, "192.0.2.1", None).await;
    assert_eq!(first.status(), StatusCode::OK);
    let left = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"];
    assert_eq!(left.map(|name| header(&first, name)), [2, 1, 1]);
    assert!(!first.headers().contains_key("retry-after"));
    call(&edge, "192.0.2.1", None).await;
    let refused = call(&edge, "192.0.2.1", None).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(left.map(|name| header(&refused, name)), [2, 0, 2]);
    assert_eq!(header(&refused, "retry-after"), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_known_is_not_counted_with_their_address() {
    let key = ApiKey::generate(&Entropy::seeded(2));
    let edge = edge(of(1, 2), &key);
    let good = key.reveal();
    for _ in 0..2 {
        assert_eq!(call(&edge, "192.0.2.1", Some(good.as_str())).await.status(), StatusCode::OK);
    }
    // Bad credentials are nobody's: trying many is trying from one address.
    for (number, expected) in [(1, 200), (2, 200), (3, 429)] {
        let bad = format!("rck_{number}");
        assert_eq!(call(&edge, "192.0.2.1", Some(bad.as_str())).await.status().as_u16(), expected);
    }
    // Another address does not help whoever is known.
    assert_eq!(call(&edge, "192.0.2.9", Some(good.as_str())).await.status(), StatusCode::TOO_MANY_REQUESTS);
}
