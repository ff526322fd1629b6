//! The gallery kept current from its feed, and how much of the feed is in it. Which index answers is configuration; the
//! feed decides who can be found.

use crate::{
    gallery::{Gallery, GalleryError, IndexKind},
    pack::Pack,
};
use rollcall_bus::{Bus, Change, Feed, Progress};
use rollcall_schemas::{feed::GalleryEntry, subject};
use rollcall_service::lifecycle::Lifecycle;
use std::sync::Arc;
use tokio::sync::{
    broadcast::{self, error::TryRecvError},
    watch,
};
use tokio_util::sync::CancellationToken;

/// Who can be recognised. Clones share it.
#[derive(Clone)]
pub(super) struct KnownPeople {
    gallery: Arc<Gallery>,
    applied: watch::Receiver<Progress>,
}

impl KnownPeople {
    /// Reads the templates of `pack`, and their changes until the lifecycle stops.
    pub(super) fn follow(
        bus: &Bus,
        pack: &Pack,
        index: IndexKind,
        lifecycle: &Lifecycle,
    ) -> Result<Self, GalleryError> {
        let gallery = Arc::new(Gallery::new(pack.embedder.dimension)?);
        let stop = lifecycle.soft_stop();
        let feed = bus.feed(Some(subject::gallery_of_pack(&pack.name)), None, stop.clone());
        let (sender, applied) = watch::channel(Progress::default());
        let follower = Follower { feed, gallery: gallery.clone(), index, people_needed: 0, applied: sender };
        lifecycle.spawn("gallery", follower.run(stop));
        Ok(Self { gallery, applied })
    }

    pub(super) fn gallery(&self) -> &Gallery {
        &self.gallery
    }

    /// The last sequence of GALLERY that a search knows at least.
    pub(super) fn revision(&self) -> u64 {
        self.applied.borrow().revision
    }

    /// Whether everybody there was at the start can be found.
    pub(super) fn is_ready(&self) -> bool {
        self.applied.borrow().ready
    }

    /// Waits until [`KnownPeople::is_ready`]; `false` when the worker stopped before.
    pub(super) async fn ready(&self) -> bool {
        self.applied.clone().wait_for(|applied| applied.ready).await.is_ok()
    }
}

struct Follower {
    feed: Feed<GalleryEntry>,
    gallery: Arc<Gallery>,
    /// The kind of index that is wanted.
    index: IndexKind,
    /// So many people the wanted index needs at least, as far as is known.
    people_needed: usize,
    applied: watch::Sender<Progress>,
}

impl Follower {
    async fn run(mut self, stop: CancellationToken) -> Result<(), GalleryError> {
        let (mut changes, mut progress) = (self.feed.subscribe(), self.feed.progress());
        self.apply_snapshot();
        loop {
            // Read before the changes: what it counts is among them.
            let reached = *progress.borrow_and_update();
            self.apply(&mut changes)?;
            metrics::gauge!("rollcall_face_gallery_people").set(self.gallery.len() as f64);
            if reached.ready {
                self.exchange_index().await;
            }
            self.applied.send_replace(reached);
            tokio::select! {
                changed = progress.changed() => if changed.is_err() { return Ok(()) },
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    fn apply(&self, changes: &mut broadcast::Receiver<Change<GalleryEntry>>) -> Result<(), GalleryError> {
        loop {
            match changes.try_recv() {
                Ok(Change::Put(entry)) => self.put(&entry),
                // The log was created anew: revisions begin again, and who is no longer in it is forgotten.
                Ok(Change::Reset) => self.gallery.clear()?,
                Err(TryRecvError::Lagged(_)) => self.apply_snapshot(),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Ok(()),
            }
        }
    }

    fn apply_snapshot(&self) {
        self.feed.snapshot().iter().for_each(|entry| self.put(entry));
    }

    fn put(&self, entry: &GalleryEntry) {
        let applied = match &entry.template {
            Some(template) => self.gallery.put(entry.user_id, entry.revision, template),
            None => self.gallery.remove(entry.user_id, entry.revision),
        };
        if let Err(error) = applied {
            // One unusable template must not take recognition from everybody else.
            tracing::error!(user = %entry.user_id, revision = entry.revision, %error, "template refused");
        }
    }

    /// Replaces the exact index by the wanted kind. Some kinds are trained with what is in them: one that cannot be
    /// built for so few people is tried again when there are twice as many, and searches stay exact until then.
    async fn exchange_index(&mut self) {
        let people = self.gallery.len();
        if self.gallery.index_kind() == self.index || people < self.people_needed {
            return;
        }
        let (gallery, index) = (self.gallery.clone(), self.index);
        let built = tokio::task::spawn_blocking(move || gallery.rebuild(index)).await;
        if let Err(error) = built.expect("a rebuild does not panic") {
            tracing::warn!(people, ?index, %error, "the search stays exact");
            self.people_needed = 2 * people.max(1);
        }
    }
}
