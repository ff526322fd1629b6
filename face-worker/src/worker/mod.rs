//! The engine joined to the log: frames in, sightings out; photographs in, templates-to-be out. What is done with a
//! sighting is decided elsewhere; how faces are found is the engine's.
//!
//! # Metrics
//! | name | kind | labels |
//! |---|---|---|
//! | `rollcall_face_frames_total` | counter | `result` = seen, undecodable, failed |
//! | `rollcall_face_faces_total` | counter | `verdict` |
//! | `rollcall_face_stage_seconds` | histogram | `stage` = decode, detect, embed, crop |
//! | `rollcall_face_gallery_people` | gauge | |

mod config;
mod frames;
mod gallery_feed;
mod photos;
mod view;

pub use config::FaceConfig;

use crate::{
    gallery::{Gallery, GalleryError},
    models::ModelsError,
    pack::PackError,
    pool::{Pool, PoolConfig},
    session::{InferenceError, Runtime},
};
use frames::FrameHandler;
use photos::{EnrolPhotoHandler, RecogniseHandler};
use rollcall_bus::{Bus, BusError, ConsumerSpec};
use rollcall_schemas::{
    feed::GalleryEntry,
    subject::{self, RequestKind, Stream},
};
use rollcall_service::{clock::Clock, health::HealthRegistry, lifecycle::Lifecycle};
use std::{sync::Arc, time::Duration};
use view::View;

/// What the worker works with.
pub struct FaceDeps {
    /// The log.
    pub bus: Bus,
    /// The time, for outcomes.
    pub clock: Clock,
    /// Where readiness is told.
    pub health: HealthRegistry,
}

/// Why the worker did not start.
#[derive(Debug, thiserror::Error)]
pub enum FaceWorkerError {
    /// The settings name something that does not exist.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The pack's files are missing or not what the manifest says.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// The networks do not open.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// The gallery's index does not build.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The log cannot be reached.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// Opens the pack, fills the gallery from its feed, and consumes until the lifecycle stops.
///
/// # Errors
/// When the pack, the networks or the log are not there.
pub async fn start(
    config: &FaceConfig,
    deps: FaceDeps,
    lifecycle: &Lifecycle,
) -> Result<(), FaceWorkerError> {
    let FaceDeps { bus, clock, health } = deps;
    let pool = Arc::new(open_pool(config)?);
    let pack = pool.pack().clone();
    let in_flight = config.max_frames();

    let feed =
        bus.feed::<GalleryEntry>(Some(subject::gallery_of_pack(&pack.name)), None, lifecycle.soft_stop());
    let gallery = Arc::new(Gallery::new(pack.embedder.dimension)?);
    lifecycle.spawn(
        "gallery",
        gallery_feed::follow(feed.clone(), gallery.clone(), config.index, lifecycle.soft_stop()),
    );
    let caught_up = feed.clone();
    health.register("gallery", Duration::from_secs(1), move || {
        let ready = caught_up.is_ready();
        async move { if ready { Ok(()) } else { Err("still reading the gallery feed") } }
    });

    let view = View { pool, gallery, feed, candidates: config.candidates };
    let frames = Arc::new(FrameHandler { bus: bus.clone(), view: view.clone() });
    let photos = Arc::new(EnrolPhotoHandler { bus: bus.clone(), view: view.clone(), clock: clock.clone() });
    let recognitions = Arc::new(RecogniseHandler { bus: bus.clone(), view, clock });

    let specs = |stream, durable: &str, filter| ConsumerSpec {
        filter,
        max_in_flight: in_flight,
        ..ConsumerSpec::new(stream, durable)
    };
    let stop = lifecycle.soft_stop();
    let (spec, log) = (specs(Stream::Frames, "face-worker", None), bus.clone());
    let frames_stop = stop.clone();
    // Frames wait until the gallery is known: a face compared with an empty gallery would be called a stranger.
    let ready = frames.view.feed.clone();
    lifecycle.spawn("frames", async move {
        tokio::select! {
            () = ready.ready() => log.consume(spec, frames, frames_stop).await,
            () = frames_stop.cancelled() => Ok(()),
        }
    });
    let spec =
        specs(Stream::Requests, "face-worker-enrol-photo", Some(subject::request(RequestKind::EnrolPhoto)));
    let (log, photos_stop) = (bus.clone(), stop.clone());
    lifecycle.spawn("enrolment photos", async move { log.consume(spec, photos, photos_stop).await });
    let spec =
        specs(Stream::Requests, "face-worker-recognise", Some(subject::request(RequestKind::Recognise)));
    lifecycle.spawn("recognitions", async move { bus.consume(spec, recognitions, stop).await });
    Ok(())
}

/// Opens the configured pack on the configured provider.
///
/// # Errors
/// When its files are missing or its networks do not open.
pub fn open_pool(config: &FaceConfig) -> Result<Pool, FaceWorkerError> {
    let pack = config.pack()?;
    let models = config.models_dir();
    let folder = models.verify(&pack)?;
    let runtime = Runtime::load(&config.runtime_library()?)?;
    let threads = config.inference_threads();
    let size = PoolConfig {
        max_frames: config.max_frames(),
        provider: config.provider,
        ..PoolConfig::for_cores(threads)
    };
    Ok(Pool::open(&pack, &folder, &runtime, &size)?)
}
