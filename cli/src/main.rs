//! The one binary: every service, and every tool around them. Each command is a module; what they do is in the crates.

// A binary has no outside: here `pub` says that other modules use it. And this is the one crate that talks to a terminal.
#![allow(unreachable_pub, clippy::print_stdout, clippy::print_stderr)]
// The demo and the benchmarks, which a slim binary does not have, use more of the modules than the rest.
#![cfg_attr(not(feature = "face"), allow(dead_code))]

mod admin;
mod audit;
#[cfg(feature = "face")]
mod bench;
mod client;
mod config;
mod contract;
#[cfg(feature = "face")]
mod demo;
mod doctor;
#[cfg(feature = "face")]
mod identify;
mod ledger;
#[cfg(feature = "face")]
mod models;
mod open_files;
mod replay;
mod run;
mod up;
mod watch;

use anyhow::Context;
use clap::{Parser, Subcommand};
use config::Config;
use rollcall_service::{config::Sources, http::use_ring, telemetry};
#[cfg(feature = "face")]
use std::os::unix::process::CommandExt;
use std::{path::PathBuf, process::ExitCode};
use tracing::{Instrument, info_span};

/// See adr/0021.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Camera frames and QR scans become attendance records that people can trust.
#[derive(Parser)]
#[command(name = "rollcall", version, propagate_version = true)]
struct Cli {
    /// Settings; `rollcall.toml` of the current folder when absent. The environment goes over it.
    #[arg(long, global = true, env = "ROLLCALL_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything on one address, with private servers where none are configured.
    Up,
    /// Run the service that takes frames and scans.
    Ingest,
    /// Run the service that finds and compares faces.
    #[cfg(feature = "face")]
    FaceWorker,
    /// Run the service that decides and records.
    AttendanceWorker,
    /// Run the service for people: REST, live events, documents.
    Api,
    /// Bring the database's schema up to date.
    Migrate,
    /// Say what is missing, and where the networks really run.
    Doctor,
    /// Model packs: list, pull, verify.
    #[cfg(feature = "face")]
    #[command(subcommand)]
    Models(models::Models),
    /// Publish stored frames again: a folder, a video, or a range of the log.
    Replay(replay::Replay),
    /// Watch live events in the terminal.
    Watch(watch::Watch),
    /// Balance every accepted frame against what became of it.
    Ledger(ledger::Ledger),
    /// What the active model pack sees in images.
    #[cfg(feature = "face")]
    Identify(identify::Identify),
    /// Accounts.
    #[command(subcommand)]
    Admin(admin::Admin),
    /// Who did what: whether the record of it is whole, and a copy.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Print the OpenAPI document.
    Openapi,
    /// Print the AsyncAPI document.
    Asyncapi,
    /// Print every setting with its default.
    Settings,
    /// See the whole product at work on real photographs.
    #[cfg(feature = "face")]
    Demo,
    /// Measure this machine: each figure beside its limit or its peer.
    #[cfg(feature = "face")]
    Bench(bench::Bench),
    /// Part of a benchmark, which starts it.
    #[cfg(feature = "face")]
    #[command(hide = true)]
    BenchCrowd(bench::crowd::BenchCrowd),
}

/// What tools log: they talk to the person in front of them.
const TOOL_FILTER: &str = "error";

/// How a command lives.
enum Kind {
    /// Runs until it is stopped, and logs.
    Service,
    /// Runs a deployment of its own, for a person to see.
    Stage,
    /// Works beside a deployment: the one in the data folder, where the settings name none.
    Tool,
}

impl Command {
    fn kind(&self) -> Kind {
        match self {
            Command::Up | Command::Ingest | Command::AttendanceWorker | Command::Api => Kind::Service,
            #[cfg(feature = "face")]
            Command::FaceWorker => Kind::Service,
            #[cfg(feature = "face")]
            Command::Demo => Kind::Stage,
            _ => Kind::Tool,
        }
    }
}

fn main() -> ExitCode {
    #[cfg(feature = "face")]
    search_in_one_thread();
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rollcall: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Starts this program anew with one thread for each search.
///
/// FAISS divides even a single search among all cores and waits for the slowest, though our searches run beside one
/// another already: with the cores busy, one among 10,000 took 8 ms instead of 0.2. OpenMP reads its settings when it is
/// loaded, which is before `main`, so they must be there before the program is.
#[cfg(feature = "face")]
fn search_in_one_thread() {
    const SETTINGS: [(&str, &str); 2] = [("OMP_NUM_THREADS", "1"), ("OPENBLAS_NUM_THREADS", "1")];
    if SETTINGS.iter().all(|(name, _)| std::env::var_os(name).is_some()) {
        return;
    }
    let missing = SETTINGS.into_iter().filter(|(name, _)| std::env::var_os(name).is_none());
    let mut arguments = std::env::args_os();
    if let (Ok(program), Some(name)) = (std::env::current_exe(), arguments.next()) {
        // Returns only when it fails, and then searches are slower, and no more than that.
        let _ = std::process::Command::new(program).arg0(name).args(arguments).envs(missing).exec();
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<()> {
    // What only prints needs neither settings nor a runtime.
    match cli.command {
        Command::Openapi => return contract::print_openapi(),
        Command::Asyncapi => return contract::print_asyncapi(),
        Command::Settings => return config::print(),
        _ => {}
    }
    use_ring();
    let config = Config::load(&Sources::from_environment(cli.config))?;
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    runtime.block_on(execute(cli.command, config))
}

async fn execute(command: Command, mut config: Config) -> anyhow::Result<()> {
    match command.kind() {
        Kind::Service => {
            config.check_secrets()?;
            open_files::raise_limit().context("raising the limit of open files")?;
        }
        Kind::Stage => config.telemetry.filter = TOOL_FILTER.to_owned(),
        Kind::Tool => {
            config.telemetry.filter = TOOL_FILTER.to_owned();
            up::Endpoints::fill_in(&mut config);
        }
    }
    let _telemetry = telemetry::init(&config.telemetry)?;
    match command {
        Command::Up => up::run(config).await,
        Command::Ingest => run::ingest(config).await,
        #[cfg(feature = "face")]
        Command::FaceWorker => run::face_worker(config).await,
        Command::AttendanceWorker => run::attendance_worker(config).await,
        Command::Api => run::api(config).await,
        Command::Migrate => run::migrate(&config).await,
        Command::Doctor => doctor::run(config).await,
        #[cfg(feature = "face")]
        Command::Models(command) => models::run(command, config).await,
        Command::Replay(command) => replay::run(command, &config).await,
        Command::Watch(command) => watch::run(command).await,
        Command::Ledger(command) => ledger::run(command, &config).await,
        #[cfg(feature = "face")]
        Command::Identify(command) => identify::run(command, &config).await,
        // What these do is on record, with the id of a trace.
        Command::Admin(command) => admin::run(command, &config).instrument(info_span!("admin")).await,
        Command::Audit(command) => audit::run(command, &config).instrument(info_span!("audit")).await,
        #[cfg(feature = "face")]
        Command::Demo => demo::run(config).await,
        #[cfg(feature = "face")]
        Command::Bench(command) => bench::run(command, config).await,
        #[cfg(feature = "face")]
        Command::BenchCrowd(command) => bench::crowd::run(command).await,
        Command::Openapi | Command::Asyncapi | Command::Settings => Ok(()),
    }
}
