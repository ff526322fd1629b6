//! What ingest knows without a database: keys, cameras and the pause switch, each a feed with a local snapshot.

use rollcall_bus::{Bus, Feed};
use rollcall_schemas::{
    feed::{AuthEntry, AuthFact, CameraEntry, ControlEntry, FeedEntry},
    id::CameraId,
    subject,
};
use rollcall_service::{auth::KeySource, lifecycle::Lifecycle};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The feeds. Clones share them.
#[derive(Clone)]
pub(crate) struct Knowledge {
    auth: Feed<AuthEntry>,
    cameras: Feed<CameraEntry>,
    control: Feed<ControlEntry>,
}

impl Knowledge {
    /// Follows the feeds until the lifecycle's hard stop.
    pub(crate) fn follow(bus: &Bus, snapshots: Option<&Path>, lifecycle: &Lifecycle) -> Self {
        fn file<T: FeedEntry>(snapshots: Option<&Path>) -> Option<PathBuf> {
            snapshots.map(|folder| folder.join(format!("{}.json", T::STREAM.name().to_lowercase())))
        }
        let stop = || lifecycle.hard_stop();
        Self {
            auth: bus.feed(None, file::<AuthEntry>(snapshots), stop()),
            cameras: bus.feed(None, file::<CameraEntry>(snapshots), stop()),
            // CONTROL also holds what is not for ingest.
            control: bus.feed(Some(subject::control()), file::<ControlEntry>(snapshots), stop()),
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
