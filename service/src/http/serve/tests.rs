use super::*;
use crate::{
    clock::{Clock, Entropy},
    http::{ClientIp, Success, finish},
};
use axum::routing;
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
