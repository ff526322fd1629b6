//! `rollcall replay`: stored frames published again. What a replay does is in `ingest`; here is how it is asked for.

use crate::config::Config;
use anyhow::{Context, bail};
use chrono::{DateTime, FixedOffset, Utc};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use rollcall_bus::Bus;
use rollcall_ingest::replay::{
    Folder, LogRange, Pace, Replay as Job, ReplayDeps, ReplayProgress, Source, Timing, Video,
};
use rollcall_schemas::id::CameraId;
use rollcall_service::clock::{Clock, Entropy};
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// Publishes stored frames again. Run twice, it changes nothing; killed, the same command goes on where it was.
#[derive(Args)]
pub struct Replay {
    #[command(subcommand)]
    what: What,
    /// How many times faster than captured; as fast as the log takes them when absent.
    #[arg(long, global = true)]
    pace: Option<f64>,
    /// Where the place reached is kept until the end is reached.
    #[arg(long, global = true, default_value = ".rollcall-replay")]
    position: PathBuf,
}

#[derive(Subcommand)]
enum What {
    /// Pictures in a folder, in the order of their names.
    Folder {
        path: PathBuf,
        /// The camera they are of.
        #[arg(long)]
        camera: CameraId,
        /// When the first was captured (RFC 3339); needs --fps. Without it, EXIF or the names say.
        #[arg(long, requires = "fps")]
        start: Option<DateTime<Utc>>,
        /// How many a second were captured.
        #[arg(long, requires = "start")]
        fps: Option<f64>,
        /// The form of the names as strftime says it, such as door_%Y%m%d_%H%M%S.
        #[arg(long, conflicts_with = "start")]
        name_pattern: Option<String>,
        /// The camera's zone, where times name none.
        #[arg(long, default_value = "+00:00")]
        zone: FixedOffset,
    },
    /// A video, sampled.
    Video {
        path: PathBuf,
        /// The camera it is of.
        #[arg(long)]
        camera: CameraId,
        /// When its first frame was captured (RFC 3339).
        #[arg(long)]
        start: DateTime<Utc>,
        /// How many frames a second are taken.
        #[arg(long, default_value_t = 5.0)]
        fps: f64,
    },
    /// What the log still holds of a span of time.
    Range {
        /// Frames captured at or after this (RFC 3339).
        #[arg(long)]
        from: DateTime<Utc>,
        /// Frames captured before this (RFC 3339).
        #[arg(long)]
        to: DateTime<Utc>,
        /// Only of this camera.
        #[arg(long)]
        camera: Option<CameraId>,
    },
}

impl What {
    fn open(self) -> anyhow::Result<Source> {
        Ok(match self {
            What::Folder { path, camera, start, fps, name_pattern, zone } => {
                let timing = match (start, fps, name_pattern) {
                    (Some(start), Some(fps), _) => Timing::Regular { start, fps },
                    (_, _, Some(pattern)) => Timing::Name { pattern, zone },
                    _ => Timing::Exif { zone },
                };
                Source::Folder(Folder::open(path, camera, timing)?)
            }
            What::Video { path, camera, start, fps } => {
                Source::Video(Video::open_file(path, camera, start, fps)?)
            }
            What::Range { from, to, camera } => Source::LogRange(LogRange::new(from, to, camera)),
        })
    }
}

/// Runs `rollcall replay`.
///
/// # Errors
/// When the source cannot be read, the log does not take a frame, or it was interrupted before its end.
pub async fn run(command: Replay, config: &Config) -> anyhow::Result<()> {
    let pace = match command.pace {
        Some(times) if times > 0.0 => Pace::Times(times),
        Some(_) => bail!("--pace must be above 0"),
        None => Pace::Full,
    };
    let source = command.what.open()?;
    let bus = Bus::connect(&config.nats, "rollcall-replay").await.context("connecting to the log")?;
    let deps = ReplayDeps { bus, clock: Clock::real(), entropy: Entropy::real() };
    let limits = config.ingest.image_limits();
    let job = Job { source, pace, position_file: command.position, limits };
    let stop = CancellationToken::new();
    tokio::spawn(stop_at_interrupt(stop.clone()));
    let bar = ProgressBar::no_length();
    let progress = job.run(&deps, stop, |progress| show(&bar, progress)).await?;
    bar.finish_and_clear();
    println!("{} frames published, {} refused", progress.published, progress.refused);
    if !progress.finished {
        bail!("interrupted; the same command goes on from here");
    }
    Ok(())
}

async fn stop_at_interrupt(stop: CancellationToken) {
    if tokio::signal::ctrl_c().await.is_ok() {
        stop.cancel();
    }
}

fn show(bar: &ProgressBar, progress: &ReplayProgress) {
    if let (Some(total), None) = (progress.total, bar.length()) {
        bar.set_length(total);
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} frames, {per_sec}, {eta} left  {msg}");
        bar.set_style(style.expect("the template is valid"));
    }
    bar.set_position(progress.published + progress.refused);
    if let Some(at) = progress.captured_at {
        bar.set_message(at.to_rfc3339());
    }
    if let Some((name, reason)) = &progress.refusal {
        bar.suspend(|| eprintln!("{name}: {reason}"));
    }
}
