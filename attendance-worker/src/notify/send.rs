//! Sending what is due. A delivery is leased, sent without holding anything of the database, and settled; if this process
//! dies in between, the lease ends and somebody sends it again.

use super::{
    Channels,
    channel::{Failure, Receipt},
    letter::DIGEST,
    place::Place,
};
use crate::{
    AttendanceConfig, Deps,
    deps::traced,
    error::WorkError,
    facts,
    policy::notify::{after_quiet_hours, is_given_up, retry_at},
    trace::Trace,
};
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::fact::Fact;
use rollcall_store::{
    PgConnection, StoreError,
    deliveries::{self, Attempt, Leased, Recipient, Standing},
    outbox::{self, OutboxMessage},
    preferences, webhook_sending, webhooks,
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    task::{self, JoinSet},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How much longer a lease lasts than the slowest channel may take.
const LEASE_MARGIN: Duration = Duration::from_secs(60);
/// Into how many shares what is in flight is divided.
const SHARES: usize = 4;
/// What a webhook answers that wants nothing any more (410 Gone).
const GONE: u16 = 410;

/// Sends deliveries.
pub(super) struct Sender {
    inner: Arc<Inner>,
    in_flight: usize,
    /// How much of it is one recipient's, about: one that hangs does not keep the others waiting.
    share: usize,
}

struct Inner {
    deps: Deps,
    channels: Channels,
    lease: TimeDelta,
    disable_after: TimeDelta,
}

impl Sender {
    pub(super) fn new(deps: Deps, channels: Channels, config: &AttendanceConfig) -> Self {
        let config = &config.notify;
        let slowest = config.smtp.timeout().max(config.push.timeout()).max(config.webhooks.timeout());
        let lease = TimeDelta::from_std(slowest + LEASE_MARGIN).unwrap_or(TimeDelta::MAX);
        let disable_after = TimeDelta::hours(config.webhooks.disable_after_hours.into());
        let inner = Arc::new(Inner { deps, channels, lease, disable_after });
        let in_flight = config.in_flight.max(1);
        Self { inner, in_flight, share: in_flight.div_ceil(SHARES) }
    }

    /// Sends until `stop`; then finishes what is in flight.
    pub(super) async fn run(self, period: Duration, stop: CancellationToken) {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut tasks, mut held) = (JoinSet::new(), HashMap::new());
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                // Whatever is finished makes room for what is due.
                Some(done) = tasks.join_next_with_id() => {
                    held.remove(&done.map_or_else(|error| error.id(), |(id, ())| id));
                }
                _ = ticks.tick() => {}
            }
            while tasks.len() < self.in_flight {
                let free = self.in_flight - tasks.len();
                let leased = self.inner.lease(free.min(self.share), &self.busy(&held)).await;
                if leased.is_empty() {
                    break;
                }
                for leased in leased {
                    let (inner, recipient) = (self.inner.clone(), leased.recipient.id());
                    let task = tasks.spawn(async move { inner.try_sending(leased).await });
                    held.insert(task.id(), recipient);
                }
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// The recipients that hold their share of what is in flight.
    fn busy(&self, held: &HashMap<task::Id, Uuid>) -> Vec<Uuid> {
        let mut counts = HashMap::<Uuid, usize>::new();
        for recipient in held.values() {
            *counts.entry(*recipient).or_default() += 1;
        }
        counts.into_iter().filter(|(_, count)| *count >= self.share).map(|(recipient, _)| recipient).collect()
    }
}

impl Inner {
    async fn lease(&self, limit: usize, busy: &[Uuid]) -> Vec<Leased> {
        let now = self.deps.clock.now();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let leased = deliveries::lease(&self.deps.pool, now..now + self.lease, limit, busy).await;
        leased.unwrap_or_else(|error| {
            tracing::warn!(%error, "what is to be sent cannot be read; it will be tried again");
            Vec::new()
        })
    }

    async fn try_sending(&self, leased: Leased) {
        let (at, begun) = (self.deps.clock.now(), Instant::now());
        let result = match self.channels.get(&leased.channel) {
            Some(channel) => channel.send(&leased).await,
            None => Err(Failure::Nobody("the channel is not set up")),
        };
        let latency = begun.elapsed();
        let channel = leased.channel.as_str();
        metrics::histogram!("rollcall_notify_attempt_seconds", "channel" => channel).record(latency);
        // What cannot be recorded is sent again when the lease is over.
        if let Err(error) = self.settle(&leased, &result, at, latency).await {
            tracing::warn!(%error, delivery = %leased.id, "what came of a notification is not on record");
        }
    }

    async fn settle(
        &self,
        leased: &Leased,
        result: &Result<Receipt, Failure>,
        at: DateTime<Utc>,
        latency: Duration,
    ) -> Result<(), WorkError> {
        let Some((standing, code, failure)) = self.judge(leased, result, at) else { return Ok(()) };
        let attempt = Attempt {
            at,
            code: code.map(i32::from),
            latency_ms: i32::try_from(latency.as_millis()).unwrap_or(i32::MAX),
            failure,
        };
        let mut tx = self.deps.begin().await?;
        let standing = self.out_of_quiet_hours(&mut tx, leased, standing).await?;
        let is_ours = deliveries::settle(&mut tx, leased, &attempt, standing).await?;
        let fact = match leased.recipient {
            Recipient::Webhook(_) if is_ours => self.note_health(&mut tx, leased, &attempt, standing).await?,
            _ => None,
        };
        if let Some(fact) = &fact {
            let message = vec![OutboxMessage::fact(fact)];
            outbox::enqueue(&mut tx, fact.fact_id.0, at, &traced(message, &Trace::current().headers()))
                .await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
        count(leased, standing, at);
        if let Some(fact) = fact {
            metrics::counter!("rollcall_notify_webhooks_disabled_total").increment(1);
            self.deps.deliver(fact.fact_id.0).await?;
        }
        Ok(())
    }

    /// Where a delivery stands after an attempt, what was answered and what failed; nothing for what was no attempt.
    fn judge(
        &self,
        leased: &Leased,
        result: &Result<Receipt, Failure>,
        at: DateTime<Utc>,
    ) -> Option<(Standing, Option<u16>, Option<String>)> {
        Some(match result {
            Ok(Receipt { code }) => (Standing::Delivered, *code, None),
            Err(Failure::Later { code, reason, after }) => {
                let tries = leased.tries.unsigned_abs();
                let next = retry_at(tries, at, self.draw(), *after);
                (next.map_or(Standing::Failed, Standing::Waiting), *code, Some(reason.clone().into_owned()))
            }
            Err(Failure::Never { code, reason }) => {
                (Standing::Failed, *code, Some(reason.clone().into_owned()))
            }
            Err(Failure::Nobody(reason)) => (Standing::Cancelled, None, Some((*reason).to_owned())),
            Err(Failure::Store(error)) => {
                tracing::warn!(%error, delivery = %leased.id, "a notification waits for the database");
                return None;
            }
        })
    }

    /// What is tried again is not tried in the quiet hours of a person either. Digests come at their hour.
    async fn out_of_quiet_hours(
        &self,
        tx: &mut PgConnection,
        leased: &Leased,
        standing: Standing,
    ) -> Result<Standing, StoreError> {
        let (Standing::Waiting(next), Recipient::User(user)) = (standing, leased.recipient) else {
            return Ok(standing);
        };
        let quiet = preferences::of_user(tx, user).await?.quiet_hours;
        let Some(quiet) = quiet.filter(|_| leased.topic != DIGEST) else { return Ok(standing) };
        Ok(Standing::Waiting(after_quiet_hours(quiet, next, Place::read(tx).await?.zone)))
    }

    /// A number from 0 to 1.
    fn draw(&self) -> f64 {
        f64::from(u32::from_be_bytes(self.deps.entropy.bytes())) / f64::from(u32::MAX)
    }

    /// Notes how sending to a webhook goes, and gives it up when it has gone badly for too long, or is not wanted.
    async fn note_health(
        &self,
        tx: &mut PgConnection,
        leased: &Leased,
        attempt: &Attempt,
        standing: Standing,
    ) -> Result<Option<Fact>, StoreError> {
        let Recipient::Webhook(id) = leased.recipient else { return Ok(None) };
        match standing {
            Standing::Delivered => webhook_sending::answered(tx, id).await.map(|()| None),
            Standing::Cancelled => Ok(None),
            Standing::Waiting(_) | Standing::Failed => {
                let Some(webhook) = webhooks::find(tx, id).await? else { return Ok(None) };
                let since = webhook_sending::failed(tx, id, webhook.enabled_at, attempt.at).await?;
                let is_gone = attempt.code == Some(i32::from(GONE));
                let is_over = is_gone || is_given_up(since, attempt.at, self.disable_after);
                if !is_over || !webhook_sending::disable(tx, id, webhook.enabled_at, attempt.at).await? {
                    return Ok(None);
                }
                Ok(Some(facts::webhook_disabled(id, since, attempt.at)))
            }
        }
    }
}

fn count(leased: &Leased, standing: Standing, at: DateTime<Utc>) {
    let channel = leased.channel.as_str();
    let result = match standing {
        Standing::Waiting(_) => "retry",
        Standing::Delivered => "delivered",
        Standing::Failed => "failed",
        Standing::Cancelled => "cancelled",
    };
    metrics::counter!("rollcall_notify_attempts_total", "channel" => channel, "result" => result)
        .increment(1);
    if standing == Standing::Delivered {
        let delay = (at - leased.created_at).as_seconds_f64().max(0.0);
        metrics::histogram!("rollcall_notify_delay_seconds", "channel" => channel).record(delay);
    }
    if standing == Standing::Failed {
        tracing::warn!(delivery = %leased.id, channel, topic = leased.topic, "a notification is given up");
    }
}
