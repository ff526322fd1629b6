//! The servers that tests run on, and the tools around them.

use axum::{Router, response::sse, routing::get};
use futures::{StreamExt, stream};
use rollcall_bus::Bus;
use rollcall_schemas::{embedding::Embedding, subject::Stream};
use rollcall_service::http::{Problem, Success};
use rollcall_test_support::{
    TestBroker, TestDatabase, TestEdge, assert_close, eventually, own_broker, own_postgres, test_clock,
};
use serde_json::json;
use std::{convert::Infallible, sync::atomic::AtomicU32, sync::atomic::Ordering, time::Duration};

const DEADLINE: Duration = Duration::from_secs(30);

async fn tables(pool: &sqlx::PgPool) -> i64 {
    let count = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    sqlx::query_scalar(count).fetch_one(pool).await.expect("the database is up")
}

#[tokio::test]
async fn brokers_of_two_tests_have_streams_of_their_own() {
    let (one, other) = (TestBroker::start().await, TestBroker::start().await);
    let bus = one.bus().await;
    assert_eq!(bus.stream(Stream::Facts).await.unwrap().messages, 0);
    let without_streams = Bus::connect(&other.config(), "test").await.unwrap();
    assert!(without_streams.stream(Stream::Facts).await.is_err());
}

#[tokio::test]
async fn databases_of_two_tests_are_migrated_and_apart() {
    let (one, other) = (TestDatabase::create().await, TestDatabase::create().await);
    let migrated = tables(one.pool()).await;
    assert!(migrated > 1, "{migrated} tables");
    sqlx::query("CREATE TABLE mine (n int)").execute(one.pool()).await.unwrap();
    assert_eq!(tables(one.pool()).await, migrated + 1);
    assert_eq!(tables(other.pool()).await, migrated);
}

#[tokio::test]
async fn own_servers_can_be_killed_and_come_back() {
    let (mut broker, mut postgres) = (own_broker().await, own_postgres().await);
    broker.kill().await;
    postgres.kill().await;
    broker.restart().await.unwrap();
    postgres.restart().await.unwrap();
    let pool = rollcall_store::open(&postgres.url(), 1).unwrap();
    assert!(tables(&pool).await > 1);
}

#[tokio::test]
async fn eventually_gives_what_came_at_last() {
    let asked = AtomicU32::new(0);
    let third = || async {
        let count = asked.fetch_add(1, Ordering::Relaxed) + 1;
        (count == 3).then_some(count)
    };
    assert_eq!(eventually("the third answer", DEADLINE, third).await, 3);
}

#[tokio::test]
#[should_panic(expected = "the impossible did not happen within")]
async fn eventually_gives_up() {
    eventually("the impossible", Duration::from_millis(20), || async { None::<()> }).await;
}

#[test]
fn embeddings_may_differ_a_little() {
    assert_close(&Embedding(vec![1.0, 0.0]), &Embedding(vec![1.0, 1e-4]), 1e-6);
}

#[test]
#[should_panic(expected = "the embeddings differ")]
fn embeddings_may_not_differ_much() {
    assert_close(&Embedding(vec![1.0, 0.0]), &Embedding(vec![0.8, 0.6]), 0.1);
}

#[tokio::test]
async fn the_client_reads_envelopes_and_events() {
    let events = || async {
        let events = ["one", "two"].into_iter().zip(1..).map(|(data, id)| {
            Ok::<_, Infallible>(
                sse::Event::default().id(id.to_string()).event("count").json_data(json!(data)).unwrap(),
            )
        });
        sse::Sse::new(stream::iter(events.collect::<Vec<_>>()).boxed())
    };
    let router = Router::new()
        .route("/ok", get(|| async { Success::ok(json!({ "n": 1 })) }))
        .route("/no", get(|| async { Err::<Success<()>, _>(Problem::not_found("camera")) }))
        .route("/events", get(events));
    let edge = TestEdge::serve(router, test_clock()).await;
    let client = edge.client();
    assert_eq!(client.get("/ok").await.data()["n"], 1);
    assert_eq!(client.get("/no").await.refused(404, "NOT_FOUND"), &json!({}));
    assert_eq!(client.get("/ok").await.body["timestamp"], "2026-03-02T09:00:00Z");

    let mut events = client.events("/events", None).await;
    let first = events.next(DEADLINE).await.unwrap();
    assert_eq!(
        (first.id.as_deref(), first.event.as_deref(), first.json()),
        (Some("1"), Some("count"), json!("one"))
    );
    assert_eq!(events.next(DEADLINE).await.unwrap().json(), "two");
    assert_eq!(events.next(DEADLINE).await, None);
    edge.lifecycle.stop(DEADLINE).await.unwrap();
}
