//! A private nats-server with JetStream.

use super::{
    ServerError,
    process::{
        Launch, Process, StopSignal, find_program, free_port, kept_secret, make_folder, not_installed,
        write_private,
    },
};
use crate::clock::Entropy;
use sha2::{Digest, Sha256};
use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    time::timeout,
};

const PROGRAM: &str = "nats-server";
const USER: &str = "rollcall";
/// A frame with its headers must fit; the server's own default is 1 MB.
const MAX_PAYLOAD_BYTES: u32 = 8 * 1024 * 1024;
/// How long one "are you there?" may take.
const PROBE: Duration = Duration::from_secs(1);
/// Another process can take a free port before the server does.
const PORT_TRIES: u32 = 5;

/// How a private nats-server runs.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// Where its streams, configuration, password and log are kept.
    pub folder: PathBuf,
    /// The port on the loopback; a free one when absent.
    pub port: Option<u16>,
    /// What all its streams may reserve together; the server's own choice (three quarters of the disk) when absent.
    pub max_store_bytes: Option<u64>,
}

/// A private nats-server. Dropping it tells the server to stop; [`NatsServer::stop`] also waits for it.
pub struct NatsServer {
    options: NatsOptions,
    port: u16,
    password: String,
    process: Process,
}

impl NatsServer {
    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed, its folder is in use or unusable, or it does not start.
    pub async fn start(options: NatsOptions, entropy: &Entropy) -> Result<Self, ServerError> {
        make_folder(&options.folder)?;
        let password = kept_secret(&options.folder.join("password"), || entropy.secret())?;
        let mut tries = PORT_TRIES;
        loop {
            let port = options.port.map_or_else(free_port, Ok)?;
            match launch(&options, port, &password).await {
                Ok(process) => return Ok(Self { options, port, password, process }),
                Err(ServerError::Ended { .. }) if options.port.is_none() && tries > 1 => tries -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// The program that would be started.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn program() -> Result<PathBuf, ServerError> {
        find_program(PROGRAM, std::env::var_os("PATH").as_deref())
            .ok_or_else(|| not_installed(PROGRAM, "nats-server"))
    }

    /// Where it is, with user and password: a secret.
    pub fn url(&self) -> String {
        format!("nats://{USER}:{}@127.0.0.1:{}", self.password, self.port)
    }

    /// The port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until the server has ended, whoever brought that about.
    pub async fn ended(&mut self) {
        self.process.ended().await;
    }

    /// Stops it in order.
    pub async fn stop(&mut self) {
        self.process.stop().await;
    }

    /// Kills it as `kill -9` does.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts it again, at the same address and with the same data, after it was stopped or killed.
    ///
    /// # Errors
    /// As [`NatsServer::start`].
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        self.process.stop().await;
        self.process = launch(&self.options, self.port, &self.password).await?;
        Ok(())
    }
}

async fn launch(options: &NatsOptions, port: u16, password: &str) -> Result<Process, ServerError> {
    let program = NatsServer::program()?;
    let config = options.folder.join("nats.conf");
    write_private(&config, &configuration(options, port, password))?;
    let launch = Launch {
        program: PROGRAM,
        command: vec![program.display().to_string(), "-c".into(), config.display().to_string()],
        privileges: &[],
        stop_signal: StopSignal::Terminate,
        folder: &options.folder,
    };
    let mut process = Process::start(&launch).await?;
    process.wait_until(&launch, |_| answers(port, password)).await?;
    Ok(process)
}

fn configuration(options: &NatsOptions, port: u16, password: &str) -> String {
    let store = quoted(&options.folder.join("jetstream"));
    let limit =
        options.max_store_bytes.map(|bytes| format!("\n  max_file_store: {bytes}")).unwrap_or_default();
    format!(
        "# Written anew at every start.\n\
         listen: \"{}:{port}\"\n\
         server_name: {}\n\
         max_payload: {MAX_PAYLOAD_BYTES}\n\
         authorization {{ user: {USER}, password: \"{password}\" }}\n\
         jetstream {{\n  store_dir: {store}{limit}\n}}\n",
        Ipv4Addr::LOCALHOST,
        name(password)
    )
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

/// A name that no other server has: it must not be taken for ours when it holds the port.
fn name(password: &str) -> String {
    format!("rollcall-{}", hex::encode(&Sha256::digest(password)[..8]))
}

/// The server greets with `INFO` once its streams are recovered.
async fn answers(port: u16, password: &str) -> bool {
    let greeting = async {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.ok()?;
        Some(line.starts_with("INFO ") && line.contains(&name(password)))
    };
    matches!(timeout(PROBE, greeting).await, Ok(Some(true)))
}
