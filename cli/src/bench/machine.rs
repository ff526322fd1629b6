//! The machine that figures were measured on: a figure without it means nothing.

use serde::Serialize;
use std::{fmt, fs, thread::available_parallelism};

/// What figures depend on.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// The processor.
    pub cpu: String,
    /// How many of its cores this process may use.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// Memory in GiB.
    pub memory_gib: f64,
    /// Processes that wanted a core over the last minute, before we began: others' work, if it is not near zero.
    pub load_before: f64,
    /// How this program was built; only `release` figures count.
    pub build: &'static str,
}

impl Machine {
    /// This machine, now.
    pub fn here() -> Self {
        let load = read("/proc/loadavg");
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name")
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_gib: memory_bytes("MemTotal").unwrap_or_default() as f64 / f64::from(1 << 30),
            load_before: load
                .split_whitespace()
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or_default(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, kernel, memory_gib, load_before, build } = self;
        write!(
            f,
            "{cpu}, {cores} cores, {memory_gib:.1} GiB, Linux {kernel}, {build} build, load before {load_before}"
        )
    }
}

/// Memory that can be taken without swapping, in bytes.
pub fn available_bytes() -> u64 {
    memory_bytes("MemAvailable").unwrap_or(u64::MAX)
}

fn memory_bytes(name: &str) -> Option<u64> {
    let kib: u64 = field(&read("/proc/meminfo"), name)?.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// The first `name : value` line.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// What a file of /proc says; nothing on a system without it.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
