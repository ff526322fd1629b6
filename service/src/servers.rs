//! A private nats-server and a private PostgreSQL, for `rollcall up` and for the tests.
//!
//! Each lives in a folder of its own, listens on the loopback only with a drawn password, keeps its data over restarts,
//! and dies with the process that started it. Nothing here speaks either protocol beyond asking "are you there?".

mod nats;
mod postgres;
mod process;

pub use nats::{NatsOptions, NatsServer};
pub use postgres::{PostgresOptions, PostgresServer};

use std::{io, path::PathBuf};

/// Why a private server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Programs are missing. The message names the Debian packages that bring them.
    #[error("{program} is not installed; on Debian and Ubuntu: apt-get install {packages}")]
    NotInstalled {
        /// What was looked for.
        program: String,
        /// What to install, separated by spaces.
        packages: String,
    },
    /// The account that runs PostgreSQL cannot reach its folder.
    #[error(
        "the account `postgres` cannot enter {0}: PostgreSQL refuses to run as root, so every folder above its data \
         must let others pass (chmod o+x), or the data must lie elsewhere, such as /var/lib/rollcall"
    )]
    Unreachable(PathBuf),
    /// Another process runs a server on the same folder.
    #[error("the folder {0} is in use by another process")]
    InUse(PathBuf),
    /// The server ended while it was starting.
    #[error("{program} ended while starting; the end of its log {log}:\n{tail}")]
    Ended {
        /// Which server.
        program: String,
        /// Where its log is.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The server runs but does not answer.
    #[error("{program} did not answer in time; its log is {log}")]
    NoAnswer {
        /// Which server.
        program: String,
        /// Where its log is.
        log: PathBuf,
    },
    /// A file or process operation failed.
    #[error("{context}: {source}")]
    Io {
        /// What was being done.
        context: String,
        /// Why it failed.
        source: io::Error,
    },
}

/// Says what was being done when an operation failed.
fn during<T>(context: impl FnOnce() -> String, result: io::Result<T>) -> Result<T, ServerError> {
    result.map_err(|source| ServerError::Io { context: context(), source })
}

#[cfg(test)]
mod tests;
