//! A service as a child process, as in a real deployment, and what the system says of a process: processor time and
//! memory.

use anyhow::{Context, bail};
use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

const START_DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// A service of Rollcall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Takes frames and scans.
    Ingest,
    /// Finds faces.
    FaceWorker,
    /// Decides and records.
    AttendanceWorker,
    /// Serves people.
    Api,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::FaceWorker, Self::AttendanceWorker, Self::Api];

    /// Its subcommand.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::FaceWorker => "face-worker",
            Self::AttendanceWorker => "attendance-worker",
            Self::Api => "api",
        }
    }
}

/// A running service; dropping it kills it.
pub struct ServiceProcess {
    /// Which one.
    pub service: Service,
    /// Its address, such as `http://127.0.0.1:41234`.
    pub address: String,
    /// Its process.
    pub pid: u32,
    child: Child,
    log: PathBuf,
}

impl ServiceProcess {
    /// Starts `service` of this very program with `settings` in its environment, and waits until it is ready. Its log
    /// goes into `folder`.
    ///
    /// # Errors
    /// When it ends or is not ready in time; the message has the end of its log.
    pub async fn start(
        service: Service,
        settings: &[(String, String)],
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let name = service.name();
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("making {}", log.display()))?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let child = Command::new(std::env::current_exe().context("finding this program")?)
            .arg(name)
            .envs(settings.iter().map(|(key, value)| (key, value)))
            .env("ROLLCALL_LISTEN", &listen)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let pid = child.id().context("the service ended at once")?;
        let mut process = Self { service, address: format!("http://{listen}"), pid, child, log };
        process.wait_until_ready().await?;
        Ok(process)
    }

    /// Kills it and waits until it is gone.
    pub async fn kill(&mut self) {
        // It may have ended by itself: then there is nothing to kill.
        let _ = self.child.kill().await;
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let (name, url) = (self.service.name(), format!("{}/ready", self.address));
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            if reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{name} ended with {status}; its log:\n{}", self.tail());
            }
            if Instant::now() > deadline {
                bail!("{name} is not ready after {} s; its log:\n{}", START_DEADLINE.as_secs(), self.tail());
            }
            sleep(POLL).await;
        }
    }

    fn tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// Processor time that a process has taken, all its threads together, in seconds (proc(5), `utime` and `stime`).
///
/// # Errors
/// When there is no such process.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat =
        fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    // The second field is the program's name in parentheses and may hold anything; after it, utime is the 12th.
    let fields: Vec<_> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<u64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).context("an unreadable line in /proc")?;
    Ok((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Memory of a process that is in RAM, in MB (proc(5), `VmRSS`).
///
/// # Errors
/// When there is no such process.
pub fn resident_mb(pid: u32) -> anyhow::Result<f64> {
    status_mb(pid, "VmRSS:")
}

/// The part of [`resident_mb`] that the process has for itself (proc(5), `RssAnon`). The rest is mostly the binary, whose
/// pages every process of it shares.
///
/// # Errors
/// When there is no such process.
pub fn own_mb(pid: u32) -> anyhow::Result<f64> {
    status_mb(pid, "RssAnon:")
}

fn status_mb(pid: u32, field: &'static str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} is gone"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib: f64 = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).context(field)?;
    Ok(kib * 1024.0 / 1e6)
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("finding a free port")?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_taken_time_and_memory() {
        let pid = std::process::id();
        assert!(resident_mb(pid).unwrap() > own_mb(pid).unwrap() && own_mb(pid).unwrap() > 0.0);
        let before = cpu_seconds(pid).unwrap();
        let mut sum = 0u64;
        while cpu_seconds(pid).unwrap() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }
}
