//! A place in FACTS that moves on: behind, it reads the log itself; caught up, it takes what the hub sends to all. Who may
//! see what it passes is for the watcher to say.

use super::{hub::EventHub, live_event::LiveEvent, room::Room, told::MissedBecause};
use crate::error::ApiError;
use futures::{FutureExt, StreamExt, stream, stream::BoxStream};
use rollcall_bus::{BusError, Delivery};
use std::sync::Arc;
use tokio::sync::broadcast::{self, error::RecvError};

/// One reader of what happens, in order, without loss or repeat.
pub(crate) struct Follower {
    hub: EventHub,
    /// Everything up to this sequence was passed.
    last: u64,
    /// What the hub sends, subscribed to before the log is read.
    live: broadcast::Receiver<Arc<LiveEvent>>,
    /// What is read first, while the follower is behind.
    missed: Option<Missed>,
    /// Dropped after `live`: the last one to leave a room closes it.
    room: Option<InRoom>,
}

/// What comes next.
pub(crate) enum Next {
    /// The next event.
    Event(Arc<LiveEvent>),
    /// The follower was too slow for the hub: what comes between here and there is read from the log.
    Behind {
        /// The last sequence that was passed.
        after: u64,
        /// The last one that is read from the log.
        until: u64,
    },
    /// Nothing more.
    End,
}

/// Events between a follower's cursor and its beginning that it cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// Why not.
    pub(crate) reason: MissedBecause,
    /// The cursor.
    pub(crate) after: u64,
    /// After this it goes on.
    pub(crate) resumes_after: u64,
}

/// What happened before `live` was subscribed to.
struct Missed {
    steps: BoxStream<'static, LogStep>,
    /// The last sequence that `live` does not have.
    until: u64,
}

/// One step through the log.
struct LogStep {
    sequence: u64,
    /// Whether it was the last message when it was read.
    is_last: bool,
    event: Option<LiveEvent>,
}

/// What a follower meets.
enum Step {
    Event(Arc<LiveEvent>),
    /// A message that is of no concern.
    Pass(u64),
    Behind,
    End,
}

struct InRoom {
    hub: EventHub,
    room: Room,
}

impl Drop for InRoom {
    fn drop(&mut self) {
        self.hub.leave(self.room);
    }
}

impl Follower {
    /// Begins after `after`, or with what happens from now on. `room` narrows it to the events of one room.
    ///
    /// # Errors
    /// When the log cannot be asked what it holds.
    pub(crate) async fn open(
        hub: EventHub,
        room: Option<Room>,
        after: Option<u64>,
    ) -> Result<(Self, Option<Gap>), ApiError> {
        let (wanted, gap) = place(&hub, after).await?;
        let (live, head) = hub.subscribe(room);
        let last = wanted.unwrap_or(head);
        let missed = missed(&hub, room, last, head);
        let room = room.map(|room| InRoom { hub: hub.clone(), room });
        Ok((Self { hub, last, live, missed, room }, gap))
    }

    /// The last sequence that was passed.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Whether what comes next is read from the log.
    pub(crate) fn is_behind(&self) -> bool {
        self.missed.is_some()
    }

    /// The next event. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Next {
        loop {
            match next_step(&mut self.missed, &mut self.live).await {
                Step::Event(event) if event.sequence <= self.last => {}
                Step::Event(event) => {
                    self.last = event.sequence;
                    return Next::Event(event);
                }
                Step::Pass(sequence) => self.last = self.last.max(sequence),
                Step::Behind => return Next::Behind { after: self.last, until: self.go_back_to(self.last) },
                Step::End => return Next::End,
            }
        }
    }

    /// Reads the log again after `sequence`; gives the sequence up to which it is read.
    pub(crate) fn go_back_to(&mut self, sequence: u64) -> u64 {
        let room = self.room.as_ref().map(|entered| entered.room);
        let (live, head) = self.hub.subscribe(room);
        self.live = live;
        self.last = sequence;
        self.missed = missed(&self.hub, room, sequence, head);
        head
    }
}

async fn next_step(missed: &mut Option<Missed>, live: &mut broadcast::Receiver<Arc<LiveEvent>>) -> Step {
    let Some(Missed { steps, until }) = missed else {
        return match live.recv().await {
            Ok(event) => Step::Event(event),
            Err(RecvError::Lagged(_)) => Step::Behind,
            Err(RecvError::Closed) => Step::End,
        };
    };
    let Some(LogStep { sequence, is_last, event }) = steps.next().await else { return Step::End };
    if sequence >= *until || is_last {
        *missed = None;
    }
    event.map_or(Step::Pass(sequence), |event| Step::Event(Arc::new(event)))
}

/// What is to be read from the log after `last`, if `live` begins after `head`.
fn missed(hub: &EventHub, room: Option<Room>, last: u64, head: u64) -> Option<Missed> {
    (last < head).then(|| Missed { steps: read_log(hub.clone(), room, last), until: head })
}

/// The log after `last` as events. It ends when the log cannot be opened: the client comes back.
fn read_log(hub: EventHub, room: Option<Room>, last: u64) -> BoxStream<'static, LogStep> {
    let reader = hub.clone();
    let opened = async move { reader.read_after(last).await };
    let deliveries = opened.into_stream().flat_map(|opened: Result<_, BusError>| match opened {
        Ok(deliveries) => StreamExt::left_stream(deliveries),
        Err(error) => {
            tracing::debug!(%error, "a watcher cannot catch up");
            stream::empty().right_stream()
        }
    });
    let step = move |delivery: Delivery| {
        let hub = hub.clone();
        async move {
            let (sequence, is_last) = (delivery.sequence, delivery.pending == 0);
            LogStep { sequence, is_last, event: hub.render(delivery, room).await }
        }
    };
    deliveries.then(step).boxed()
}

/// Compares a cursor with what the log still holds: where to begin (`None` for its end), and what is lost.
async fn place(hub: &EventHub, after: Option<u64>) -> Result<(Option<u64>, Option<Gap>), ApiError> {
    let Some(after) = after else { return Ok((None, None)) };
    if after == hub.head() {
        return Ok((Some(after), None));
    }
    let log = hub.log().await?;
    let oldest = log.first_sequence.saturating_sub(1);
    let reason = if after > log.last_sequence {
        MissedBecause::Unknown
    } else if after < oldest {
        MissedBecause::Expired
    } else {
        return Ok((Some(after), None));
    };
    Ok((Some(oldest), Some(Gap { reason, after, resumes_after: oldest })))
}
