//! `rollcall models`: the packs there are, and their files.

use crate::config::Config;
use anyhow::Context;
use clap::Subcommand;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use rollcall_face_worker::{
    models::{Fetcher, ModelsDir, PackState},
    pack::{self, Pack},
};
use std::path::PathBuf;

/// Model packs.
#[derive(Subcommand)]
pub enum Models {
    /// List the packs, which is active, and whether its files are there.
    List,
    /// Fetch ONNX Runtime and a pack's files: the active pack's when none is named.
    Pull {
        /// The pack.
        pack: Option<String>,
        /// A folder with files that no registry has.
        #[arg(long)]
        from: Option<PathBuf>,
    },
    /// Check a pack's files against their hashes: the active pack's when none is named.
    Verify {
        /// The pack.
        pack: Option<String>,
    },
}

/// Runs `rollcall models`.
///
/// # Errors
/// When a pack does not exist or its files are not what they must be.
pub async fn run(command: Models, config: Config) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || run_blocking(command, &config)).await.context("working on models")?
}

fn run_blocking(command: Models, config: &Config) -> anyhow::Result<()> {
    let dir = config.face.models_dir();
    match command {
        Models::List => {
            println!("{}", list(&dir, config)?);
            println!(
                "Files are in {}. Activate a pack with ROLLCALL_FACE__PACK or [face] pack.",
                dir.path().display()
            );
        }
        Models::Pull { pack, from } => {
            let pack = named(pack, config)?;
            let say = |line: &str| println!("{line}");
            let mut fetcher = Fetcher::new(&dir, &say)?;
            fetcher.runtime()?;
            fetcher.pack(&pack, from.as_deref())?;
            println!("{} is ready in {}", pack.name, dir.pack_dir(&pack).display());
        }
        Models::Verify { pack } => {
            let pack = named(pack, config)?;
            dir.runtime_library()?;
            dir.verify(&pack)?;
            println!("{} and ONNX Runtime are what their manifests pin", pack.name);
        }
    }
    Ok(())
}

fn named(name: Option<String>, config: &Config) -> anyhow::Result<Pack> {
    let name = name.unwrap_or_else(|| config.face.pack.clone());
    Ok(pack::find_pack(&name, config.face.packs_dir.as_deref())?)
}

fn list(dir: &ModelsDir, config: &Config) -> anyhow::Result<Table> {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header([
        "",
        "pack",
        "files",
        "dimension",
        "licence",
        "what it is",
    ]);
    for pack in pack::packs(config.face.packs_dir.as_deref())? {
        let state = match dir.state(&pack) {
            PackState::Ready => "ready",
            PackState::Missing(_) => "missing",
            PackState::Altered(_) => "altered",
        };
        let active = if pack.name == config.face.pack { "active" } else { "" };
        let dimension = pack.embedder.dimension.to_string();
        table.add_row([active, &pack.name, state, &dimension, &pack.licence, &pack.summary]);
    }
    Ok(table)
}
