//! Tails: reading a stream in order from a point on, for ever, without a place kept by the broker. For live views,
//! replay and feeds.
//!
//! Push ordered consumers, because pull ordered ones die with a server restart. Ours to keep is the next sequence: after
//! a reconnection the client's own recovery starts at the beginning if it had not yet seen a message.

use crate::{Bus, BusError, Delivery};
use async_nats::jetstream::consumer::{
    DeliverPolicy,
    push::{Ordered, OrderedConfig},
};
use chrono::{DateTime, Utc};
use futures::{Stream as FutureStream, StreamExt};
use rollcall_schemas::subject::{Stream, Subject};
use std::time::Duration;
use tokio::sync::watch;

/// Where a tail begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailStart {
    /// With what is published from now on.
    New,
    /// With this sequence, or the first one after it that is still there.
    Sequence(u64),
    /// With the first message stored at or after this time.
    Time(DateTime<Utc>),
}

/// What a tail reports.
pub(crate) enum Step {
    /// The stream was opened, or opened again after a reconnection.
    Opened {
        /// How many messages are there to be read at once.
        pending: u64,
        /// When the stream was created. If it is not the time it was, what was read before is of another stream.
        created_at: DateTime<Utc>,
    },
    /// The next message. Boxed, as it is much larger than the other.
    Delivered(Box<Delivery>),
}

/// A reader of one stream, in order.
pub(crate) struct Tail {
    bus: Bus,
    stream: Stream,
    filter: Option<Subject>,
    start: TailStart,
    /// Of the stream that `start` belongs to.
    created_at: Option<DateTime<Utc>>,
    messages: Option<Ordered>,
    losses: watch::Receiver<u64>,
}

impl Tail {
    /// A tail not yet opened. `created_at` says which stream `start` belongs to, if that is known.
    pub(crate) fn new(bus: Bus, stream: Stream, start: TailStart, filter: Option<Subject>) -> Self {
        let losses = bus.losses();
        Self { bus, stream, filter, start, created_at: None, messages: None, losses }
    }

    /// The same, where `start` is a sequence of the stream that was created at that time.
    pub(crate) fn of_stream_created_at(mut self, created_at: DateTime<Utc>) -> Self {
        self.created_at = Some(created_at);
        self
    }

    /// Opens the stream at the place reached.
    async fn open(&mut self) -> Result<Step, BusError> {
        let state = self.bus.stream(self.stream).await?;
        let is_another = self.created_at.is_some_and(|created_at| created_at != state.created_at);
        let is_ahead = matches!(self.start, TailStart::Sequence(next) if next > state.last_sequence + 1);
        if is_another || is_ahead {
            tracing::warn!(
                stream = self.stream.name(),
                "the stream was created anew; reading from its beginning"
            );
            self.start = TailStart::Sequence(1);
        }
        if self.start == TailStart::New {
            self.start = TailStart::Sequence(state.last_sequence + 1);
        }
        self.created_at = Some(state.created_at);
        let operation = || format!("reading {}", self.stream.name());
        let config = OrderedConfig {
            deliver_subject: self.bus.client.new_inbox(),
            filter_subject: self.filter.as_ref().map(|filter| self.bus.wire(filter)).unwrap_or_default(),
            deliver_policy: self.deliver_policy()?,
            ..OrderedConfig::default()
        };
        let consumer = self
            .bus
            .jetstream
            .create_consumer_on_stream(config, self.bus.namespace().stream(self.stream))
            .await
            .map_err(BusError::broker(operation()))?;
        let pending = consumer.cached_info().num_pending;
        self.messages = Some(consumer.messages().await.map_err(BusError::broker(operation()))?);
        Ok(Step::Opened { pending, created_at: state.created_at })
    }

    fn deliver_policy(&self) -> Result<DeliverPolicy, BusError> {
        Ok(match self.start {
            TailStart::New => DeliverPolicy::New,
            TailStart::Sequence(next) => DeliverPolicy::ByStartSequence { start_sequence: next.max(1) },
            TailStart::Time(start_time) => DeliverPolicy::ByStartTime { start_time },
        })
    }

    /// What comes next. Waits out every trouble with the broker. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Step {
        loop {
            if self.messages.is_none() {
                self.bus.connected().await;
                match self.open().await {
                    Ok(step) => return step,
                    Err(error) => {
                        tracing::warn!(stream = self.stream.name(), %error, "opening again");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        continue;
                    }
                }
            }
            if let Some(delivery) = self.receive().await {
                return Step::Delivered(Box::new(delivery));
            }
        }
    }

    /// The next message of the open stream; `None` when there is something else to be done first.
    async fn receive(&mut self) -> Option<Delivery> {
        let messages = self.messages.as_mut()?;
        let item = tokio::select! {
            biased;
            // Not left to the client's recovery: see above.
            _ = self.losses.changed() => {
                self.messages = None;
                return None;
            }
            item = messages.next() => item,
        };
        let Some(Ok(message)) = item else {
            self.messages = None;
            return None;
        };
        let delivery = Delivery::received(self.bus.namespace(), self.stream, &message)?;
        // The client's own recovery may go back; the reader never does.
        if matches!(self.start, TailStart::Sequence(next) if delivery.sequence < next) {
            return None;
        }
        self.start = TailStart::Sequence(delivery.sequence + 1);
        Some(delivery)
    }
}

impl Bus {
    /// Reads `stream` in order from `start` on, without end: what is there, then what comes. Survives restarts of the
    /// broker without loss or repetition. Each message of `filter` is delivered to every tail.
    ///
    /// # Errors
    /// When the stream cannot be opened to begin with. Later troubles with the broker are waited out.
    pub async fn tail(
        &self,
        stream: Stream,
        start: TailStart,
        filter: Option<Subject>,
    ) -> Result<impl FutureStream<Item = Delivery> + Send + Unpin + use<>, BusError> {
        let mut tail = Tail::new(self.clone(), stream, start, filter);
        tail.open().await?;
        Ok(Box::pin(futures::stream::unfold(tail, |mut tail| async move {
            loop {
                if let Step::Delivered(delivery) = tail.next().await {
                    return Some((*delivery, tail));
                }
            }
        })))
    }
}
