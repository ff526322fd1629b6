//! The one reader of FACTS that serves every watcher of the process.

use super::live_event::{Audience, LiveEvent, is_for_the_class};
use futures::{Stream as FutureStream, StreamExt};
use parking_lot::Mutex;
use rollcall_bus::{Bus, BusError, Delivery, StreamState, TailStart};
use rollcall_schemas::{
    fact::Fact,
    id::{ClassId, UserId},
    subject::Stream,
};
use rollcall_service::lifecycle::Lifecycle;
use rollcall_store::{Pool, Postgres, StoreError, classes, enrolments};
use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
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
/// How long it is believed who teaches a class. Who is in it is asked for every event that goes to the whole class.
const TEACHER_FOR: Duration = Duration::from_secs(10);

/// The live events of the process. Clones are the same.
#[derive(Clone)]
pub(crate) struct EventHub(Arc<Inner>);

struct Inner {
    bus: Bus,
    pool: Pool<Postgres>,
    live: broadcast::Sender<Arc<LiveEvent>>,
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
        lifecycle: &Lifecycle,
    ) -> Result<Self, BusError> {
        let head = bus.stream(Stream::Facts).await?.last_sequence;
        let hub = Self(Arc::new(Inner {
            bus,
            pool,
            live: broadcast::Sender::new(KEPT),
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
            let event = self.render(delivery).await;
            // Before it is sent: whoever subscribes in between reads it from the log, and drops it here by its number.
            self.0.head.store(sequence, Ordering::SeqCst);
            if let Some(event) = event {
                // Nobody may be watching.
                let _ = self.0.live.send(Arc::new(event));
            }
        }
    }

    /// What is sent from now on, and the sequence up to which everything was sent before.
    pub(super) fn subscribe(&self) -> (broadcast::Receiver<Arc<LiveEvent>>, u64) {
        let live = self.0.live.subscribe();
        (live, self.0.head.load(Ordering::SeqCst))
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
    pub(super) fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// A fact as an event; `None` for what cannot be read, which an older version of this program may meet.
    pub(super) async fn render(&self, delivery: Delivery) -> Option<LiveEvent> {
        let fact: Fact = match serde_json::from_slice(&delivery.payload) {
            Ok(fact) => fact,
            Err(error) => {
                let (sequence, kind) = (delivery.sequence, error.classify());
                tracing::error!(sequence, ?kind, "a fact cannot be read");
                return None;
            }
        };
        let audience = match fact.scope.class_id {
            None => Audience::NoClass,
            Some(class) => {
                self.audience(class, is_for_the_class(&fact.event)).await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "who may see an event is not known");
                    Audience::Unknown
                })
            }
        };
        Some(LiveEvent::new(delivery.sequence, &fact, &delivery.payload, audience))
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
