//! Clients of Socket.IO in processes of their own, so that a service and its ten thousand clients share the machine and
//! nothing else. `rollcall bench-crowd` is one such process: it connects, joins a session, and says when the last of its
//! clients has heard of each mark.

use anyhow::{Context, bail, ensure};
use futures::{SinkExt, StreamExt, TryStreamExt, stream};
use rollcall_service::clock::Clock;
use serde_json::json;
use std::{
    collections::HashMap,
    io::{BufRead, stdin},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

/// How many of one process connect at the same time.
const CONNECTING: usize = 25;
/// What is read at once: events are short, and clients are many.
const READ_BYTES: usize = 1024;
const CONNECTED_WITHIN: Duration = Duration::from_secs(300);
const HEARD_WITHIN: Duration = Duration::from_secs(60);
/// How often a client asks for the session: the database was started again, and each of the api's connections fails once.
const TRIES: usize = 50;
const READY: &str = "ready";

/// Watches a session with many clients. The access token comes on standard input.
#[derive(clap::Args)]
pub struct BenchCrowd {
    /// Address of the api, such as `127.0.0.1:8080`.
    #[arg(long)]
    address: String,
    /// The session.
    #[arg(long)]
    session: String,
    /// How many clients.
    #[arg(long)]
    clients: usize,
}

type Wire = WebSocketStream<TcpStream>;

/// Runs `rollcall bench-crowd`, until it is killed.
///
/// # Errors
/// When a client cannot connect, or is cut off.
pub async fn run(crowd: BenchCrowd) -> anyhow::Result<()> {
    let mut token = String::new();
    stdin().lock().read_line(&mut token)?;
    let joining = stream::iter(0..crowd.clients).map(|_| join(&crowd, token.trim()));
    let wires: Vec<Wire> = joining.buffer_unordered(CONNECTING).try_collect().await?;
    println!("{READY}");
    let (heard, hearing) = unbounded_channel();
    let mut clients = JoinSet::new();
    for wire in wires {
        clients.spawn(listen(wire, heard.clone()));
    }
    tokio::select! {
        () = report(hearing, crowd.clients) => Ok(()),
        ended = clients.join_next() => bail!("a client was cut off: {ended:?}"),
    }
}

/// Says of each student when the last client heard that they were marked.
async fn report(mut hearing: UnboundedReceiver<(String, i64)>, clients: usize) {
    let mut marks = HashMap::<String, (usize, i64)>::new();
    while let Some((student, at)) = hearing.recv().await {
        let (count, last) = marks.entry(student.clone()).or_default();
        (*count, *last) = (*count + 1, at.max(*last));
        if *count == clients {
            println!("{student} {last}");
        }
    }
}

async fn join(crowd: &BenchCrowd, token: &str) -> anyhow::Result<Wire> {
    let stream = TcpStream::connect(&crowd.address).await.context("a client cannot connect")?;
    let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", crowd.address);
    let config = WebSocketConfig::default().read_buffer_size(READ_BYTES);
    let (mut wire, _) = client_async_with_config(url, stream, Some(config)).await?;
    expect(&mut wire, "0").await?;
    wire.send(Message::text(format!("40{}", json!({ "token": token })))).await?;
    expect(&mut wire, "40").await?;
    let join = json!(["join-session", { "sessionId": crowd.session }]);
    let mut answer = String::new();
    for _ in 0..TRIES {
        wire.send(Message::text(format!("420{join}"))).await?;
        answer = expect(&mut wire, "430").await?;
        if answer.contains(r#""success":true"#) {
            return Ok(wire);
        }
    }
    bail!("the session was not joined: {answer}")
}

/// The next packet, which begins like this; signs of life are answered.
async fn expect(wire: &mut Wire, prefix: &str) -> anyhow::Result<String> {
    loop {
        let message = wire.next().await.context("the server closed the connection")??;
        match message.to_text()? {
            "2" => wire.send(Message::text("3")).await?,
            text => {
                ensure!(text.starts_with(prefix), "the server said {text}");
                return Ok(text.to_owned());
            }
        }
    }
}

/// Tells of each mark by the student alone: thousands of clients share our cores with the service.
async fn listen(mut wire: Wire, heard: UnboundedSender<(String, i64)>) -> anyhow::Result<()> {
    const STUDENT: &str = r#""studentId":""#;
    let clock = Clock::real();
    loop {
        let packet = expect(&mut wire, "42").await?;
        let at = clock.now().timestamp_micros();
        let Some(begin) = packet.find(STUDENT).map(|place| place + STUDENT.len()) else { continue };
        let student = packet[begin..].split('"').next().unwrap_or_default();
        // Whoever counts has ended, and so does the process.
        let _ = heard.send((student.to_owned(), at));
    }
}

/// Clients in processes of their own; they end with this.
pub struct Crowd {
    processes: Vec<(Child, Lines<BufReader<ChildStdout>>)>,
}

impl Crowd {
    /// Connects `clients` clients, which are in that session's room when this returns.
    ///
    /// # Errors
    /// When one of them cannot.
    pub async fn gather(
        address: &str,
        (session, token): (&str, &str),
        (clients, processes): (usize, usize),
    ) -> anyhow::Result<Self> {
        let mut crowd = Self { processes: Vec::new() };
        for _ in 0..processes {
            let mut child = Command::new(std::env::current_exe().context("finding this program")?)
                .args(["bench-crowd", "--address", address, "--session", session, "--clients"])
                .arg((clients / processes).to_string())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .context("starting clients")?;
            let mut input = child.stdin.take().context("the clients' input")?;
            input.write_all(format!("{token}\n").as_bytes()).await?;
            let output = child.stdout.take().context("the clients' output")?;
            crowd.processes.push((child, BufReader::new(output).lines()));
        }
        for (_, lines) in &mut crowd.processes {
            let line =
                timeout(CONNECTED_WITHIN, lines.next_line()).await.context("clients do not connect")??;
            ensure!(line.as_deref() == Some(READY), "clients could not connect");
        }
        Ok(crowd)
    }

    /// When the last client heard of each of `marks` marks, by student, in microseconds since 1970.
    ///
    /// # Errors
    /// When one of them does not hear of one.
    pub async fn heard(&mut self, marks: usize) -> anyhow::Result<HashMap<String, i64>> {
        let mut heard = HashMap::new();
        for (_, lines) in &mut self.processes {
            for _ in 0..marks {
                let line =
                    timeout(HEARD_WITHIN, lines.next_line()).await.context("marks were not heard")??;
                let line = line.context("clients were cut off")?;
                let (student, at) = line.split_once(' ').context("an unreadable line")?;
                let last = heard.entry(student.to_owned()).or_default();
                *last = at.parse::<i64>()?.max(*last);
            }
        }
        ensure!(heard.len() == marks, "{} marks were heard instead of {marks}", heard.len());
        Ok(heard)
    }
}
