//! `rollcall bench`: each figure beside its limit or its peer, measured in the same run on the same servers, with the
//! machine named. A figure by itself says little, and figures of different runs are never compared.
//!
//! Each benchmark is a module; here is which of them run, and what is made of their figures. They judge nothing: whether
//! an aim is met stands in the table, and only a benchmark that could not be run is an error.

mod camera;
pub mod crowd;
mod deployment;
mod frames;
mod ingest;
mod latency;
mod live;
mod load;
mod logins;
mod machine;
mod memory;
mod photographs;
mod postgres;
mod process;
mod reads;
mod report;
mod reports;
mod rooms;
mod scans;
mod school;
mod search;
mod soak;

use crate::config::Config;
use anyhow::{Context, bail};
use clap::ValueEnum;
use machine::Machine;
use report::Report;
use std::path::PathBuf;

/// Measures Rollcall on this machine, with private servers.
#[derive(clap::Args)]
pub struct Bench {
    /// What to measure: all but `soak` when nothing is named.
    #[arg(value_enum)]
    names: Vec<Name>,
    /// Measure little: to see that it works, not how well.
    #[arg(long)]
    quick: bool,
    /// How long `soak` takes.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(2..))]
    minutes: u32,
    /// Write the figures to a file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// The pipeline against decoding and running the networks alone.
    Frames,
    /// HTTP frames against publishing directly.
    Ingest,
    /// QR marks against pgbench.
    Scans,
    /// An authenticated read against a bare route.
    Reads,
    /// Reports of a large class against the statements that they rest on.
    Reports,
    /// Sign-ins against bcrypt alone.
    Logins,
    /// From the commit to the last of 1,000 streams of events, and of 10,000 clients of Socket.IO, and what those cost.
    Live,
    /// Finding a face against reading memory.
    Search,
    /// What each service keeps in memory.
    Memory,
    /// An hour of load.
    Soak,
}

/// How much is measured.
#[derive(Clone, Copy)]
struct Scope {
    quick: bool,
    minutes: u32,
}

/// Runs the benchmarks and prints their figures.
///
/// # Errors
/// When one could not be run; the others are run and shown all the same.
pub async fn run(bench: Bench, config: Config) -> anyhow::Result<()> {
    let machine = Machine::here();
    println!("{machine}");
    let scope = Scope { quick: bench.quick, minutes: bench.minutes };
    let mut report = Report::new(machine);
    let mut failed = Vec::new();
    for name in bench.wanted() {
        println!("\n{}", title(name));
        let ran = tokio::select! {
            ran = measure(name, scope, &config, &mut report) => ran,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        };
        if let Err(error) = ran {
            println!("  could not be measured: {error:#}");
            failed.push(title(name));
        }
    }
    println!("\n{}\n{}", report.machine, report.table());
    report.skipped.iter().for_each(|skipped| println!("skipped: {skipped}"));
    if let Some(file) = &bench.json {
        let json = serde_json::to_vec_pretty(&report)?;
        std::fs::write(file, json).with_context(|| format!("writing {}", file.display()))?;
    }
    if failed.is_empty() { Ok(()) } else { bail!("could not measure {}", failed.join(", ")) }
}

impl Bench {
    fn wanted(&self) -> Vec<Name> {
        if self.names.is_empty() {
            Name::value_variants().iter().copied().filter(|name| *name != Name::Soak).collect()
        } else {
            self.names.clone()
        }
    }
}

async fn measure(name: Name, scope: Scope, config: &Config, report: &mut Report) -> anyhow::Result<()> {
    match name {
        Name::Frames => frames::run(scope, config, report).await,
        Name::Ingest => ingest::run(scope, config, report).await,
        Name::Scans => scans::run(scope, config, report).await,
        Name::Reads => reads::run(scope, config, report).await,
        Name::Reports => reports::run(scope, config, report).await,
        Name::Logins => logins::run(scope, config, report).await,
        Name::Live => {
            live::run(scope, config, report).await?;
            rooms::run(scope, config, report).await
        }
        Name::Search => search::run(scope, report).await,
        Name::Memory => memory::run(scope, config, report).await,
        Name::Soak => soak::run(scope, config, report).await,
    }
}

fn title(name: Name) -> String {
    name.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
