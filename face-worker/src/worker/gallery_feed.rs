//! The gallery kept current from its feed. Which index answers is configuration; the feed decides who is in it.

use crate::gallery::{Gallery, GalleryError, IndexKind};
use rollcall_bus::{Change, Feed};
use rollcall_schemas::feed::GalleryEntry;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// Follows the feed until `stop`.
pub(super) async fn follow(
    feed: Feed<GalleryEntry>,
    gallery: Arc<Gallery>,
    index: IndexKind,
    stop: CancellationToken,
) -> Result<(), GalleryError> {
    let mut changes = feed.subscribe();
    for entry in feed.snapshot() {
        apply(&gallery, &entry);
    }
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = stop.cancelled() => return Ok(()),
        };
        match change {
            Ok(Change::Put(entry)) => apply(&gallery, &entry),
            // The log was created anew: revisions begin again, and who is no longer in it is forgotten.
            Ok(Change::Reset) => gallery.clear()?,
            Err(RecvError::Lagged(_)) => feed.snapshot().iter().for_each(|entry| apply(&gallery, entry)),
            Err(RecvError::Closed) => return Ok(()),
        }
        metrics::gauge!("rollcall_face_gallery_people").set(gallery.len() as f64);
        if feed.is_ready() && gallery.index_kind() != index {
            let (gallery, index) = (gallery.clone(), index);
            tokio::task::spawn_blocking(move || gallery.rebuild(index))
                .await
                .expect("a rebuild does not panic")?;
        }
    }
}

fn apply(gallery: &Gallery, entry: &GalleryEntry) {
    let person = entry.user_id.0;
    let applied = match &entry.template {
        Some(template) => gallery.put(person, entry.revision, &template.0),
        None => gallery.remove(person, entry.revision),
    };
    if let Err(error) = applied {
        // One unusable template must not take recognition from everybody else.
        tracing::error!(user = %entry.user_id, revision = entry.revision, %error, "template refused");
    }
}
