//! The worker between the streams of a real broker, with the default pack and real photographs.

mod frames;
mod people;
mod photos;

use std::num::NonZeroUsize;
use std::time::Duration;

use chrono::TimeDelta;
use rollcall_bus::{Bus, Delivery, Message};
use rollcall_face_worker::worker::{self, FaceConfig, FaceDeps};
use rollcall_schemas::embedding::Embedding;
use rollcall_schemas::feed::GalleryEntry;
use rollcall_schemas::frame::{FrameMeta, FrameSource, ImageType};
use rollcall_schemas::id::{CameraId, FrameId, RequestId, UserId};
use rollcall_schemas::outcome::Outcome;
use rollcall_schemas::request::PhotoMeta;
use rollcall_schemas::sighting::Sighting;
use rollcall_schemas::subject::{self, RequestKind, Stream, frames_consumer};
use rollcall_service::clock::Entropy;
use rollcall_service::health::HealthRegistry;
use rollcall_service::lifecycle::Lifecycle;
use rollcall_service::process::Process;
use rollcall_service::telemetry::RecentLines;
use rollcall_test_support::{TestBroker, eventually, monday_morning, test_clock};
use uuid::Uuid;

use crate::support::{default_pack, engine, fixtures, template};

const SOON: Duration = Duration::from_secs(60);
const CAMERA: CameraId = CameraId(Uuid::from_u128(1));
const KNOWN: UserId = UserId(Uuid::from_u128(2));
const OTHER: UserId = UserId(Uuid::from_u128(3));
const OPERATOR: UserId = UserId(Uuid::from_u128(4));

/// A deployment with a log, in which a worker can be started.
struct Site {
    broker: TestBroker,
    bus: Bus,
    health: HealthRegistry,
    process: Process,
}

fn config() -> FaceConfig {
    FaceConfig {
        models_dir: Some(fixtures().models.path().to_owned()),
        inference_threads: NonZeroUsize::new(1),
        ..FaceConfig::default()
    }
}

/// The template of the person in `obama3.jpg`, which it was not made of.
fn known_template() -> Embedding {
    template(&mut engine(&default_pack()))
}

/// A template that resembles no face.
fn strange_template() -> Embedding {
    let mut values = vec![0.0; default_pack().embedder.dimension];
    values[0] = 1.0;
    Embedding(values)
}

impl Site {
    async fn open() -> Self {
        let broker = TestBroker::start().await;
        let bus = broker.bus().await;
        let process = Process::new("test", RecentLines::default(), &test_clock(), &Entropy::seeded(1));
        Self { broker, bus, health: HealthRegistry::default(), process }
    }

    async fn work(&self) -> Lifecycle {
        self.work_as(&config()).await
    }

    async fn work_as(&self, config: &FaceConfig) -> Lifecycle {
        let lifecycle = Lifecycle::new("test");
        let (health, process) = (self.health.clone(), self.process.clone());
        let deps = FaceDeps { bus: self.bus.clone(), clock: test_clock(), health, process };
        worker::start(config, deps, &lifecycle).await.unwrap();
        lifecycle
    }

    /// Puts a frame into the log as `ingest` does; gives what is known of it, and its sequence.
    async fn frame(&self, bytes: &[u8], seconds: i64) -> (FrameMeta, u64) {
        let frame = frame_at(bytes, seconds);
        let sequence = self.publish_frame(&frame, &frame.frame_id.to_string(), bytes).await;
        (frame, sequence)
    }

    async fn publish_frame(&self, frame: &FrameMeta, id: &str, bytes: &[u8]) -> u64 {
        let message = Message::new(subject::frame_captured(CAMERA), id, bytes.to_vec());
        self.bus.publish(message.with_headers(frame.to_headers())).await.unwrap().sequence
    }

    /// The message at that place in a stream, as soon as it is there.
    async fn message(&self, stream: Stream, sequence: u64) -> Delivery {
        let what = format!("message {sequence} of {}", stream.name());
        eventually(&what, SOON, || async { self.bus.get(stream, sequence).await.unwrap() }).await
    }

    /// The sighting at that place in SIGHTINGS.
    async fn sighting(&self, sequence: u64) -> Sighting {
        serde_json::from_slice(&self.message(Stream::Sightings, sequence).await.payload).unwrap()
    }

    /// How many messages a stream holds.
    async fn count(&self, stream: Stream) -> u64 {
        self.bus.stream(stream).await.unwrap().messages
    }

    /// Waits until the worker is through with every frame up to that sequence.
    async fn settled(&self, frame_sequence: u64) {
        eventually("the frames are settled", SOON, || async {
            let state = self.bus.consumer(Stream::Frames, frames_consumer::FACES).await.unwrap()?;
            (state.settled_sequence >= frame_sequence).then_some(())
        })
        .await;
    }

    /// Changes the gallery as the attendance worker does; a person without template is erased.
    async fn enrol(&self, user_id: UserId, revision: u64, template: Option<Embedding>) -> u64 {
        let entry = GalleryEntry { user_id, pack: default_pack().name, revision, template, photos: 3 };
        self.bus.publish(Message::entry(&entry).unwrap()).await.unwrap().sequence
    }

    /// Asks for a photograph to be looked at, and gives the outcome.
    async fn ask(&self, kind: RequestKind, user_id: Option<UserId>, bytes: &[u8]) -> Outcome {
        let (photo, message) = photo_request(kind, user_id, bytes);
        self.bus.ask(message, photo.request_id, SOON).await.unwrap()
    }
}

/// A frame of the camera, so many seconds after nine.
fn frame_at(bytes: &[u8], seconds: i64) -> FrameMeta {
    let captured_at = monday_morning() + TimeDelta::seconds(seconds);
    FrameMeta {
        frame_id: FrameId::of(CAMERA, captured_at, bytes),
        camera_id: CAMERA,
        captured_at,
        received_at: captured_at + TimeDelta::milliseconds(300),
        source: FrameSource::Live,
        content_type: ImageType::Jpeg,
        width: 640,
        height: 480,
    }
}

/// A request as the api makes it.
fn photo_request(kind: RequestKind, user_id: Option<UserId>, bytes: &[u8]) -> (PhotoMeta, Message) {
    let photo = PhotoMeta {
        request_id: RequestId::derive(&[kind.name().as_bytes(), bytes]),
        requested_by: OPERATOR,
        received_at: monday_morning(),
        user_id,
        content_type: ImageType::Jpeg,
    };
    let message = Message::new(subject::request(kind), photo.request_id, bytes.to_vec());
    let headers = photo.to_headers();
    (photo, message.with_headers(headers))
}
