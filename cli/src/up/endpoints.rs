//! Where the servers of a running `rollcall up` are, so that tools beside it find them.

use crate::config::Config;
use anyhow::Context;
use rollcall_service::config::Secret;
use serde::{Deserialize, Serialize};
use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

const FILE: &str = "endpoints.json";

/// The addresses, passwords included: the file is for its owner only.
#[derive(Serialize, Deserialize)]
pub struct Endpoints {
    nats: String,
    database: String,
}

impl Endpoints {
    /// Those that the settings name.
    pub fn of(config: &Config) -> Self {
        Self { nats: config.nats.url.clone(), database: config.database.url.reveal().to_owned() }
    }

    /// Leaves them in the data folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
        let path = data_dir.join(FILE);
        let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(&serde_json::to_vec(self)?));
        written.with_context(|| format!("writing {}", path.display()))
    }

    /// Takes them away again: nothing runs any more.
    pub fn remove(data_dir: &Path) {
        // A file that stays behind costs a tool one attempt to connect.
        let _ = fs::remove_file(data_dir.join(FILE));
    }

    /// Fills in what the settings leave open from the data folder, if a deployment has run there.
    pub fn fill_in(config: &mut Config) {
        let Ok(bytes) = fs::read(config.data_dir.join(FILE)) else { return };
        let Ok(found) = serde_json::from_slice::<Self>(&bytes) else { return };
        if config.nats.url.is_empty() {
            config.nats.url = found.nats;
        }
        if config.database.url.reveal().is_empty() {
            config.database.url = Secret::new(found.database);
        }
    }
}
