//! One watcher: behind, it reads the log itself; caught up, it takes what the hub sends to all.

use super::{
    hub::EventHub,
    live_event::{Filter, LiveEvent, Visibility},
};
use crate::{error::ApiError, extract::Caller, state::Api};
use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, stream, stream::BoxStream};
use http::HeaderMap;
use rollcall_bus::{BusError, Delivery};
use rollcall_service::auth::Authenticator;
use std::{convert::Infallible, sync::Arc};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};
use tokio_util::sync::CancellationToken;

/// How long a browser waits before it comes back, in milliseconds.
const RETRY_MS: u32 = 2_000;

/// One client that watches.
pub(super) struct Watcher {
    hub: EventHub,
    caller: Caller,
    /// With which the client came, to be checked again: tokens end, and are revoked.
    credentials: (Authenticator, HeaderMap),
    filter: Filter,
    /// Everything up to this sequence was considered.
    last: u64,
    /// What the hub sends, subscribed to before the log is read.
    live: broadcast::Receiver<Arc<LiveEvent>>,
    /// What is read first, while the watcher is behind.
    missed: Option<Missed>,
    /// What is to be said before anything else.
    greeting: Option<Bytes>,
    alive: Interval,
    stop: CancellationToken,
    _counted: Counted,
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

/// What a watcher does next.
enum Step {
    Consider(Arc<LiveEvent>),
    /// A message without an event.
    Pass(u64),
    Behind,
    KeepAlive,
    End,
}

impl Watcher {
    /// Opens a stream after `after`, or with what happens from now on.
    pub(super) async fn open(
        api: &Api,
        caller: Caller,
        headers: HeaderMap,
        filter: Filter,
        after: Option<u64>,
    ) -> Result<Self, ApiError> {
        let hub = api.events().clone();
        let place = place(&hub, after).await?;
        let (live, head) = hub.subscribe();
        let last = place.last.unwrap_or(head);
        let every = api.config().keep_alive();
        let mut alive = interval_at(Instant::now() + every, every);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // An id without data moves the client's cursor and tells it nothing.
        let greeting = format!("retry: {RETRY_MS}\n{}id: {last}\n\n", place.reset);
        Ok(Self {
            missed: missed(&hub, last, head),
            stop: hub.stop().clone(),
            hub,
            caller,
            credentials: (api.authenticator().clone(), headers),
            filter,
            last,
            live,
            greeting: Some(greeting.into()),
            alive,
            _counted: Counted::new(),
        })
    }

    /// The body of the response.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
        stream::unfold(self, |mut watcher| async move {
            let bytes = watcher.next().await?;
            Some((Ok(bytes), watcher))
        })
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        loop {
            match self.step().await {
                Step::Consider(event) if event.sequence <= self.last => {}
                Step::Consider(event) => {
                    let visibility = event.visibility(&self.caller);
                    if visibility == Visibility::Unknown {
                        return None;
                    }
                    self.last = event.sequence;
                    if visibility == Visibility::Visible && self.filter.wants(&event) {
                        return Some(event.bytes.clone());
                    }
                }
                Step::Pass(sequence) => self.last = self.last.max(sequence),
                Step::Behind => {
                    let (live, head) = self.hub.subscribe();
                    self.live = live;
                    self.missed = missed(&self.hub, self.last, head);
                }
                Step::KeepAlive => {
                    let (authenticator, headers) = &self.credentials;
                    authenticator.authenticate(headers).ok()?;
                    return Some(format!(": still here\nid: {}\n\n", self.last).into());
                }
                Step::End => return None,
            }
        }
    }

    async fn step(&mut self) -> Step {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Step::End,
            _ = self.alive.tick() => Step::KeepAlive,
            step = next_event(&mut self.missed, &mut self.live) => step,
        }
    }
}

/// The next event, from the log while something is missed. May be dropped and called again.
async fn next_event(missed: &mut Option<Missed>, live: &mut broadcast::Receiver<Arc<LiveEvent>>) -> Step {
    let Some(Missed { steps, until }) = missed else {
        return match live.recv().await {
            Ok(event) => Step::Consider(event),
            Err(RecvError::Lagged(_)) => Step::Behind,
            Err(RecvError::Closed) => Step::End,
        };
    };
    let Some(LogStep { sequence, is_last, event }) = steps.next().await else { return Step::End };
    if sequence >= *until || is_last {
        *missed = None;
    }
    event.map_or(Step::Pass(sequence), |event| Step::Consider(Arc::new(event)))
}

/// What is to be read from the log after `last`, if `live` begins after `head`.
fn missed(hub: &EventHub, last: u64, head: u64) -> Option<Missed> {
    (last < head).then(|| Missed { steps: read_log(hub.clone(), last), until: head })
}

/// The log after `last` as events. It ends when the log cannot be opened: the client comes back.
fn read_log(hub: EventHub, last: u64) -> BoxStream<'static, LogStep> {
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
            LogStep { sequence, is_last, event: hub.render(delivery).await }
        }
    };
    deliveries.then(step).boxed()
}

/// Where a stream begins.
struct Place {
    /// After this; `None` for the end of the log.
    last: Option<u64>,
    /// What is said first when it cannot begin where it was asked to.
    reset: String,
}

/// Compares the cursor with what the log still holds.
async fn place(hub: &EventHub, after: Option<u64>) -> Result<Place, ApiError> {
    let Some(after) = after else { return Ok(Place { last: None, reset: String::new() }) };
    if after == hub.head() {
        return Ok(Place { last: Some(after), reset: String::new() });
    }
    let log = hub.log().await?;
    let oldest = log.first_sequence.saturating_sub(1);
    let reason = if after > log.last_sequence {
        "unknown"
    } else if after < oldest {
        "expired"
    } else {
        return Ok(Place { last: Some(after), reset: String::new() });
    };
    let reset = format!(
        "id: {oldest}\nevent: reset\ndata: {{\"reason\":\"{reason}\",\"lastEventId\":{after},\"resumesAfter\":{oldest}}}\n\n"
    );
    Ok(Place { last: Some(oldest), reset })
}

/// Counts the watchers of the process.
struct Counted;

impl Counted {
    fn new() -> Self {
        metrics::gauge!("rollcall_api_watchers").increment(1);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("rollcall_api_watchers").decrement(1);
    }
}
