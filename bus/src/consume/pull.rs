//! Asking the broker for messages, across its restarts. Knows nothing of handlers.
//!
//! `batch().expires(..)` is the one request that neither hangs nor loses wake-ups with this client and nats-server
//! 2.9: `fetch()` can hang, and heartbeats on batches can swallow messages.

use super::ConsumerSpec;
use crate::{Bus, BusError};
use async_nats::jetstream::{
    self, AckKind,
    consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
    stream::{ConsumerError, ConsumerErrorKind},
};
use futures::{FutureExt, StreamExt};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Messages that may be unsettled over all processes, those that wait out their back-off included.
const MAX_ACK_PENDING: i64 = 10_000;

/// A place in a stream, asked for more by requests of limited size.
pub(super) struct Puller {
    bus: Bus,
    spec: ConsumerSpec,
    /// Absent when something went wrong with it, so that it is made anew.
    consumer: Option<PullConsumer>,
    losses: watch::Receiver<u64>,
    stop: CancellationToken,
}

impl Puller {
    /// Creates the consumer, or finds it.
    pub(super) async fn open(
        bus: Bus,
        spec: &ConsumerSpec,
        stop: CancellationToken,
    ) -> Result<Self, BusError> {
        let losses = bus.losses();
        let mut puller = Self { bus, spec: spec.clone(), consumer: None, losses, stop };
        while let Some(result) = puller.unless_stopped(puller.create()).await {
            match result {
                Ok(consumer) => {
                    puller.consumer = Some(consumer);
                    break;
                }
                Err(error) if is_final(&error) => {
                    let operation = format!("creating consumer {} of {}", spec.durable, spec.stream.name());
                    return Err(BusError::broker(operation)(error));
                }
                Err(error) => puller.wait_after(&error).await,
            }
        }
        Ok(puller)
    }

    /// A request for at most `max` messages that ends `wait` from now; `None` once stopped.
    pub(super) async fn pull(&mut self, max: usize, wait: Duration) -> Option<Pull<'_>> {
        loop {
            if self.stop.is_cancelled() {
                return None;
            }
            match self.request(max, wait).await {
                Ok(Some(batch)) => return Some(Pull { batch, puller: self, ending: false }),
                Ok(None) => return None,
                Err(error) => {
                    self.consumer = None;
                    self.wait_after(&*error).await;
                }
            }
        }
    }

    /// The value of `future`, or `None` once stopped.
    pub(super) async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        self.stop.run_until_cancelled(future).await
    }

    async fn request(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> Result<Option<pull::Batch>, async_nats::Error> {
        if self.unless_stopped(self.bus.connected()).await.is_none() {
            return Ok(None);
        }
        self.losses.mark_unchanged();
        if self.consumer.is_none() {
            self.consumer = Some(self.create().await?);
        }
        let consumer = self.consumer.as_ref().expect("set just above");
        Ok(Some(consumer.batch().max_messages(max).expires(wait).messages().await?))
    }

    async fn create(&self) -> Result<PullConsumer, ConsumerError> {
        let config = pull::Config {
            durable_name: Some(self.spec.durable.clone()),
            name: Some(self.spec.durable.clone()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.spec.ack_wait,
            // Attempts are counted here: the broker also counts deliveries that never reached a handler.
            max_deliver: -1,
            filter_subject: self.spec.filter.as_ref().map(|filter| self.bus.wire(filter)).unwrap_or_default(),
            max_ack_pending: MAX_ACK_PENDING,
            headers_only: self.spec.headers_only,
            ..pull::Config::default()
        };
        self.bus.ensure_consumer(self.spec.stream, config).await
    }

    async fn wait_after(&self, error: &(dyn std::fmt::Display + Sync)) {
        tracing::warn!(stream = self.spec.stream.name(), consumer = self.spec.durable, %error, "asking again");
        self.unless_stopped(tokio::time::sleep(Duration::from_millis(200))).await;
    }
}

/// Whether asking again cannot help: the broker understood, and refused.
fn is_final(error: &ConsumerError) -> bool {
    match error.kind() {
        ConsumerErrorKind::JetStream(reason) => reason.code() < 500,
        ConsumerErrorKind::InvalidName | ConsumerErrorKind::InvalidConsumerType => true,
        ConsumerErrorKind::TimedOut | ConsumerErrorKind::Request | ConsumerErrorKind::Other => false,
    }
}

/// One request, being answered.
pub(super) struct Pull<'a> {
    batch: pull::Batch,
    puller: &'a mut Puller,
    /// The request is void; what has already arrived is still good.
    ending: bool,
}

impl Pull<'_> {
    /// The next message; `None` when the request is over.
    pub(super) async fn next(&mut self) -> Option<jetstream::Message> {
        if self.puller.stop.is_cancelled() {
            self.give_back().await;
            return None;
        }
        let item = if self.ending {
            self.batch.next().now_or_never().flatten()
        } else {
            let Puller { stop, losses, .. } = &mut *self.puller;
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.give_back().await;
                    return None;
                }
                // A request does not survive its connection.
                _ = losses.changed() => {
                    self.ending = true;
                    self.batch.next().now_or_never().flatten()
                }
                item = self.batch.next() => item,
            }
        };
        match item {
            Some(Ok(message)) => Some(message),
            Some(Err(error)) => {
                self.puller.consumer = None;
                self.puller.wait_after(&*error).await;
                None
            }
            None => None,
        }
    }

    /// Returns to the broker what arrived too late to be worked on.
    async fn give_back(&mut self) {
        while let Some(Some(Ok(message))) = self.batch.next().now_or_never() {
            if let Err(error) = message.ack_with(AckKind::Nak(None)).await {
                tracing::debug!(%error, "could not give a message back; it will come again by itself");
            }
        }
    }
}
