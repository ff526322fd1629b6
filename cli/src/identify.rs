//! `rollcall identify`: what the active model pack sees in images. Nothing is recorded.

use crate::config::Config;
use anyhow::Context;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use rollcall_bus::Bus;
use rollcall_face_worker::{engine::FrameAnalysis, gallery::Gallery, identify::identify, worker::open_pool};
use rollcall_schemas::{feed::GalleryEntry, sighting::Face, subject};
use serde_json::json;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Looks at images.
#[derive(clap::Args)]
pub struct Identify {
    /// JPEG, PNG or WebP files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// How many candidates each face gets.
    #[arg(long, default_value_t = 3)]
    candidates: usize,
    /// Print JSON, one object a file.
    #[arg(long)]
    json: bool,
}

/// Runs `rollcall identify`. Candidates come from the gallery of the configured log; without one there are none.
///
/// # Errors
/// When the pack is not there or a file cannot be read.
pub async fn run(command: Identify, config: &Config) -> anyhow::Result<()> {
    let pool = open_pool(&config.face)?;
    let gallery = Gallery::new(pool.pack().embedder.dimension)?;
    if config.nats.url.is_empty() {
        eprintln!("no log is configured and none runs in {}: faces are not named", config.data_dir.display());
    } else {
        fill(&gallery, &pool.pack().name, config).await.context("reading the gallery from the log")?;
    }
    for file in &command.files {
        let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        let analysis = pool.analyse(bytes.into()).await.with_context(|| file.display().to_string())?;
        let mut faces = identify(&analysis, &gallery, &pool.pack().thresholds, command.candidates)?;
        // Biometric data has no place on a screen.
        faces.iter_mut().for_each(|face| face.embedding = None);
        if command.json {
            let seen = json!({ "width": analysis.width, "height": analysis.height, "faces": faces });
            println!("{}", json!({ "file": file, "pack": pool.pack().name, "seen": seen }));
        } else {
            println!("{}\n{}", heading(file, &analysis), table(&faces));
        }
    }
    Ok(())
}

async fn fill(gallery: &Gallery, pack: &str, config: &Config) -> anyhow::Result<()> {
    let bus = Bus::connect(&config.nats, "rollcall-identify").await?;
    let stop = CancellationToken::new();
    let feed = bus.feed::<GalleryEntry>(Some(subject::gallery_of_pack(pack)), None, stop.clone());
    feed.ready().await;
    for entry in feed.snapshot() {
        if let Some(template) = &entry.template {
            gallery.put(entry.user_id, entry.revision, template)?;
        }
    }
    stop.cancel();
    Ok(())
}

fn heading(file: &Path, seen: &FrameAnalysis) -> String {
    format!("{}: {} x {} pixels, {} faces", file.display(), seen.width, seen.height, seen.faces.len())
}

fn table(faces: &[Face]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header([
        "face",
        "box (x, y, w, h)",
        "score",
        "size px",
        "sharpness",
        "yaw",
        "quality",
        "verdict",
        "candidates",
    ]);
    for face in faces {
        let found = &face.bounding_box;
        let candidates: Vec<String> = face
            .candidates
            .iter()
            .map(|candidate| format!("{} {:.3}", candidate.user_id, candidate.similarity))
            .collect();
        table.add_row([
            face.index.to_string(),
            format!("{:.0}, {:.0}, {:.0}, {:.0}", found.x, found.y, found.width, found.height),
            format!("{:.3}", face.score),
            format!("{:.0}", face.quality.size_px),
            format!("{:.0}", face.quality.sharpness),
            format!("{:.0}", face.quality.yaw_degrees),
            face.quality.refusal.clone().unwrap_or_else(|| "good".to_owned()),
            format!("{:?}", face.verdict),
            if candidates.is_empty() { "nobody".to_owned() } else { candidates.join("\n") },
        ]);
    }
    table
}
