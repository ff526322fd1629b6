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
mod people;
mod photos;
mod status;
mod view;

pub use config::FaceConfig;

use crate::{
    gallery::GalleryError,
    models::ModelsError,
    pack::PackError,
    pool::{Pool, PoolConfig},
    session::{InferenceError, Runtime},
};
use frames::FrameHandler;
use people::KnownPeople;
use photos::{EnrolPhotoHandler, RecogniseHandler};
use rollcall_bus::{Bus, ConsumerSpec, Handler};
use rollcall_schemas::subject::{self, RequestKind, Stream, frames_consumer};
use rollcall_service::{clock::Clock, health::HealthRegistry, lifecycle::Lifecycle, process::Process};
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
    /// The process it runs in, which says of itself which models it runs.
    pub process: Process,
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
}

/// Opens the pack, fills the gallery from its feed, and consumes until the lifecycle stops.
///
/// # Errors
/// When the pack or the networks are not there. Troubles with the log are the lifecycle's.
pub async fn start(
    config: &FaceConfig,
    deps: FaceDeps,
    lifecycle: &Lifecycle,
) -> Result<(), FaceWorkerError> {
    let FaceDeps { bus, clock, health, process } = deps;
    let pool = Arc::new(open_pool(config)?);
    let people = KnownPeople::follow(&bus, pool.pack(), config.index, lifecycle)?;
    report_readiness(&health, people.clone());
    process.describe_models(status::describe(config, &pool, people.clone()));

    let view = View { pool, people: people.clone(), candidates: config.candidates };
    let consumers = Consumers { bus: bus.clone(), people, max_in_flight: config.max_frames(), lifecycle };
    let frames = FrameHandler { bus: bus.clone(), view: view.clone() };
    consumers.spawn(ConsumerSpec::new(Stream::Frames, frames_consumer::FACES), frames);
    let photos = EnrolPhotoHandler { bus: bus.clone(), view: view.clone(), clock: clock.clone() };
    consumers.spawn(requests(RequestKind::EnrolPhoto), photos);
    consumers.spawn(requests(RequestKind::Recognise), RecogniseHandler { bus, view, clock });
    Ok(())
}

fn report_readiness(health: &HealthRegistry, people: KnownPeople) {
    health.register("gallery", Duration::from_secs(1), move || {
        let ready = people.is_ready();
        async move { if ready { Ok(()) } else { Err("still reading the gallery feed") } }
    });
}

fn requests(kind: RequestKind) -> ConsumerSpec {
    let durable = format!("face-worker-{}", kind.name());
    ConsumerSpec { filter: Some(subject::request(kind)), ..ConsumerSpec::new(Stream::Requests, durable) }
}

/// What the worker's consumers have in common.
struct Consumers<'l> {
    bus: Bus,
    people: KnownPeople,
    max_in_flight: usize,
    lifecycle: &'l Lifecycle,
}

impl Consumers<'_> {
    /// Consumes until the lifecycle stops. Begins when everybody is known: a face compared with half a gallery might be
    /// called a stranger.
    fn spawn<H: Handler>(&self, spec: ConsumerSpec, handler: H) {
        let spec = ConsumerSpec { max_in_flight: self.max_in_flight, ..spec };
        let (bus, people, stop) = (self.bus.clone(), self.people.clone(), self.lifecycle.soft_stop());
        let name = spec.durable.clone();
        self.lifecycle.spawn(&name, async move {
            if people.ready().await { bus.consume(spec, Arc::new(handler), stop).await } else { Ok(()) }
        });
    }
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
