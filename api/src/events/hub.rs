//! The one reader of FACTS that serves every watcher of the process.

use super::{
    live_event::{Audience, LiveEvent, is_for_the_class},
    room::Room,
};
use futures::{Stream as FutureStream, StreamExt};
use parking_lot::Mutex;
use rollcall_bus::{Bus, BusError, Delivery, StreamState, TailStart};
use rollcall_schemas::{
    fact::Fact,
    id::{ClassId, UserId},
    subject::Stream,
};
use rollcall_service::{clock::Clock, lifecycle::Lifecycle};
use rollcall_store::{PgConnection, Pool, Postgres, StoreError, classes, enrolments};
use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    ops::DerefMut,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::broadcast, time::Instant};
use tokio_util::sync::CancellationToken;

/// Events kept for watchers that are slower than the log; one that falls further behind reads the log itself.
const KEPT: usize = 4_096;
/// The same for the watchers of one room.
const KEPT_IN_ROOM: usize = 256;
/// How long it is believed who teaches a class. Who is in it is asked for every event that goes to the whole class.
const TEACHER_FOR: Duration = Duration::from_secs(10);

/// The live events of the process. Clones are the same.
#[derive(Clone)]
pub(crate) struct EventHub(Arc<Inner>);

struct Inner {
    bus: Bus,
    pool: Pool<Postgres>,
    clock: Clock,
    live: broadcast::Sender<Arc<LiveEvent>>,
    /// The rooms that somebody is in: an event wakes nobody but them.
    rooms: Mutex<HashMap<Room, broadcast::Sender<Arc<LiveEvent>>>>,
    /// The last sequence that was, or is just being, sent to `live`.
    head: AtomicU64,
    teachers: Mutex<HashMap<ClassId, (Instant, UserId)>>,
    stop: CancellationToken,
}

impl EventHub {
    /// Begins with what happens from now on.
    pub(crate) async fn start(
        bus: Bus,
        pool: Pool<Postgres>,
        clock: Clock,
        lifecycle: &Lifecycle,
    ) -> Result<Self, BusError> {
        let head = bus.stream(Stream::Facts).await?.last_sequence;
        let hub = Self(Arc::new(Inner {
            bus,
            pool,
            clock,
            live: broadcast::Sender::new(KEPT),
            rooms: Mutex::default(),
            head: AtomicU64::new(head),
            teachers: Mutex::default(),
            stop: lifecycle.soft_stop(),
        }));
        let tail = hub.read_after(head).await?;
        let (reader, stop) = (hub.clone(), lifecycle.soft_stop());
        lifecycle.spawn("events", async move {
            stop.run_until_cancelled(reader.run(tail)).await;
            Ok::<_, Infallible>(())
        });
        Ok(hub)
    }

    async fn run(&self, mut tail: impl FutureStream<Item = Delivery> + Unpin) {
        while let Some(delivery) = tail.next().await {
            let sequence = delivery.sequence;
            let event = self.render(delivery, None).await;
            // Before it is sent: whoever subscribes in between reads it from the log, and drops it here by its number.
            self.0.head.store(sequence, Ordering::SeqCst);
            if let Some(event) = event.map(Arc::new) {
                let room = event.room().and_then(|room| self.0.rooms.lock().get(&room).cloned());
                for watchers in room.iter().chain([&self.0.live]) {
                    // Nobody may be watching.
                    let _ = watchers.send(event.clone());
                }
            }
        }
    }

    /// What is sent from now on, of one room or of all, and the sequence up to which everything was sent before.
    pub(super) fn subscribe(&self, room: Option<Room>) -> (broadcast::Receiver<Arc<LiveEvent>>, u64) {
        let live = match room {
            Some(room) => self.enter(room),
            None => self.0.live.subscribe(),
        };
        (live, self.0.head.load(Ordering::SeqCst))
    }

    fn enter(&self, room: Room) -> broadcast::Receiver<Arc<LiveEvent>> {
        let mut rooms = self.0.rooms.lock();
        rooms.entry(room).or_insert_with(|| broadcast::Sender::new(KEPT_IN_ROOM)).subscribe()
    }

    /// Forgets a room that everybody has left.
    pub(super) fn leave(&self, room: Room) {
        let mut rooms = self.0.rooms.lock();
        if rooms.get(&room).is_some_and(|watchers| watchers.receiver_count() == 0) {
            rooms.remove(&room);
        }
    }

    /// How many rooms somebody is in.
    #[cfg(test)]
    pub(crate) fn rooms(&self) -> usize {
        self.0.rooms.lock().len()
    }

    /// A connection to the database.
    pub(super) async fn connection(
        &self,
    ) -> Result<impl DerefMut<Target = PgConnection> + use<>, StoreError> {
        Ok(self.0.pool.acquire().await?)
    }

    /// The time.
    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The last sequence that every watcher who is not behind has been offered.
    pub(super) fn head(&self) -> u64 {
        self.0.head.load(Ordering::SeqCst)
    }

    /// What the log holds.
    pub(super) async fn log(&self) -> Result<StreamState, BusError> {
        self.0.bus.stream(Stream::Facts).await
    }

    /// Reads the log after `sequence`, for ever.
    pub(super) async fn read_after(
        &self,
        sequence: u64,
    ) -> Result<impl FutureStream<Item = Delivery> + Send + Unpin + use<>, BusError> {
        self.0.bus.tail(Stream::Facts, TailStart::Sequence(sequence + 1), None).await
    }

    /// Cancelled when streams are to end.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// A fact as an event; `None` for one of another room, where only one is wanted, and for what cannot be read, which
    /// an older version of this program may meet.
    pub(super) async fn render(&self, delivery: Delivery, wanted: Option<Room>) -> Option<LiveEvent> {
        let fact = read(&delivery).filter(|fact| wanted.is_none() || Room::of(fact) == wanted)?;
        let audience = match fact.scope.class_id {
            None => Audience::NoClass,
            Some(class) => {
                self.audience(class, is_for_the_class(&fact.event)).await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "who may see an event is not known");
                    Audience::Unknown
                })
            }
        };
        Some(LiveEvent::new(delivery.sequence, fact, &delivery.payload, audience))
    }

    async fn audience(&self, class: ClassId, with_students: bool) -> Result<Audience, StoreError> {
        let Some(teacher) = self.teacher(class).await? else { return Ok(Audience::NoClass) };
        let students = if with_students {
            let mut db = self.0.pool.acquire().await?;
            enrolments::student_ids(&mut db, class).await?.into_iter().collect()
        } else {
            HashSet::new()
        };
        Ok(Audience::Class { teacher, students })
    }

    async fn teacher(&self, class: ClassId) -> Result<Option<UserId>, StoreError> {
        let known = self.0.teachers.lock().get(&class).copied();
        if let Some((_, teacher)) = known.filter(|(since, _)| since.elapsed() < TEACHER_FOR) {
            return Ok(Some(teacher));
        }
        let mut db = self.0.pool.acquire().await?;
        let teacher = classes::teacher(&mut db, class).await?;
        if let Some(teacher) = teacher {
            self.0.teachers.lock().insert(class, (Instant::now(), teacher));
        }
        Ok(teacher)
    }
}

fn read(delivery: &Delivery) -> Option<Fact> {
    let fact = serde_json::from_slice(&delivery.payload).inspect_err(|error| {
        let (sequence, kind) = (delivery.sequence, error.classify());
        tracing::error!(sequence, ?kind, "a fact cannot be read");
    });
    fact.ok()
}
