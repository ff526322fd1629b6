//! Authenticated reads, with and without a query, beside a bare axum route that answers the same bytes. What is lost is
//! what a call costs before and after its bytes: the token, the access table, the query, the envelope, the layers around
//! every route.
//!
//! Both are asked by the same client, which does as little as a client can: it shares the processors with the server.

use super::{
    Scope,
    deployment::{self, Deployment},
    latency::median,
    process::{Service, cpu_seconds},
    report::{Figure, Report},
    school::School,
};
use crate::config::Config;
use anyhow::{Context, ensure};
use axum::{Router, routing::get};
use futures::future::try_join_all;
use std::{
    thread::available_parallelism,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

const NAME: &str = "reads";
/// What the token alone answers, and what is a row.
const PATHS: [&str; 2] = ["/api/v1/auth/verify", "/api/v1/auth/me"];
const CONNECTIONS: usize = 32;
const AIM: f64 = 0.5;
/// Larger than any answer here.
const BUFFER: usize = 16 * 1024;

/// Runs it.
pub async fn run(scope: Scope, config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let (rounds, reads) = if scope.quick { (2, 3_000) } else { (6, 20_000) };
    deployment::with(config, &[Service::Ingest, Service::Api], async |deployment| {
        let school = School::found(deployment, 0).await?;
        for path in PATHS {
            report.add(beside_bare(deployment, &school, path, (rounds, reads)).await?);
        }
        Ok(())
    })
    .await
}

/// Rounds of the peer and of the api, in turn.
async fn beside_bare(
    deployment: &Deployment,
    school: &School,
    path: &'static str,
    (rounds, reads): (usize, usize),
) -> anyhow::Result<Figure> {
    let address = deployment.address(Service::Api).trim_start_matches("http://").to_owned();
    let request = request(&address, path, &school.admin_token);
    let bare = Bare::serve(path, wait_for(&address, &request).await?).await?;
    // A first round for connections, plans and caches.
    burst(&bare.address, &request, reads / 4).await?;
    burst(&address, &request, reads / 4).await?;
    let (mut ours, mut peers, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        peers.push(burst(&bare.address, &request, reads).await?);
        let before = cpu_seconds(deployment.pid(Service::Api))?;
        ours.push(burst(&address, &request, reads).await?);
        cpu.push((cpu_seconds(deployment.pid(Service::Api))? - before) / reads as f64 * 1e6);
    }
    let figure = Figure::new(NAME, format!("GET {path}, {CONNECTIONS} connections"), median(ours), "/s");
    let note = format!("processor each: api {:.0} us", median(cpu));
    Ok(figure.beside("bare axum route, same bytes", median(peers), Some(AIM)).note(note))
}

fn request(address: &str, path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes()
}

/// Asks until the key that the token is signed with is known, and gives the body of the answer.
async fn wait_for(address: &str, request: &[u8]) -> anyhow::Result<Vec<u8>> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut connection = Connection::open(address).await?;
        let answer = connection.ask(request).await?;
        if answer.starts_with(b"HTTP/1.1 200 ") {
            return Ok(answer[head_of(answer).context("an answer has a head")?..].to_vec());
        }
        ensure!(Instant::now() < deadline, "refused: {}", String::from_utf8_lossy(answer));
    }
}

/// The peer, on as many threads as the api has.
struct Bare {
    address: String,
    // Dropped, it ends.
    runtime: Option<Runtime>,
}

impl Bare {
    async fn serve(path: &'static str, body: Vec<u8>) -> anyhow::Result<Self> {
        let threads = available_parallelism().map_or(1, usize::from);
        let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
        let answer = String::from_utf8(body)?;
        let route = get(move || async move { ([("content-type", "application/json")], answer) });
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?.to_string();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener)?;
            axum::serve(listener, Router::new().route(path, route)).await
        });
        Ok(Self { address, runtime: Some(runtime) })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// So many reads over all connections, as fast as they are answered. Returns reads a second.
async fn burst(address: &str, request: &[u8], reads: usize) -> anyhow::Result<f64> {
    let connections = try_join_all((0..CONNECTIONS).map(|_| Connection::open(address))).await?;
    let begun = Instant::now();
    let each = reads / CONNECTIONS;
    try_join_all(connections.into_iter().map(|connection| connection.ask_often(request, each))).await?;
    Ok((each * CONNECTIONS) as f64 / begun.elapsed().as_secs_f64())
}

/// One connection that is kept.
struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("the server does not answer")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(BUFFER) })
    }

    async fn ask_often(mut self, request: &[u8], times: usize) -> anyhow::Result<()> {
        for _ in 0..times {
            let answer = self.ask(request).await?;
            ensure!(answer.starts_with(b"HTTP/1.1 200 "), "refused: {}", String::from_utf8_lossy(answer));
        }
        Ok(())
    }

    /// The whole answer: a head with a content length, and so many bytes.
    async fn ask(&mut self, request: &[u8]) -> anyhow::Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        let mut wanted = None;
        while wanted.is_none_or(|wanted| self.answer.len() < wanted) {
            ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the server hung up");
            if wanted.is_none()
                && let Some(head) = head_of(&self.answer)
            {
                wanted = Some(head + content_length(&self.answer[..head]).context("no content length")?);
            }
        }
        Ok(&self.answer)
    }
}

/// How long the head of an answer is, once it is there.
fn head_of(answer: &[u8]) -> Option<usize> {
    answer.windows(4).position(|window| window == b"\r\n\r\n").map(|end| end + 4)
}

fn content_length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?;
    let named = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    };
    head.lines().find_map(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bare_route_is_read_to_its_end() {
        let bare = Bare::serve("/bare", b"{\"bare\":true}".to_vec()).await.unwrap();
        let mut connection = Connection::open(&bare.address).await.unwrap();
        for _ in 0..2 {
            let answer = connection.ask(&request(&bare.address, "/bare", "token")).await.unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"{\"bare\":true}"));
        }
        assert!(
            burst(&bare.address, &request(&bare.address, "/bare", "token"), CONNECTIONS).await.unwrap() > 0.0
        );
    }
}
