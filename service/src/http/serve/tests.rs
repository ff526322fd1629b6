use super::*;
use crate::{
    clock::{Clock, Entropy},
    http::{Bytes, ClientIp, Success, finish},
};
use axum::{extract::DefaultBodyLimit, routing};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};

const GRACE: Duration = Duration::from_secs(30);
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

async fn start(router: Router, config: HttpConfig) -> (SocketAddr, Lifecycle) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let lifecycle = Lifecycle::new("test");
    let task = lifecycle.clone();
    let router = finish(router, &config, Clock::real(), Entropy::real());
    lifecycle.spawn("http", async move { serve(listener, router, &config, &task).await });
    (address, lifecycle)
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn the_address_of_the_caller_is_known() {
    let handler = |ClientIp(address): ClientIp| async move { Success::ok(address) };
    let (address, lifecycle) =
        start(Router::new().route("/", routing::get(handler)), HttpConfig::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(GET).await.unwrap();
    assert!(read_all(&mut stream).await.contains(r#""data":"127.0.0.1""#));
    lifecycle.stop(GRACE).await.unwrap();
}

#[tokio::test]
async fn a_soft_stop_lets_a_call_finish_and_takes_no_new_one() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (entered, release) = (entered.clone(), release.clone());
        move || async move {
            entered.notify_one();
            release.notified().await;
            "finished"
        }
    };
    let (address, lifecycle) =
        start(Router::new().route("/", routing::get(handler)), HttpConfig::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(GET).await.unwrap();
    entered.notified().await;
    let stopping = tokio::spawn({
        let lifecycle = lifecycle.clone();
        async move { lifecycle.stop(GRACE).await }
    });
    lifecycle.soft_stop().cancelled().await;
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    release.notify_one();
    assert!(read_all(&mut stream).await.ends_with("finished"));
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_hard_stop_cuts_a_call_off() {
    let entered = Arc::new(Notify::new());
    let handler = {
        let entered = entered.clone();
        move || async move {
            entered.notify_one();
            std::future::pending::<()>().await;
        }
    };
    let (address, lifecycle) =
        start(Router::new().route("/", routing::get(handler)), HttpConfig::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(GET).await.unwrap();
    entered.notified().await;
    lifecycle.stop(Duration::ZERO).await.unwrap();
    assert_eq!(read_all(&mut stream).await, "");
}

#[tokio::test]
async fn a_client_that_never_finishes_its_head_is_dropped() {
    let config = HttpConfig { header_timeout_ms: 50, ..HttpConfig::default() };
    let (address, _lifecycle) = start(Router::new(), config).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: ").await.unwrap();
    let both = async { (read_all(&mut silent).await, read_all(&mut slow).await) };
    tokio::time::timeout(GRACE, both).await.expect("both are dropped long before");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let config = HttpConfig { max_connections: 1, ..HttpConfig::default() };
    let (address, lifecycle) = start(Router::new().route("/", routing::get(|| async { "hi" })), config).await;
    let first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(GET).await.unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(200), second.read(&mut byte)).await;
    assert!(early.is_err(), "the second connection was served beside the first");
    drop(first);
    assert!(read_all(&mut second).await.ends_with("hi"));
    lifecycle.stop(GRACE).await.unwrap();
}

/// Sends something on a connection of its own and reads until the server ends it.
async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    tokio::time::timeout(GRACE, read_all(&mut stream)).await.expect("the server ends it long before")
}

#[tokio::test]
async fn a_connection_that_is_not_used_any_more_is_closed() {
    let config = HttpConfig { header_timeout_ms: 50, ..HttpConfig::default() };
    let (address, _lifecycle) =
        start(Router::new().route("/", routing::get(|| async { "hi" })), config).await;
    let answer = exchange(address, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(answer.ends_with("hi"), "{answer}");
}

fn takes_bodies() -> Router {
    let handler = |Bytes(bytes): Bytes| async move { Success::ok(bytes.len()) };
    Router::new().route("/", routing::post(handler).layer(DefaultBodyLimit::max(1_000)))
}

#[tokio::test]
async fn a_body_that_stops_coming_is_answered_and_the_connection_closed() {
    let config = HttpConfig { body_timeout_ms: 50, ..HttpConfig::default() };
    let (address, _lifecycle) = start(takes_bodies(), config).await;
    for body in ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf"] {
        let answer =
            exchange(address, format!("POST / HTTP/1.1\r\nHost: localhost\r\n{body}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("connection: close") && answer.contains("REQUEST_TIMEOUT"), "{answer}");
    }
}

#[tokio::test]
async fn a_call_whose_body_takes_all_its_time_is_its_clients_fault() {
    let config = HttpConfig { request_timeout_ms: 50, ..HttpConfig::default() };
    let (address, _lifecycle) = start(takes_bodies(), config).await;
    let answer =
        exchange(address, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused_before_it_comes() {
    let patient =
        HttpConfig { body_timeout_ms: 3_600_000, request_timeout_ms: 3_600_000, ..HttpConfig::default() };
    let (address, _lifecycle) = start(takes_bodies(), patient).await;
    let head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\nConnection: close\r\n\r\n";
    let answer = exchange(address, head).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("PAYLOAD_TOO_LARGE"), "{answer}");
}

#[tokio::test]
async fn heads_are_limited_in_the_envelope_and_hard_beyond_it() {
    let (address, _lifecycle) =
        start(Router::new().route("/", routing::get(|| async { "hi" })), HttpConfig::default()).await;
    let get = |path: &str, headers: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n").into_bytes()
    };
    let long = |bytes| "x".repeat(bytes);
    for (request, status, code) in [
        (get(&format!("/?{}", long(8_000)), &"A: b\r\n".repeat(90)), 200, ""),
        (get(&format!("/?{}", long(9_000)), ""), 414, "URI_TOO_LONG"),
        (get("/", &"A: b\r\n".repeat(100)), 431, "HEADERS_TOO_LARGE"),
        (get("/", &format!("A: {}\r\n", long(33_000))), 431, "HEADERS_TOO_LARGE"),
        (get("/", &"A: b\r\n".repeat(300)), 431, ""),
    ] {
        let answer = exchange(address, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer:.300}");
        assert_eq!(answer.contains(r#""success":false"#), !code.is_empty(), "{answer:.300}");
        assert!(answer.contains(code), "{answer:.300}");
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut_off() {
    let config = HttpConfig { max_connections: 1, write_timeout_ms: 100, ..HttpConfig::default() };
    // More than the sockets' buffers hold.
    let router = Router::new()
        .route("/large", routing::get(|| async { vec![0_u8; 64 * 1024 * 1024] }))
        .route("/", routing::get(|| async { "hi" }));
    let (address, _lifecycle) = start(router, config).await;
    let mut deaf = TcpStream::connect(address).await.unwrap();
    deaf.write_all(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    // There is room for one: this one is served when the other is gone.
    assert!(exchange(address, GET).await.ends_with("hi"));
}
