//! The binary as a process: how it is started, how it is watched, how it ends.

use super::{PATIENCE, wait_until};
use reqwest::Method;
use rollcall_test_support::Client;
use std::{
    fs::{File, OpenOptions},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};
use tokio::process::{Child, Command};

/// Lines of a log that are shown when a test fails.
const TAIL_LINES: usize = 40;

/// The binary, without any setting of the surroundings, killed with the thread that starts it.
pub(crate) fn rollcall() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_rollcall")]);
    command
        .env_clear()
        .envs(["PATH", "HOME", "TMPDIR"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.kill_on_drop(true);
    command
}

/// An address of the loopback that nobody listens on. The kernel does not give it to outgoing connections as long as
/// it has others (it keeps odd and even ports apart), so it stays free while a service is down.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback has free ports");
    listener.local_addr().expect("it is bound")
}

/// Waits until no other test, of whichever process, has a deployment.
pub(crate) async fn take_turn() -> File {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("deployment.lock");
    let lock = move || {
        let file =
            OpenOptions::new().create(true).append(true).open(path).expect("the target folder is writable");
        file.lock().expect("an own file can be locked");
        file
    };
    tokio::task::spawn_blocking(lock).await.expect("locking does not panic")
}

/// A running service.
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    /// A caller without credentials.
    pub(crate) visitor: Client,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts what `command` says, listening at `address`.
    pub(crate) fn spawn(mut command: Command, address: SocketAddr, log: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(log).expect("an own folder is writable");
        let errors = file.try_clone().expect("an open file can be shared");
        command.env("ROLLCALL_LISTEN", address.to_string()).stdin(Stdio::null()).stdout(file).stderr(errors);
        let child = command.spawn().expect("setpriv is installed");
        let visitor = Client::new(&format!("http://{address}"));
        Self { address, visitor, child, log: log.to_owned() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it has not ended")
    }

    /// Waits until it says that it can do its work.
    pub(crate) async fn ready(&mut self) {
        let visitor = self.visitor.clone();
        let ready = wait_until("readiness", async || {
            let answer = visitor.request(Method::GET, "/ready").send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        });
        tokio::select! {
            () = ready => {}
            ended = self.child.wait() => panic!("{} ended: {ended:?}", self.log.display()),
        }
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("it was running");
    }

    /// Asks it to stop, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        let pid = rustix::process::Pid::from_raw(self.pid().cast_signed()).expect("a process has a number");
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is running");
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.expect("it ends in time").expect("a child can be waited for")
    }
}

impl Drop for Process {
    /// Whoever reads a failure wants to know what the process had to say.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            println!(
                "--- {}\n{}",
                self.log.display(),
                lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
            );
        }
    }
}

/// The processes that `pid` has started, and those that they have.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let all: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .expect("/proc is mounted")
        .flatten()
        .filter_map(|entry| {
            let child = entry.file_name().to_str()?.parse().ok()?;
            Some((child, parent_and_state(child)?.0))
        })
        .collect();
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    found.split_off(1)
}

/// Whether a process exists and has not merely not been buried yet.
pub(crate) fn is_running(pid: u32) -> bool {
    parent_and_state(pid).is_some_and(|(_, state)| state != 'Z')
}

/// From `/proc/PID/stat`, whose second field is a name in parentheses that may hold anything.
fn parent_and_state(pid: u32) -> Option<(u32, char)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}

/// Runs a command to its end and gives what it said, with its status.
pub(crate) async fn output(command: &mut Command) -> std::process::Output {
    let ran = command.stdin(Stdio::null()).output();
    tokio::time::timeout(PATIENCE, ran).await.expect("it ends in time").expect("setpriv is installed")
}
