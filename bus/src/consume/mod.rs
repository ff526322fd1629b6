//! Consuming: durable, pulled, acknowledged after the effect. What a consumer is and what its handler may answer is
//! here; asking the broker is in `pull`, and what follows from an answer is in `desk`.

mod desk;
mod pull;

use crate::{Bus, BusError, Delivery, PublishError};
use desk::Desk;
use pull::Puller;
use rollcall_schemas::subject::{Stream, Subject};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// How long one request to the broker waits for a first message. A reconnection ends it earlier.
const IDLE_WAIT: Duration = Duration::from_secs(10);

/// A durable consumer: its place in the stream outlives the process, and processes with the same name share the work.
#[derive(Clone, Debug)]
pub struct ConsumerSpec {
    /// The stream.
    pub stream: Stream,
    /// The name that keeps the place.
    pub durable: String,
    /// Which subjects, or all of the stream.
    pub filter: Option<Subject>,
    /// How long the broker waits for a sign of life before it delivers a message again. Work may take longer: signs are
    /// given every half of it.
    pub ack_wait: Duration,
    /// How often a message may fail before it is parked in DEAD.
    pub max_attempts: u32,
    /// How long a failed message waits, by the number of its failures; the last one repeats.
    pub backoff: Vec<Duration>,
    /// How many messages are worked on at once; at least 1.
    pub max_in_flight: usize,
    /// Whether payloads stay with the broker.
    pub headers_only: bool,
}

impl ConsumerSpec {
    /// A consumer of everything in `stream`, one message at a time, five attempts over about a minute.
    pub fn new(stream: Stream, durable: impl Into<String>) -> Self {
        Self {
            stream,
            durable: durable.into(),
            filter: None,
            ack_wait: Duration::from_secs(30),
            max_attempts: 5,
            backoff: [200, 1_000, 5_000, 30_000].map(Duration::from_millis).into(),
            max_in_flight: 1,
            headers_only: false,
        }
    }

    /// How long the message waits after its `failures`th failure.
    fn backoff_after(&self, failures: u32) -> Duration {
        let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
        self.backoff.get(index).or(self.backoff.last()).copied().unwrap_or(Duration::from_secs(1))
    }
}

/// A consumer whose messages are handled together.
#[derive(Clone, Debug)]
pub struct BatchSpec {
    /// The consumer; `max_in_flight` is the most messages of a batch.
    pub consumer: ConsumerSpec,
    /// How long a batch is filled up after its first message; well under `ack_wait`.
    pub fill: Duration,
}

/// Why a message was not handled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// This message failed; another try may help. Counts as an attempt, and the last one leads to DEAD.
    #[error("failed: {reason}")]
    Retry {
        /// When to try again; the consumer's back-off when absent.
        after: Option<Duration>,
        /// What failed, without secrets or personal data: it is logged, and kept in DEAD.
        reason: String,
    },
    /// This message can never be handled: it goes to DEAD at once.
    #[error("rejected: {reason}")]
    Reject {
        /// What is wrong with it, without secrets or personal data.
        reason: String,
    },
    /// Something the handler needs is away. The message is kept and tried again for as long as it takes; it keeps its
    /// place among those in flight, so that consumption slows to a stop until the dependency is back.
    #[error("not available: {reason}")]
    Unavailable {
        /// When to try again.
        after: Duration,
        /// What is away.
        reason: String,
    },
}

impl HandleError {
    /// This message failed; try again by the consumer's back-off.
    pub fn retry(reason: impl ToString) -> Self {
        Self::Retry { after: None, reason: reason.to_string() }
    }

    /// This message can never be handled.
    pub fn reject(reason: impl ToString) -> Self {
        Self::Reject { reason: reason.to_string() }
    }

    /// Something the handler needs is away; try again in a second.
    pub fn unavailable(reason: impl ToString) -> Self {
        Self::Unavailable { after: Duration::from_secs(1), reason: reason.to_string() }
    }
}

impl From<PublishError> for HandleError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::TooLarge { .. } => Self::reject(error),
            PublishError::Full { .. } | PublishError::Unavailable { .. } => Self::unavailable(error),
        }
    }
}

/// Handles one message. Called again with the same message whenever that may be needed, so its effects must be
/// idempotent: ids derived from the input, unique keys, publishing with those ids.
pub trait Handler: Send + Sync + 'static {
    /// Brings about what follows from `delivery`. `Ok` means that all of it is durable.
    fn handle(&self, delivery: Delivery) -> impl Future<Output = Result<(), HandleError>> + Send;
}

/// Handles several messages together, in the order of the log. When it fails, each is handled alone, so that one bad
/// message does not take the others with it.
pub trait BatchHandler: Send + Sync + 'static {
    /// Brings about what follows from `deliveries`. `Ok` means that all of it is durable.
    fn handle(&self, deliveries: Vec<Delivery>) -> impl Future<Output = Result<(), HandleError>> + Send;
}

/// One message at a time is a batch of one.
struct Single<H>(Arc<H>);

impl<H: Handler> BatchHandler for Single<H> {
    async fn handle(&self, deliveries: Vec<Delivery>) -> Result<(), HandleError> {
        for delivery in deliveries {
            self.0.handle(delivery).await?;
        }
        Ok(())
    }
}

impl Bus {
    /// Consumes until `stop`: then takes nothing new, finishes what is in flight, and returns. Dropping the future
    /// instead ends at once, and the broker delivers again what was in flight.
    ///
    /// # Errors
    /// When the consumer cannot be created to begin with. Later troubles with the broker are waited out.
    pub async fn consume<H: Handler>(
        &self,
        spec: ConsumerSpec,
        handler: Arc<H>,
        stop: CancellationToken,
    ) -> Result<(), BusError> {
        let mut puller = Puller::open(self.clone(), &spec, stop.clone()).await?;
        let handler = Arc::new(Single(handler));
        let slots = Arc::new(Semaphore::new(spec.max_in_flight));
        let desk = Arc::new(Desk::new(self.clone(), spec, stop));
        let mut tasks = JoinSet::new();
        while let Some(free) = puller.unless_stopped(free_slots(&slots)).await {
            let Some(mut pull) = puller.pull(free, IDLE_WAIT).await else { break };
            while let Some(message) = pull.next().await {
                let Some(letter) = desk.open(message).await else { continue };
                let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
                let (desk, handler) = (desk.clone(), handler.clone());
                tasks.spawn(async move {
                    desk.settle(&*handler, &[letter]).await;
                    drop(slot);
                });
            }
            while tasks.try_join_next().is_some() {}
        }
        while tasks.join_next().await.is_some() {}
        self.settled().await;
        Ok(())
    }

    /// Consumes in batches until `stop`, one batch at a time; otherwise like [`Bus::consume`].
    ///
    /// # Errors
    /// When the consumer cannot be created to begin with.
    pub async fn consume_batch<H: BatchHandler>(
        &self,
        spec: BatchSpec,
        handler: Arc<H>,
        stop: CancellationToken,
    ) -> Result<(), BusError> {
        let BatchSpec { consumer: spec, fill } = spec;
        let mut puller = Puller::open(self.clone(), &spec, stop.clone()).await?;
        let desk = Desk::new(self.clone(), spec.clone(), stop);
        let mut letters = Vec::new();
        // Two requests a batch: one waits for a first message, one fills up. So nothing is ever delivered to a batch
        // that is being handled, where it would wait without a sign of life.
        while let Some(mut pull) = puller.pull(1, IDLE_WAIT).await {
            while let Some(message) = pull.next().await {
                letters.extend(desk.open(message).await);
            }
            let missing = spec.max_in_flight.saturating_sub(letters.len());
            if !letters.is_empty()
                && missing > 0
                && let Some(mut pull) = puller.pull(missing, fill).await
            {
                while let Some(message) = pull.next().await {
                    letters.extend(desk.open(message).await);
                }
            }
            if !letters.is_empty() {
                desk.settle(&*handler, &letters).await;
                letters.clear();
            }
        }
        self.settled().await;
        Ok(())
    }

    /// Sees the last acknowledgements off. When that fails, the messages come again.
    async fn settled(&self) {
        if let Err(error) = self.flush().await {
            tracing::debug!(%error, "stopped without the last acknowledgements");
        }
    }
}

/// Waits until there is a free slot, and says how many there are.
async fn free_slots(slots: &Arc<Semaphore>) -> usize {
    let first = slots.acquire().await.expect("the semaphore is never closed");
    let free = 1 + slots.available_permits();
    drop(first);
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_back_off_repeats() {
        let spec = ConsumerSpec::new(Stream::Scans, "test");
        assert_eq!(spec.backoff_after(1), Duration::from_millis(200));
        assert_eq!(spec.backoff_after(4), Duration::from_secs(30));
        assert_eq!(spec.backoff_after(100), Duration::from_secs(30));
        assert_eq!(ConsumerSpec { backoff: vec![], ..spec }.backoff_after(1), Duration::from_secs(1));
    }
}
