//! Notifications: who is told what happens, and sending it. What is decided is a row for each fact, recipient and channel,
//! so that however often a fact comes, one notification goes out; what came of each attempt is on record.
//!
//! | module | what it does |
//! |---|---|
//! | `tell` | FACTS: decides by [`crate::policy::notify`], and writes what is to be sent |
//! | `send` | leases what is due, sends it, tries again, gives up |
//! | `gather` | makes digests of what was gathered |
//! | `request`, `replay` | pings of webhooks, and what is sent to them again |
//! | `channel` | the ways there are: `email`, `push`, `webhook` |
//! | `letter`, `unsubscribe` | what people read, and how they get no more of it |
//! | `reach`, `http` | where may be sent to, and how |
//!
//! Something is sent at least once: after a crash in the middle the receiver may get it again, under the same id
//! (`webhook-id`, `Message-ID`).

mod channel;
mod config;
mod email;
mod gather;
mod http;
mod letter;
mod place;
mod push;
mod reach;
mod replay;
mod request;
mod send;
mod tell;
mod unsubscribe;
mod webhook;

pub use config::{EmailSecurity, NotifyConfig, PushConfig, SmtpConfig, WebhookConfig};

use crate::{AttendanceConfig, Deps, consumer, error::WorkError};
use channel::Channel;
use chrono::TimeDelta;
use letter::Writer;
use rollcall_bus::{BatchSpec, ConsumerSpec};
use rollcall_schemas::{
    notification,
    subject::{self, RequestKind, Stream},
};
use rollcall_service::lifecycle::Lifecycle;
use rollcall_store::deliveries;
use send::Sender;
use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// The most facts that are decided on together, and how long they are waited for.
const FACTS_BATCH: usize = 256;
const FACTS_FILL: Duration = Duration::from_millis(50);

/// Old deliveries are looked for once in so many times of what is due.
const PURGE_ONCE_IN: u32 = 120;
/// How many of them are forgotten at once.
const PURGED_ROWS: i64 = 500;

/// The channels of this deployment.
type Channels = BTreeMap<notification::Channel, Box<dyn Channel>>;

/// Settings of a channel that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotifyError(String);

/// Starts deciding and sending; both end with `lifecycle`.
///
/// # Errors
/// When the settings of a channel cannot be used.
pub(crate) fn start(
    config: &AttendanceConfig,
    deps: &Deps,
    lifecycle: &Lifecycle,
) -> Result<(), NotifyError> {
    let channels = channels(deps, &config.notify).map_err(NotifyError)?;
    let to_people = channels.keys().copied().filter(|channel| *channel != notification::Channel::Webhook);
    let tell = tell::Tell { deps: deps.clone(), offered: to_people.collect(), config: config.notify.clone() };
    let consumer =
        ConsumerSpec { max_in_flight: FACTS_BATCH, ..ConsumerSpec::new(Stream::Facts, consumer::NOTIFIER) };
    let spec = BatchSpec { consumer, fill: FACTS_FILL };
    let (bus, stop) = (deps.bus.clone(), lifecycle.soft_stop());
    lifecycle.spawn(consumer::NOTIFIER, async move { bus.consume_batch(spec, Arc::new(tell), stop).await });

    let requests = ConsumerSpec {
        filter: Some(subject::request(RequestKind::Webhook)),
        ..ConsumerSpec::new(Stream::Requests, consumer::WEBHOOKS)
    };
    crate::consume(requests, request::AskWebhook(deps.clone()), deps, lifecycle);

    let sender = Sender::new(deps.clone(), channels, config);
    let (period, stop) = (config.timer_interval(), lifecycle.soft_stop());
    lifecycle.spawn("deliveries", async move {
        sender.run(period, stop).await;
        Ok::<_, Infallible>(())
    });
    let (timers, stop) = (Timers { deps: deps.clone(), config: config.clone() }, lifecycle.soft_stop());
    lifecycle.spawn("digests", async move {
        timers.run(stop).await;
        Ok::<_, Infallible>(())
    });
    Ok(())
}

fn channels(deps: &Deps, config: &NotifyConfig) -> Result<Channels, String> {
    let writer = Arc::new(Writer::new(deps));
    let webhooks = webhook::WebhookChannel::new(deps, &config.webhooks)?;
    let mut channels: Channels = BTreeMap::new();
    channels.insert(notification::Channel::Webhook, Box::new(webhooks));
    if let Some(email) = email::EmailChannel::new(deps, &config.smtp, writer.clone())? {
        channels.insert(notification::Channel::Email, Box::new(email));
    }
    if let Some(push) = push::PushChannel::new(&config.push, writer)? {
        channels.insert(notification::Channel::Push, Box::new(push));
    }
    Ok(channels)
}

/// What becomes due, apart from what is sent.
struct Timers {
    deps: Deps,
    config: AttendanceConfig,
}

impl Timers {
    async fn run(self, stop: CancellationToken) {
        let ticks = |period: Duration| {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let period = self.config.timer_interval();
        let (mut due, mut purge) = (ticks(period), ticks(period * PURGE_ONCE_IN));
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = due.tick() => {
                    self.act("gather_digests", gather::make_digests(&self.deps)).await;
                    self.act("replay", replay::advance(&self.deps)).await;
                }
                _ = purge.tick() => {
                    // A full batch means that there is more; what else is due has its turn in between.
                    if self.act("purge_deliveries", self.purge()).await >= PURGED_ROWS.unsigned_abs() {
                        purge.reset_immediately();
                    }
                }
            }
        }
    }

    /// Returns how much there was to do.
    async fn act(&self, name: &'static str, act: impl Future<Output = Result<u64, WorkError>>) -> u64 {
        match act.await {
            Ok(done) => {
                if done > 0 {
                    metrics::counter!("rollcall_attendance_timer_acts_total", "act" => name).increment(done);
                }
                done
            }
            // What is due stays due.
            Err(error) => {
                tracing::warn!(act = name, %error, "a timer could not act; it will try again");
                0
            }
        }
    }

    async fn purge(&self) -> Result<u64, WorkError> {
        let before = self.deps.clock.now() - TimeDelta::days(self.config.notify.kept_days.into());
        Ok(deliveries::purge(&self.deps.pool, before, PURGED_ROWS).await?)
    }
}
