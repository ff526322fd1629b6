//! What ingest knows without a database: keys, cameras, limits and the pause switch, each a feed with a local snapshot.

use rollcall_bus::{Bus, Feed};
use rollcall_schemas::{
    feed::{AuthEntry, AuthFact, CameraEntry, ConfigurationEntry, ControlEntry, FeedEntry},
    id::CameraId,
    subject,
};
use rollcall_service::{auth::KeySource, lifecycle::Lifecycle, limits::Limiter};
use std::{path::Path, sync::Arc};

/// The feeds. Clones share them.
#[derive(Clone)]
pub(crate) struct Knowledge {
    auth: Feed<AuthEntry>,
    cameras: Feed<CameraEntry>,
    control: Feed<ControlEntry>,
    configuration: Feed<ConfigurationEntry>,
}

impl Knowledge {
    /// Follows the feeds until the lifecycle's hard stop.
    pub(crate) fn follow(bus: &Bus, snapshots: Option<&Path>, lifecycle: &Lifecycle) -> Self {
        let file = |name: &str| snapshots.map(|folder| folder.join(format!("{name}.json")));
        let stop = || lifecycle.hard_stop();
        Self {
            auth: bus.feed(None, file("auth"), stop()),
            cameras: bus.feed(None, file("cameras"), stop()),
            // CONTROL also holds what is not for ingest.
            control: bus.feed(Some(subject::control()), file("control"), stop()),
            configuration: bus.feed(Some(subject::configuration()), file("configuration"), stop()),
        }
    }

    /// Limits as an administrator set them, until the lifecycle's hard stop.
    pub(crate) async fn keep_limits(self, limiter: Limiter) {
        let mut progress = self.configuration.progress();
        loop {
            for entry in self.configuration.snapshot() {
                limiter.set(&entry.limits);
            }
            tokio::select! {
                changed = progress.changed() => if changed.is_err() { return },
                () = self.configuration.stopped() => return,
            }
        }
    }

    /// The first feed that is not read to its end yet.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        let feeds = [
            (AuthEntry::STREAM, self.auth.is_ready()),
            (CameraEntry::STREAM, self.cameras.is_ready()),
            (ControlEntry::STREAM, self.control.is_ready()),
        ];
        feeds.into_iter().find(|(_, ready)| !ready).map(|(stream, _)| stream.name())
    }

    /// A camera that exists.
    pub(crate) fn camera(&self, camera: CameraId) -> Option<Arc<CameraEntry>> {
        self.cameras.get(&camera.to_string()).filter(|entry| !entry.deleted)
    }

    /// Whether frames are refused for the time being.
    pub(crate) fn is_paused(&self) -> bool {
        self.control.snapshot().iter().any(|entry| entry.paused)
    }
}

impl KeySource for Knowledge {
    fn find(&self, key: &str) -> Option<AuthFact> {
        self.auth.get(key).map(|entry| entry.fact.clone())
    }
}
