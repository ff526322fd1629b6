//! A server as a child process: one at a time per folder, in a process group of its own, dead when its parent is.

use super::{ServerError, during};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsStr,
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::Write,
    net::{Ipv4Addr, TcpListener},
    os::unix::{
        fs::{DirBuilderExt, OpenOptionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, sleep},
};

/// How long a server may take to begin to answer; recovery after a crash is part of it.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How long a predecessor on the same folder may take to be gone.
const LOCK_DEADLINE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);
/// Lines of the log that are shown when a server does not start.
const TAIL_LINES: usize = 15;

/// What a server is started with.
pub(super) struct Launch<'a> {
    /// Its name, for messages.
    pub(super) program: &'a str,
    /// The whole command line, without the `setpriv` that goes in front.
    pub(super) command: Vec<String>,
    /// What `setpriv` does besides tying the child to us.
    pub(super) privileges: &'a [&'a str],
    /// The signal that ends it in order, which it also gets when we are gone.
    pub(super) stop_signal: StopSignal,
    /// Where its lock and its log are.
    pub(super) folder: &'a Path,
}

/// A signal that ends a server in order.
#[derive(Clone, Copy)]
pub(super) enum StopSignal {
    Terminate,
    Interrupt,
}

impl StopSignal {
    fn signal(self) -> Signal {
        match self {
            StopSignal::Terminate => Signal::TERM,
            StopSignal::Interrupt => Signal::INT,
        }
    }

    /// As `setpriv` calls it.
    fn name(self) -> &'static str {
        match self {
            StopSignal::Terminate => "TERM",
            StopSignal::Interrupt => "INT",
        }
    }
}

/// A running child. Dropping it tells the child to stop, without waiting.
pub(super) struct Process {
    pid: Pid,
    stop_signal: StopSignal,
    exited: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    /// Starts the child; it need not answer yet.
    pub(super) async fn start(launch: &Launch<'_>) -> Result<Self, ServerError> {
        let lock = lock(launch.folder, LOCK_DEADLINE).await?;
        let log = launch.folder.join("server.log");
        // One log for each start, and the one before: enough to see what happened, and bounded.
        let _ = std::fs::rename(&log, launch.folder.join("server.log.1"));
        let log = append(&log)?;
        let errors = during(|| "sharing the log".into(), log.try_clone())?;
        let mut command = Command::new("setpriv");
        command
            .args(launch.privileges)
            .args(["--pdeathsig", launch.stop_signal.name(), "--"])
            .args(&launch.command)
            // The child and its own children hold the lock as their standard input: it is free when all are gone,
            // however they went.
            .stdin(Stdio::from(lock))
            .stdout(Stdio::from(log))
            .stderr(Stdio::from(errors))
            .current_dir(launch.folder)
            // A Ctrl-C in the terminal is for us; the servers are told when it is their turn.
            .process_group(0);
        let (pid, exited) = keep(command, launch.program).await?;
        Ok(Self { pid, stop_signal: launch.stop_signal, exited })
    }

    /// Waits until `answers`, which is given the pid, says so.
    pub(super) async fn wait_until<F: Future<Output = bool>>(
        &mut self,
        launch: &Launch<'_>,
        answers: impl Fn(u32) -> F,
    ) -> Result<(), ServerError> {
        let (program, log) = (launch.program.to_owned(), launch.folder.join("server.log"));
        let deadline = Instant::now() + START_DEADLINE;
        while !answers(self.pid()).await {
            if self.exited.borrow().is_some() {
                let tail = tail(&log);
                return Err(ServerError::Ended { program, log, tail });
            }
            if Instant::now() > deadline {
                self.kill().await;
                return Err(ServerError::NoAnswer { program, log });
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Stops the child in order.
    pub(super) async fn stop(&mut self) {
        self.send(self.stop_signal.signal());
        self.ended().await;
    }

    /// Kills the child at once.
    pub(super) async fn kill(&mut self) {
        self.send(Signal::KILL);
        self.ended().await;
    }

    fn send(&self, signal: Signal) {
        if self.exited.borrow().is_none() {
            // It may have gone in between, which is what is wanted.
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Waits for the end, whoever brings it about.
    pub(super) async fn ended(&mut self) {
        // The sender lives in the thread that waits for the child and sends before it goes.
        let _ = self.exited.wait_for(Option::is_some).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.send(self.stop_signal.signal());
    }
}

/// Spawns and reaps the child on a thread of its own. The kernel sends the death signal when the *thread* that forked
/// is gone, and the threads of a runtime come and go.
async fn keep(
    mut command: Command,
    program: &str,
) -> Result<(Pid, watch::Receiver<Option<ExitStatus>>), ServerError> {
    let (started, start) = oneshot::channel();
    let (exit, exited) = watch::channel(None);
    let body = move || {
        let child = command.spawn();
        // Drops our copy of the lock.
        drop(command);
        match child {
            Ok(mut child) => {
                let pid = Pid::from_child(&child);
                // The caller waits for it, unless it was cancelled; then the child is reaped all the same.
                let _ = started.send(Ok(pid));
                exit.send_replace(child.wait().ok());
            }
            Err(error) => drop(started.send(Err(error))),
        }
    };
    let thread = std::thread::Builder::new().name(format!("{program}-keeper")).spawn(body);
    during(|| format!("starting a thread for {program}"), thread)?;
    let pid = start.await.expect("the keeper answers before it ends");
    match pid {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(not_installed("setpriv", "util-linux"))
        }
        pid => Ok((during(|| format!("starting {program}"), pid)?, exited)),
    }
}

/// Takes the lock of a folder, for which a server that is going away may still be waited for.
pub(super) async fn lock(folder: &Path, patience: Duration) -> Result<File, ServerError> {
    let path = folder.join("lock");
    let deadline = Instant::now() + patience;
    let file = append(&path)?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                return Err(ServerError::InUse(folder.to_owned()));
            }
            Err(TryLockError::WouldBlock) => sleep(POLL).await,
            Err(TryLockError::Error(error)) => {
                return during(|| format!("locking {}", path.display()), Err(error));
            }
        }
    }
}

fn append(path: &Path) -> Result<File, ServerError> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    during(|| format!("opening {}", path.display()), file)
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// Makes a folder that only we may enter; those above it are made as the caller's umask says.
pub(super) fn make_folder(path: &Path) -> Result<(), ServerError> {
    let parents = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let made = parents.and_then(|()| DirBuilder::new().recursive(true).mode(0o700).create(path));
    during(|| format!("making the folder {}", path.display()), made)
}

/// Writes a file that only we may read.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), ServerError> {
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    during(
        || format!("writing {}", path.display()),
        file.and_then(|mut file| file.write_all(text.as_bytes())),
    )
}

/// The secret in a file, which is written with a new one when it is not there.
pub(super) fn kept_secret(path: &Path, new: impl FnOnce() -> String) -> Result<String, ServerError> {
    match std::fs::read_to_string(path) {
        Ok(secret) => Ok(secret),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let secret = new();
            write_private(path, &secret)?;
            Ok(secret)
        }
        Err(error) => during(|| format!("reading {}", path.display()), Err(error)),
    }
}

/// A port of the loopback that nobody listens on at the moment.
pub(super) fn free_port() -> Result<u16, ServerError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    during(|| "looking for a free port".into(), address).map(|address| address.port())
}

/// Finds a program in `PATH`, and in the folders where Debian keeps servers, which are not in everybody's.
pub(super) fn find_program(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> =
        path.map(|path| std::env::split_paths(path).collect()).unwrap_or_default();
    folders.extend(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.into_iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}

pub(super) fn not_installed(program: &str, packages: &str) -> ServerError {
    ServerError::NotInstalled { program: program.to_owned(), packages: packages.to_owned() }
}
