//! A limit holds for the whole deployment, however many processes serve it, and in each while the broker is away.

use crate::harness::{Deployment, Process, Service, free_address};
use reqwest::{StatusCode, header::HeaderName};
use rollcall_test_support::Client;
use serde_json::json;

/// So many that what is not told yet is a small part of them.
const BURST: usize = 400;
/// Slow enough that hardly anything comes back during the test.
const LIMIT: &str = "6/min burst 400";

/// Calls without credentials until it is told to wait, and gives how many calls were let through before.
async fn let_through(client: &Client) -> usize {
    for passed in 0..=2 * BURST {
        let answer = client.post("/api/v1/attendance/mark", &json!({})).await;
        match answer.status {
            StatusCode::UNAUTHORIZED => assert!(answer.headers.contains_key("ratelimit-remaining")),
            _ => {
                answer.refused(429, "RATE_LIMITED");
                assert!(answer.headers.contains_key("retry-after"));
                return passed;
            }
        }
    }
    panic!("nothing is limited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_hold_one_limit_and_each_holds_it_without_the_broker() {
    let settings =
        [("ROLLCALL_LIMITS__SCAN_ADDRESS", LIMIT), ("ROLLCALL_HTTP__TRUSTED_PROXIES", "[127.0.0.0/8]")];
    let mut deployment = Deployment::with(&[Service::Ingest], &settings).await;
    let log = deployment.folder().join("second.log");
    let mut second = Process::spawn(deployment.tool(&["ingest"]), free_address(), &log);
    second.ready().await;
    let from = |address: &str| {
        let forwarded = HeaderName::from_static("x-forwarded-for");
        [deployment.visitor(Service::Ingest), second.visitor.clone()]
            .map(|client| client.with_header(forwarded.clone(), address))
    };

    let [first, other] = from("192.0.2.1");
    let passed = [let_through(&first).await, let_through(&other).await];
    assert!(passed[0] >= BURST, "{passed:?}");
    // Alone, the other would have let a whole burst through. It had heard of all but the last calls.
    assert!(passed[1] < BURST / 2, "{passed:?}");
    let [elsewhere, _] = from("192.0.2.2");
    assert_eq!(elsewhere.post("/api/v1/attendance/mark", &json!({})).await.status, StatusCode::UNAUTHORIZED);

    let alone = from("192.0.2.3");
    deployment.nats.stop().await;
    for client in alone {
        let passed = let_through(&client).await;
        assert!((BURST..=BURST + BURST / 4).contains(&passed), "{passed}");
    }
}
