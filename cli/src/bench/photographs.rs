//! The fixed images that frames are: public photographs, fetched by package name, with the model pack that looks at
//! them.

use crate::config::Config;
use anyhow::Context;
use bytes::Bytes;
use rollcall_face_worker::models::Fetcher;
use std::{fs, path::PathBuf};

/// Fetches the active pack, ONNX Runtime and the photographs, where they are missing, and reads the photographs in the
/// order of their names.
///
/// # Errors
/// When something cannot be fetched or read.
pub async fn fetch(config: &Config) -> anyhow::Result<Vec<Bytes>> {
    let face = config.face.clone();
    let folder = tokio::task::spawn_blocking(move || {
        let dir = face.models_dir();
        let mut fetcher = Fetcher::new(&dir, &|line| println!("  {line}"))?;
        fetcher.runtime()?;
        fetcher.pack(&face.pack()?, None)?;
        anyhow::Ok(fetcher.photographs()?.folder().to_owned())
    })
    .await
    .context("fetching models")??;
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jpg"));
    files.sort();
    files.iter().map(|file| Ok(fs::read(file)?.into())).collect()
}
