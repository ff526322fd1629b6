//! What follows from a handler's answer: acknowledge, wait, give back, or park in DEAD. The only place that settles
//! messages.

use super::{BatchHandler, ConsumerSpec, HandleError};
use crate::{Bus, Delivery, dead::Obituary};
use async_nats::jetstream::{self, AckKind, message::Acker};
use futures::FutureExt;
use parking_lot::Mutex;
use std::{
    any::Any,
    collections::BTreeMap,
    future::Future,
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Deliveries without any answer after which a message is taken for one that kills its process. Far above
/// `max_attempts`, because restarts of a healthy worker, and of the broker, are also deliveries without an answer.
const MAX_SILENT_DELIVERIES: u32 = 50;

/// Messages whose failures are remembered. Others are in back-off in another process, or done there.
const REMEMBERED_FAILURES: usize = 10_000;

/// A message on the desk: what it says, and how to answer the broker.
pub(super) struct Letter {
    delivery: Delivery,
    acker: Acker,
}

/// What became of the messages given to a handler.
enum Verdict {
    Done,
    /// To be tried again, after the consumer's back-off when no time is given.
    Failed {
        after: Option<Duration>,
        reason: String,
    },
    /// Not to be tried again.
    Rejected {
        reason: String,
    },
    /// Stopped while something was away.
    GivenBack,
}

/// Settles the messages of one consumer.
pub(super) struct Desk {
    bus: Bus,
    spec: ConsumerSpec,
    stop: CancellationToken,
    /// Failures by sequence. Kept here and not taken from the broker's count of deliveries, which grows without any
    /// failure and starts again at 1 when the broker was killed.
    failures: Mutex<BTreeMap<u64, u32>>,
}

impl Desk {
    pub(super) fn new(bus: Bus, spec: ConsumerSpec, stop: CancellationToken) -> Self {
        Self { bus, spec, stop, failures: Mutex::default() }
    }

    /// Puts a message on the desk, unless it is settled unseen: because it is none of ours, or because it has been
    /// delivered again and again and nobody ever lived to answer.
    pub(super) async fn open(&self, message: jetstream::Message) -> Option<Letter> {
        let delivery = Delivery::received(self.bus.namespace(), self.spec.stream, &message);
        let (_, acker) = message.split();
        let Some(mut delivery) = delivery else {
            self.answer(&acker, AckKind::Term).await;
            return None;
        };
        metrics::gauge!("rollcall_bus_pending", &self.labels()).set(delivery.pending as f64);
        let failures = self.failures.lock().get(&delivery.sequence).copied().unwrap_or(0);
        let deliveries = delivery.attempt;
        delivery.attempt = failures + 1;
        let letter = Letter { delivery, acker };
        if deliveries > MAX_SILENT_DELIVERIES.saturating_add(self.spec.max_attempts) && failures == 0 {
            self.bury(&letter, "delivered again and again without an answer: it may crash its worker").await;
            return None;
        }
        Some(letter)
    }

    /// Has the letters handled, and answers the broker for each.
    pub(super) async fn settle<H: BatchHandler>(&self, handler: &H, letters: &[Letter]) {
        let in_flight = metrics::gauge!("rollcall_bus_in_flight", &self.labels());
        in_flight.increment(letters.len() as f64);
        let verdict = self.alive_while(|| letters, self.decide(handler, letters)).await;
        in_flight.decrement(letters.len() as f64);
        match verdict {
            Verdict::Done => {
                for letter in letters {
                    self.failures.lock().remove(&letter.delivery.sequence);
                    self.answer(&letter.acker, AckKind::Ack).await;
                }
                self.count("done", letters.len());
            }
            Verdict::GivenBack => self.give_back(letters).await,
            Verdict::Failed { .. } | Verdict::Rejected { .. } if letters.len() > 1 => {
                self.settle_each(handler, letters).await;
            }
            Verdict::Failed { after, reason } => self.retry(&letters[0], after, &reason).await,
            Verdict::Rejected { reason } => self.bury(&letters[0], &reason).await,
        }
    }

    /// A batch failed: one bad message must not take the others with it.
    async fn settle_each<H: BatchHandler>(&self, handler: &H, letters: &[Letter]) {
        let begun = AtomicUsize::new(0);
        let one_by_one = async {
            for letter in letters {
                begun.fetch_add(1, Ordering::Relaxed);
                Box::pin(self.settle(handler, std::slice::from_ref(letter))).await;
            }
        };
        self.alive_while(|| &letters[begun.load(Ordering::Relaxed)..], one_by_one).await;
    }

    async fn decide<H: BatchHandler>(&self, handler: &H, letters: &[Letter]) -> Verdict {
        loop {
            let started = Instant::now();
            let result = self.call(handler, letters).await;
            metrics::histogram!("rollcall_bus_handle_seconds", &self.labels())
                .record(started.elapsed().as_secs_f64());
            match result {
                Ok(()) => return Verdict::Done,
                Err(HandleError::Retry { after, reason }) => return Verdict::Failed { after, reason },
                Err(HandleError::Reject { reason }) => return Verdict::Rejected { reason },
                Err(HandleError::Unavailable { after, reason }) => {
                    self.count("unavailable", letters.len());
                    tracing::warn!(consumer = self.spec.durable, reason, "waiting for what is away");
                    if !self.wait(after).await {
                        return Verdict::GivenBack;
                    }
                }
            }
        }
    }

    async fn call<H: BatchHandler>(&self, handler: &H, letters: &[Letter]) -> Result<(), HandleError> {
        let span = tracing::info_span!(
            "handle",
            consumer = self.spec.durable,
            stream = self.spec.stream.name(),
            sequence = letters.first().map(|letter| letter.delivery.sequence),
            messages = letters.len(),
        );
        let deliveries = letters.iter().map(|letter| letter.delivery.clone()).collect();
        let handled = AssertUnwindSafe(handler.handle(deliveries).instrument(span)).catch_unwind().await;
        handled.unwrap_or_else(|panic| Err(HandleError::retry(panic_reason(&*panic))))
    }

    /// Waits for `after`; false when stopped meanwhile.
    async fn wait(&self, after: Duration) -> bool {
        self.stop.run_until_cancelled(tokio::time::sleep(after)).await.is_some()
    }

    /// Tells the broker, every half `ack_wait`, that the letters are being worked on, for as long as `work` takes.
    async fn alive_while<'a, T>(
        &self,
        letters: impl Fn() -> &'a [Letter],
        work: impl Future<Output = T>,
    ) -> T {
        let period = (self.spec.ack_wait / 2).max(Duration::from_millis(10));
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                result = &mut work => return result,
                _ = ticks.tick() => {
                    for letter in letters() {
                        self.answer(&letter.acker, AckKind::Progress).await;
                    }
                }
            }
        }
    }

    async fn retry(&self, letter: &Letter, after: Option<Duration>, reason: &str) {
        let sequence = letter.delivery.sequence;
        let failures = self.remember_failure(sequence);
        if failures >= self.spec.max_attempts {
            return self.bury(letter, reason).await;
        }
        let after = after.unwrap_or_else(|| self.spec.backoff_after(failures));
        tracing::warn!(
            consumer = self.spec.durable,
            sequence,
            failures,
            reason,
            ?after,
            "will be tried again"
        );
        self.answer(&letter.acker, AckKind::Nak(Some(after))).await;
        self.count("retry", 1);
    }

    fn remember_failure(&self, sequence: u64) -> u32 {
        let mut failures = self.failures.lock();
        let count = failures.entry(sequence).or_default();
        *count += 1;
        let count = *count;
        while failures.len() > REMEMBERED_FAILURES {
            failures.pop_first();
        }
        count
    }

    /// Parks the letter in DEAD, however long that takes, and only then lets go of it.
    async fn bury(&self, letter: &Letter, reason: &str) {
        let sequence = letter.delivery.sequence;
        let letters = std::slice::from_ref(letter);
        if !self.alive_while(|| letters, self.park(letter, reason)).await {
            return self.give_back(letters).await;
        }
        self.failures.lock().remove(&sequence);
        if let Err(error) = letter.acker.double_ack_with(AckKind::Term).await {
            tracing::debug!(%error, "could not settle a dead message; it will come again");
        }
        let stream = self.spec.stream.name();
        tracing::error!(consumer = self.spec.durable, stream, sequence, reason, "message parked in DEAD");
        self.count("dead", 1);
    }

    /// Stores the dead letter, trying until it is stored; false when stopped before.
    async fn park(&self, letter: &Letter, reason: &str) -> bool {
        let obituary = Obituary { delivery: &letter.delivery, consumer: &self.spec.durable, reason };
        while let Err(error) = obituary.publish(&self.bus, self.spec.headers_only).await {
            let sequence = letter.delivery.sequence;
            tracing::error!(consumer = self.spec.durable, sequence, %error, "cannot park a message in DEAD yet");
            if !self.wait(Duration::from_secs(1)).await {
                return false;
            }
        }
        true
    }

    async fn give_back(&self, letters: &[Letter]) {
        for letter in letters {
            self.answer(&letter.acker, AckKind::Nak(None)).await;
        }
        self.count("given_back", letters.len());
    }

    /// An answer that does not arrive only means that the message comes again.
    async fn answer(&self, acker: &Acker, kind: AckKind) {
        if let Err(error) = acker.ack_with(kind).await {
            tracing::debug!(%error, ?kind, "could not answer the broker");
        }
    }

    fn labels(&self) -> [(&'static str, String); 2] {
        [("stream", self.spec.stream.name().to_owned()), ("consumer", self.spec.durable.clone())]
    }

    fn count(&self, result: &'static str, messages: usize) {
        let [stream, consumer] = self.labels();
        let labels = [stream, consumer, ("result", result.to_owned())];
        metrics::counter!("rollcall_bus_handled_total", &labels).increment(messages as u64);
    }
}

fn panic_reason(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    format!("handler panicked: {text}")
}
