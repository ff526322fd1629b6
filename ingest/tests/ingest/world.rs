//! A front door with cameras, keys and users of its own.

use axum::Router;
use chrono::{DateTime, Utc};
use image::{DynamicImage, ImageFormat, RgbImage};
use rollcall_bus::{Bus, Message};
use rollcall_ingest::{IngestConfig, IngestDeps, start};
use rollcall_schemas::{
    feed::{AuthEntry, AuthFact, CameraEntry, ControlEntry, FeedEntry},
    id::{CameraId, UserId},
    role::Role,
    scope::Scope,
    subject::Stream,
};
use rollcall_service::{
    auth::{ApiKey, Claims, TokenConfig, TokenSigner, generate_signing_key},
    clock::{Clock, Entropy},
    health::HealthRegistry,
    lifecycle::Lifecycle,
    limits::{Limiter, LimitsConfig},
};
use rollcall_test_support::{Answer, Client, TestBroker, TestEdge, eventually, test_clock};
use std::{io::Cursor, time::Duration};
use uuid::Uuid;

pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const DOOR: CameraId = CameraId(Uuid::from_u128(0xd0));
pub(crate) const YARD: CameraId = CameraId(Uuid::from_u128(0xa0));
pub(crate) const STUDENT: UserId = UserId(Uuid::from_u128(0x51));

/// A running ingest on a socket.
pub(crate) struct Front {
    pub(crate) health: HealthRegistry,
    pub(crate) router: Router,
    pub(crate) edge: TestEdge,
    lifecycle: Lifecycle,
}

impl Front {
    async fn start(bus: &Bus, config: IngestConfig, clock: &Clock, entropy: &Entropy) -> Self {
        let (health, lifecycle) = (HealthRegistry::default(), Lifecycle::new("test"));
        let deps = IngestDeps {
            bus: bus.clone(),
            tokens: TokenConfig::default(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            limiter: Limiter::new(limits(), entropy),
            health: health.clone(),
        };
        let (router, _) = start(config, deps, &lifecycle).router.split_for_parts();
        let edge = TestEdge::serve(router.clone(), clock.clone()).await;
        Self { health, router, edge, lifecycle }
    }

    /// Stops what runs beside the routes.
    pub(crate) async fn stop(&self) {
        self.lifecycle.stop(SOON).await.unwrap();
    }

    /// Waits until every dependency is ready.
    async fn ready(&self) {
        eventually("being ready", SOON, async || {
            self.health.dependencies().await.iter().all(|dependency| dependency.ready).then_some(())
        })
        .await;
    }
}

/// Scans of one student that come at once, more than any test makes but the one that is about it.
pub(crate) const SCAN_BURST: u64 = 30;

/// Cameras have the limits of their settings and students theirs; nobody else is to be kept waiting here.
fn limits() -> LimitsConfig {
    let plenty = LimitsConfig::uniform("60000/min burst 60000".parse().unwrap());
    LimitsConfig { scan_user: format!("60/min burst {SCAN_BURST}").parse().unwrap(), ..plenty }
}

/// A front door with what it needs to know, and the means to call it.
pub(crate) struct World {
    pub(crate) bus: Bus,
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) front: Front,
    signer: TokenSigner,
    pub(crate) door_key: ApiKey,
    pub(crate) yard_key: ApiKey,
}

impl World {
    /// With the test process's broker and default settings.
    pub(crate) async fn start() -> Self {
        Self::with(IngestConfig::default()).await
    }

    pub(crate) async fn with(config: IngestConfig) -> Self {
        Self::on(TestBroker::start().await.bus().await, config).await
    }

    /// On a bus whose streams are in place: two cameras, each with a key, and everything known.
    pub(crate) async fn on(bus: Bus, config: IngestConfig) -> Self {
        let (clock, entropy) = (test_clock(), Entropy::seeded(1));
        let pem = generate_signing_key(&entropy);
        let signer = TokenSigner::new(&pem, TokenConfig::default(), clock.clone(), entropy.clone()).unwrap();
        let (door_key, yard_key) = (ApiKey::generate(&entropy), ApiKey::generate(&entropy));
        let fact = AuthFact::SigningKey {
            kid: signer.kid().to_owned(),
            public_key: signer.public_key().to_owned(),
            signs_from: None,
            retires_at: None,
        };
        put(&bus, &AuthEntry { revision: 1, fact }).await;
        for (camera, key) in [(DOOR, &door_key), (YARD, &yard_key)] {
            put(&bus, &camera_entry(camera)).await;
            put(&bus, &key_entry(camera, key)).await;
        }
        let front = Front::start(&bus, config, &clock, &entropy).await;
        front.ready().await;
        Self { bus, clock, entropy, front, signer, door_key, yard_key }
    }

    /// Another front door on the same log, as after a restart.
    pub(crate) async fn another(&self, config: IngestConfig) -> Front {
        Front::start(&self.bus, config, &self.clock, &self.entropy).await
    }

    pub(crate) fn client(&self) -> Client {
        self.front.edge.client()
    }

    /// The camera at the door.
    pub(crate) fn camera(&self) -> Client {
        self.client().with_api_key(&self.door_key.reveal())
    }

    /// A signed-in user.
    pub(crate) fn user(&self, role: Role) -> Client {
        self.user_of(STUDENT, role)
    }

    /// A token, and what it says.
    pub(crate) fn token(&self, role: Role) -> (String, Claims) {
        self.signer.issue(STUDENT, "someone@school.example", role)
    }

    /// A signed-in user of this id.
    pub(crate) fn user_of(&self, id: UserId, role: Role) -> Client {
        let (token, _) = self.signer.issue(id, "someone@school.example", role);
        self.client().with_token(&token)
    }

    pub(crate) async fn last_sequence(&self, stream: Stream) -> u64 {
        self.bus.stream(stream).await.unwrap().last_sequence
    }

    /// Pauses the deployment, or lets it go on.
    pub(crate) async fn pause(&self, revision: u64, paused: bool) {
        put(&self.bus, &ControlEntry { revision, paused }).await;
    }
}

pub(crate) async fn put<T: FeedEntry>(bus: &Bus, entry: &T) {
    bus.publish(Message::entry(entry).unwrap()).await.unwrap();
}

pub(crate) fn camera_entry(camera_id: CameraId) -> CameraEntry {
    CameraEntry {
        camera_id,
        revision: 1,
        name: "Camera".into(),
        enabled: true,
        deleted: false,
        max_frames_per_second: 10_000,
    }
}

pub(crate) fn key_entry(camera_id: CameraId, key: &ApiKey) -> AuthEntry {
    let fact = AuthFact::ApiKey {
        key_id: key.key_id,
        secret_sha256: key.secret_sha256(),
        camera_id: Some(camera_id),
        scopes: vec![Scope::FramesPush],
        expires_at: None,
        revoked: false,
    };
    AuthEntry { revision: 1, fact }
}

pub(crate) fn frames_of(camera: CameraId) -> String {
    format!("/api/v1/cameras/{camera}/frames")
}

/// Pushes a JPEG as a camera does.
pub(crate) async fn push(
    client: &Client,
    camera: CameraId,
    jpeg: &[u8],
    captured_at: DateTime<Utc>,
) -> Answer {
    let client =
        client.with_header(http::HeaderName::from_static("x-captured-at"), &captured_at.to_rfc3339());
    client.send(http::Method::POST, &frames_of(camera), Some(("image/jpeg", jpeg.to_vec()))).await
}

/// A small picture that differs by `seed`.
pub(crate) fn picture(format: ImageFormat, seed: u8) -> Vec<u8> {
    picture_of(format, 64, 48, seed)
}

pub(crate) fn picture_of(format: ImageFormat, width: u32, height: u32, seed: u8) -> Vec<u8> {
    let pixels = RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 3) as u8, (y * 5) as u8, seed]));
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(pixels).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub(crate) fn jpeg(seed: u8) -> Vec<u8> {
    picture(ImageFormat::Jpeg, seed)
}
