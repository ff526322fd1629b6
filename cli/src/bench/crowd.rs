//! Clients of Socket.IO in processes of their own, so that a service and its ten thousand clients share the machine and
//! nothing else. `rollcall bench-crowd` is one such process: it connects, joins a session, and says when the last of its
//! clients has heard of each mark.

use anyhow::{Context, bail, ensure};
use futures::{SinkExt, StreamExt, stream};
use rollcall_service::clock::Clock;
use serde_json::json;
use std::{
    collections::HashMap,
    io::{BufRead, stdin},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::pin,
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{TcpSocket, TcpStream},
    process::{Child, ChildStdout, Command},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

/// How many of one process connect at the same time.
const CONNECTING: usize = 25;
/// What is read at once: events are short, and clients are many.
const READ_BYTES: usize = 1024;
/// Whoever is not connected by then stays away.
const CONNECTED_WITHIN: Duration = Duration::from_secs(300);
/// All marks together, once all of them are made.
const HEARD_WITHIN: Duration = Duration::from_secs(60);
/// How often a client asks for the session: the database was started again, and each of the api's connections fails once.
const TRIES: usize = 50;

/// Watches a session with many clients. The access token comes on standard input.
#[derive(clap::Args)]
pub struct BenchCrowd {
    /// Address of the api, such as `127.0.0.1:8080`.
    #[arg(long)]
    address: SocketAddr,
    /// Address that the clients come from: each has ports of its own.
    #[arg(long)]
    from: IpAddr,
    /// The session.
    #[arg(long)]
    session: String,
    /// How many clients.
    #[arg(long)]
    clients: usize,
}

type Wire = WebSocketStream<TcpStream>;

/// Runs `rollcall bench-crowd`, until it is killed. Says how many clients are connected, and then of each student when the
/// last of them heard that they were marked.
///
/// # Errors
/// When no client can connect, and when one is cut off.
pub async fn run(crowd: BenchCrowd) -> anyhow::Result<()> {
    let mut token = String::new();
    stdin().lock().read_line(&mut token)?;
    let (heard, hearing) = unbounded_channel();
    let mut clients = JoinSet::new();
    let late = sleep(CONNECTED_WITHIN);
    let joining = stream::iter(0..crowd.clients).map(|_| join(&crowd, token.trim()));
    let mut joining = pin!(joining.buffer_unordered(CONNECTING).take_until(late));
    let mut refused = None;
    while let Some(joined) = joining.next().await {
        match joined {
            // From now on it must listen: a client that shows no sign of life while others connect is cut off.
            Ok(wire) => drop(clients.spawn(listen(wire, heard.clone()))),
            Err(error) => refused = Some(error),
        }
    }
    let connected = clients.len();
    match refused {
        Some(error) if connected == 0 => return Err(error.context("no client could connect")),
        Some(error) => eprintln!("only {connected} of {} clients could connect: {error:#}", crowd.clients),
        None => {}
    }
    println!("{connected}");
    tokio::select! {
        () = report(hearing, connected) => Ok(()),
        ended = clients.join_next() => bail!("a client was cut off: {ended:?}"),
    }
}

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
    let socket = TcpSocket::new_v4()?;
    socket.bind((crowd.from, 0).into()).context("a client has no port")?;
    let stream = socket.connect(crowd.address).await.context("a client cannot connect")?;
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
    /// How many are in the room.
    pub connected: usize,
    /// How long it took until they were.
    pub took: Duration,
    processes: Vec<(Child, Lines<BufReader<ChildStdout>>)>,
}

impl Crowd {
    /// Connects `clients` clients. Those that could are in that session's room when this returns.
    ///
    /// # Errors
    /// When those of one process cannot at all.
    pub async fn gather(
        address: &str,
        (session, token): (&str, &str),
        (clients, processes): (usize, u8),
    ) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let mut crowd = Self { connected: 0, took: Duration::ZERO, processes: Vec::new() };
        for number in 1..=processes {
            let from = Ipv4Addr::new(127, 0, 1, number).to_string();
            let mut child = Command::new(std::env::current_exe().context("finding this program")?)
                .args([
                    "bench-crowd",
                    "--address",
                    address,
                    "--from",
                    &from,
                    "--session",
                    session,
                    "--clients",
                ])
                .arg((clients / usize::from(processes)).to_string())
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
            let connected = lines.next_line().await?.context("clients could not connect")?;
            crowd.connected += connected.parse::<usize>()?;
        }
        crowd.took = begun.elapsed();
        Ok(crowd)
    }

    /// When the last client heard of each of `marks` marks, by student, in microseconds since 1970.
    ///
    /// # Errors
    /// When one of them does not hear of one.
    pub async fn heard(&mut self, marks: usize) -> anyhow::Result<HashMap<String, i64>> {
        let heard = timeout(HEARD_WITHIN, self.hear(marks)).await.context("marks were not heard")??;
        ensure!(heard.len() == marks, "{} marks were heard instead of {marks}", heard.len());
        Ok(heard)
    }

    async fn hear(&mut self, marks: usize) -> anyhow::Result<HashMap<String, i64>> {
        let mut heard = HashMap::new();
        for (_, lines) in &mut self.processes {
            for _ in 0..marks {
                let line = lines.next_line().await?.context("clients were cut off")?;
                let (student, at) = line.split_once(' ').context("an unreadable line")?;
                let last = heard.entry(student.to_owned()).or_default();
                *last = at.parse::<i64>()?.max(*last);
            }
        }
        Ok(heard)
    }
}
