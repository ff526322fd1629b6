//! Feeds: the last value of every key, in memory, always current. What services know without a database.
//!
//! A feed is a stream that keeps one message per key. The reader follows it by a tail; an entry older than the one it
//! has is ignored; removal is an entry that says so. A local snapshot lets it go on where it was.

use crate::{
    Bus, Delivery,
    snapshot::Snapshot,
    tail::{Step, Tail, TailStart},
};
use chrono::{DateTime, Utc};
use parking_lot::RwLock;
use rollcall_schemas::{feed::FeedEntry, subject::Subject};
use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{broadcast, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Changes kept for a slow subscriber; one that falls further behind takes [`Feed::snapshot`].
const CHANGES_KEPT: usize = 4_096;

/// The shortest time between two writes of a snapshot.
const SAVE_EVERY: Duration = Duration::from_secs(2);

/// How far a feed has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last sequence of the stream that is included.
    pub revision: u64,
    /// Whether everything there was at the start is included.
    pub ready: bool,
}

/// What happened to a feed.
#[derive(Clone, Debug)]
pub enum Change<T> {
    /// An entry is new or has changed; it may be a tombstone.
    Put(Arc<T>),
    /// The stream was created anew: forget everything, entries follow.
    Reset,
}

/// The last value of every key of a stream. Clones share it.
pub struct Feed<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for Feed<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

struct Shared<T> {
    entries: RwLock<HashMap<String, Arc<T>>>,
    progress: watch::Sender<Progress>,
    changes: broadcast::Sender<Change<T>>,
    stopped: CancellationToken,
}

impl<T: FeedEntry> Feed<T> {
    /// The entry of that key; it may be a tombstone.
    pub fn get(&self, key: &str) -> Option<Arc<T>> {
        self.shared.entries.read().get(key).cloned()
    }

    /// Every entry, tombstones included, in no order.
    pub fn snapshot(&self) -> Vec<Arc<T>> {
        self.shared.entries.read().values().cloned().collect()
    }

    /// The last sequence of the stream that is included.
    pub fn revision(&self) -> u64 {
        self.shared.progress.borrow().revision
    }

    /// Whether everything there was at the start is included.
    pub fn is_ready(&self) -> bool {
        self.shared.progress.borrow().ready
    }

    /// Waits until [`Feed::is_ready`].
    pub async fn ready(&self) {
        let ready = self.progress().wait_for(|progress| progress.ready).await.is_ok();
        debug_assert!(ready, "the feed holds the sender");
    }

    /// Waits until it no longer follows, and its snapshot is written.
    pub async fn stopped(&self) {
        self.shared.stopped.cancelled().await;
    }

    /// How far it has come, watched.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.shared.progress.subscribe()
    }

    /// Changes from now on. A subscriber that lags ([`broadcast::error::RecvError::Lagged`]) takes
    /// [`Feed::snapshot`] and goes on. Subscribe before taking the first snapshot.
    pub fn subscribe(&self) -> broadcast::Receiver<Change<T>> {
        self.shared.changes.subscribe()
    }
}

impl Bus {
    /// Follows the feed of `T` in the background until `stop`. With a `snapshot` path it begins with what that file
    /// knows, which can be read at once, and writes it as it changes and when stopped.
    pub fn feed<T: FeedEntry>(
        &self,
        filter: Option<Subject>,
        snapshot: Option<PathBuf>,
        stop: CancellationToken,
    ) -> Feed<T> {
        let shared = Arc::new(Shared {
            entries: RwLock::default(),
            progress: watch::Sender::new(Progress::default()),
            changes: broadcast::Sender::new(CHANGES_KEPT),
            stopped: CancellationToken::new(),
        });
        let mut follower = Follower {
            bus: self.clone(),
            shared: shared.clone(),
            filter,
            path: snapshot,
            created_at: None,
            ends: BTreeSet::new(),
            unsaved: false,
            save_at: Instant::now() + SAVE_EVERY,
        };
        follower.load();
        tokio::spawn(follower.run(stop));
        Feed { shared }
    }
}

/// What keeps a feed current.
struct Follower<T> {
    bus: Bus,
    shared: Arc<Shared<T>>,
    filter: Option<Subject>,
    path: Option<PathBuf>,
    /// Of the stream that the entries come from.
    created_at: Option<DateTime<Utc>>,
    /// When entries that do not last end, and their keys.
    ends: BTreeSet<(DateTime<Utc>, String)>,
    unsaved: bool,
    save_at: Instant,
}

impl<T: FeedEntry> Follower<T> {
    async fn run(mut self, stop: CancellationToken) {
        let start = TailStart::Sequence(self.shared.progress.borrow().revision + 1);
        let mut tail = Tail::new(self.bus.clone(), T::STREAM, start, self.filter.clone());
        if let Some(created_at) = self.created_at {
            tail = tail.of_stream_created_at(created_at);
        }
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(self.save_at), if self.unsaved => self.save().await,
                step = tail.next() => self.apply(step),
            }
        }
        if self.unsaved {
            self.save().await;
        }
        self.shared.stopped.cancel();
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Opened { pending, created_at } => {
                if self.created_at.replace(created_at).is_some_and(|before| before != created_at) {
                    self.reset();
                }
                if pending == 0 {
                    self.shared.progress.send_modify(|progress| progress.ready = true);
                }
            }
            Step::Delivered(delivery) => {
                self.put(&delivery);
                self.unsaved = self.path.is_some();
                metrics::gauge!("rollcall_bus_feed_revision", "stream" => T::STREAM.name())
                    .set(delivery.sequence as f64);
                self.shared.progress.send_modify(|progress| {
                    progress.revision = delivery.sequence;
                    progress.ready |= delivery.pending == 0;
                });
            }
        }
    }

    fn reset(&mut self) {
        self.ends.clear();
        self.shared.entries.write().clear();
        self.shared.progress.send_replace(Progress::default());
        // Nobody may be listening.
        let _ = self.shared.changes.send(Change::Reset);
    }

    fn put(&mut self, delivery: &Delivery) {
        let entry: T = match serde_json::from_slice(&delivery.payload) {
            Ok(entry) => entry,
            Err(error) => {
                let kind = error.classify();
                tracing::error!(
                    stream = T::STREAM.name(),
                    sequence = delivery.sequence,
                    ?kind,
                    "entry not readable"
                );
                return;
            }
        };
        let (key, entry) = (entry.key(), Arc::new(entry));
        {
            let mut entries = self.shared.entries.write();
            if entries.get(&key).is_some_and(|known| known.revision() > entry.revision()) {
                return;
            }
            entries.insert(key, entry.clone());
        }
        self.forget_ended(&entry);
        let _ = self.shared.changes.send(Change::Put(entry));
    }

    /// Notes when a new entry ends, and forgets those that ended before it began: it is at least that late.
    fn forget_ended(&mut self, new: &T) {
        let Some(validity) = new.validity() else { return };
        self.ends.insert((validity.end, new.key()));
        while self.ends.first().is_some_and(|(end, _)| *end <= validity.start) {
            let Some((end, key)) = self.ends.pop_first() else { break };
            let mut entries = self.shared.entries.write();
            if entries.get(&key).is_some_and(|entry| entry.validity().is_some_and(|known| known.end == end)) {
                entries.remove(&key);
            }
        }
    }

    fn load(&mut self) {
        let Some(path) = &self.path else { return };
        let stream = self.bus.namespace().stream(T::STREAM);
        let filter = self.filter.as_ref().map(Subject::as_str);
        let Some(snapshot) = Snapshot::<T>::load(path, &stream, filter) else { return };
        self.created_at = Some(snapshot.created_at);
        let ends = snapshot.entries.iter().filter_map(|entry| Some((entry.validity()?.end, entry.key())));
        self.ends = ends.collect();
        let entries = snapshot.entries.into_iter().map(|entry| (entry.key(), Arc::new(entry))).collect();
        *self.shared.entries.write() = entries;
        self.shared.progress.send_replace(Progress { revision: snapshot.sequence, ready: false });
    }

    async fn save(&mut self) {
        let (Some(path), Some(created_at)) = (self.path.clone(), self.created_at) else { return };
        let snapshot = Snapshot {
            stream: self.bus.namespace().stream(T::STREAM),
            filter: self.filter.as_ref().map(|filter| filter.as_str().to_owned()),
            created_at,
            sequence: self.shared.progress.borrow().revision,
            entries: self.shared.entries.read().values().cloned().collect::<Vec<_>>(),
        };
        let started = Instant::now();
        let saved = tokio::task::spawn_blocking(move || snapshot.save(&path)).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(stream = T::STREAM.name(), %error, "cannot write the snapshot");
        }
        self.unsaved = false;
        // A large feed that changes all the time must not spend all its time on writing.
        self.save_at = Instant::now() + SAVE_EVERY.max(started.elapsed() * 20);
    }
}
