//! A private PostgreSQL.
//!
//! PostgreSQL refuses to run as root: there, `setpriv` makes it run as Debian's `postgres` account, in place, so that
//! the process we start is the server. Otherwise it runs as whoever we are.

use super::{
    ServerError, during,
    process::{
        Launch, Process, StopSignal, find_program, free_port, kept_secret, make_folder, not_installed,
        write_private,
    },
};
use crate::clock::Entropy;
use std::{
    io,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::{io::AsyncWriteExt, process::Command};

const PROGRAM: &str = "postgres";
/// The account Debian's packages make.
const ACCOUNT: &str = "postgres";
const USER: &str = "rollcall";
const DATABASE: &str = "rollcall";
/// Where Debian keeps each major version.
const VERSIONS: &str = "/usr/lib/postgresql";
const AS_ACCOUNT: &[&str] = &["--reuid=postgres", "--regid=postgres", "--init-groups"];
/// Another process can take a free port before the server does.
const PORT_TRIES: u32 = 5;
/// Statements and rows hold personal data, so the server's own log shows neither.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "log_error_verbosity=terse",
    "log_min_error_statement=panic",
];

/// How a private PostgreSQL runs.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Where its data, password and log are kept.
    pub folder: PathBuf,
    /// The port on the loopback; a free one when absent.
    pub port: Option<u16>,
    /// Connections it takes at the same time.
    pub max_connections: u16,
    /// Whether a committed row survives a power cut. Only tests can do without.
    pub durable: bool,
}

/// A private PostgreSQL. Dropping it tells the server to stop; [`PostgresServer::stop`] also waits for it.
pub struct PostgresServer {
    cluster: Cluster,
    port: u16,
    process: Process,
}

impl PostgresServer {
    /// Starts the server, after making its data folder if there is none, and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed, its folder is in use or unusable, or it does not start.
    pub async fn start(options: PostgresOptions, entropy: &Entropy) -> Result<Self, ServerError> {
        let cluster = Cluster::open(options, entropy).await?;
        let mut tries = PORT_TRIES;
        loop {
            let port = cluster.options.port.map_or_else(free_port, Ok)?;
            match cluster.launch(port).await {
                Ok(process) => return Ok(Self { cluster, port, process }),
                Err(ServerError::Ended { .. }) if cluster.options.port.is_none() && tries > 1 => tries -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// The folder of programs that new data would be made with.
    ///
    /// # Errors
    /// When they are not installed.
    pub fn programs() -> Result<PathBuf, ServerError> {
        programs(Path::new(""))
    }

    /// Where its database is, with user and password: a secret.
    pub fn url(&self) -> String {
        self.url_of(DATABASE)
    }

    /// Where another of its databases is, with user and password: a secret.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/{database}", self.cluster.password, self.port)
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

    /// Stops it in order: open transactions are rolled back, connections closed.
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
    /// As [`PostgresServer::start`].
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        self.process.stop().await;
        self.process = self.cluster.launch(self.port).await?;
        Ok(())
    }
}

/// The folder of a server, and the programs that fit it.
struct Cluster {
    options: PostgresOptions,
    programs: PathBuf,
    privileges: &'static [&'static str],
    password: String,
}

impl Cluster {
    async fn open(options: PostgresOptions, entropy: &Entropy) -> Result<Self, ServerError> {
        let privileges = if rustix::process::geteuid().is_root() { AS_ACCOUNT } else { &[] };
        make_folder(&options.folder)?;
        let programs = programs(&options.folder.join("data"))?;
        let password_file = options.folder.join("password");
        let password = kept_secret(&password_file, || entropy.secret())?;
        let cluster = Self { options, programs, privileges, password };
        if !privileges.is_empty() {
            cluster.hand_over(&password_file).await?;
        }
        if !cluster.data().join("PG_VERSION").exists() {
            cluster.initialise(&password_file).await?;
        }
        Ok(cluster)
    }

    fn data(&self) -> PathBuf {
        self.options.folder.join("data")
    }

    /// Gives the folder to the account that will run the server, and sees that it can get there.
    async fn hand_over(&self, password_file: &Path) -> Result<(), ServerError> {
        let folder = &self.options.folder;
        let uid = account_id("-u").await?;
        let gid = account_id("-g").await?;
        for path in [folder, password_file] {
            during(|| format!("giving {} to {ACCOUNT}", path.display()), chown(path, Some(uid), Some(gid)))?;
        }
        let mut enter = Command::new("setpriv");
        enter.args(self.privileges).args(["--", "test", "-x"]).arg(folder).current_dir("/");
        let entered = during(|| "running setpriv".into(), enter.status().await)?;
        if entered.success() { Ok(()) } else { Err(ServerError::Unreachable(folder.clone())) }
    }

    /// Makes the data folder beside its place, so that one half made is never taken for a whole.
    async fn initialise(&self, password_file: &Path) -> Result<(), ServerError> {
        let unfinished = self.options.folder.join("data.new");
        if unfinished.exists() {
            during(|| format!("removing {}", unfinished.display()), std::fs::remove_dir_all(&unfinished))?;
        }
        let new = unfinished.display().to_string();
        let password_file = format!("--pwfile={}", password_file.display());
        let locale = ["--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", "--no-sync"];
        let initdb = [&["-D", &new, "-U", USER, &password_file][..], &locale].concat();
        self.run("initdb", &initdb, "").await?;
        let single = ["--single", "-D", &new, "-c", "log_checkpoints=off", "postgres"];
        self.run(PROGRAM, &single, &format!("CREATE DATABASE {DATABASE}\n")).await?;
        let data = self.data();
        during(|| format!("making {}", data.display()), std::fs::rename(&unfinished, &data))
    }

    /// Runs one of PostgreSQL's programs to its end.
    async fn run(&self, program: &str, arguments: &[&str], input: &str) -> Result<(), ServerError> {
        let context = || format!("running {program}");
        let mut command = Command::new("setpriv");
        command.args(self.privileges).arg("--").arg(self.programs.join(program)).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = during(context, command.current_dir("/").spawn())?;
        let mut stdin = child.stdin.take().expect("it was asked for above");
        during(context, stdin.write_all(input.as_bytes()).await)?;
        drop(stdin);
        let output = during(context, child.wait_with_output().await)?;
        if output.status.success() {
            return Ok(());
        }
        let log = self.options.folder.join(format!("{program}.log"));
        let tail = String::from_utf8_lossy(&output.stderr).into_owned();
        write_private(&log, &tail)?;
        Err(ServerError::Ended { program: program.to_owned(), log, tail })
    }

    async fn launch(&self, port: u16) -> Result<Process, ServerError> {
        let mut command = vec![self.programs.join(PROGRAM).display().to_string()];
        let on = if self.options.durable { "on" } else { "off" };
        let own = [
            format!("port={port}"),
            format!("max_connections={}", self.options.max_connections),
            format!("fsync={on}"),
            format!("full_page_writes={on}"),
        ];
        command.extend(["-D".into(), self.data().display().to_string()]);
        for setting in SETTINGS.iter().copied().chain(own.iter().map(String::as_str)) {
            command.extend(["-c".into(), setting.into()]);
        }
        let launch = Launch {
            program: PROGRAM,
            command,
            privileges: self.privileges,
            stop_signal: StopSignal::Interrupt,
            folder: &self.options.folder,
        };
        let mut process = Process::start(&launch).await?;
        process.wait_until(&launch, |pid| std::future::ready(self.is_ready(pid))).await?;
        Ok(process)
    }

    /// Whether this very process takes connections, by what it writes into its data folder as `pg_ctl` reads it: the
    /// first line is its pid, the eighth its state. Asking the port could be answered by another server.
    fn is_ready(&self, pid: u32) -> bool {
        let status = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let mut lines = status.lines().map(str::trim);
        lines.next() == Some(&pid.to_string()) && lines.nth(6) == Some("ready")
    }
}

/// The folder of programs that can run the data: its own version's, or the newest for new data.
fn programs(data: &Path) -> Result<PathBuf, ServerError> {
    let usable = |folder: &PathBuf| ["postgres", "initdb"].iter().all(|name| folder.join(name).is_file());
    if let Ok(version) = std::fs::read_to_string(data.join("PG_VERSION")) {
        let version = version.trim();
        let folder = Path::new(VERSIONS).join(version).join("bin");
        return Some(folder).filter(usable).or_else(|| in_path(usable)).ok_or_else(|| {
            not_installed(
                &format!("PostgreSQL {version}, which wrote the data,"),
                &format!("postgresql-{version}"),
            )
        });
    }
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let newest = versions
        .map(|entry| entry.path().join("bin"))
        .filter(usable)
        .max_by_key(|folder| folder.parent().and_then(Path::file_name)?.to_str()?.parse::<u32>().ok());
    newest.or_else(|| in_path(usable)).ok_or_else(|| not_installed("PostgreSQL", "postgresql"))
}

fn in_path(usable: impl Fn(&PathBuf) -> bool) -> Option<PathBuf> {
    let program = find_program(PROGRAM, std::env::var_os("PATH").as_deref())?;
    program.parent().map(Path::to_owned).filter(usable)
}

async fn account_id(which: &str) -> Result<u32, ServerError> {
    let output = during(|| "running id".into(), Command::new("id").args([which, ACCOUNT]).output().await)?;
    let id = String::from_utf8_lossy(&output.stdout).trim().parse();
    let no_account =
        |_| io::Error::other(format!("there is no account {ACCOUNT}; the package postgresql makes it"));
    during(|| "looking for the account that runs PostgreSQL".into(), id.map_err(no_account))
}
