//! What runs beside the handlers, from the start of the api to its soft stop: followers of the log, and what is done now
//! and then.

use super::{Api, publish};
use crate::{
    api_keys::{NoteKeyUses, note_own_uses},
    audit::RecordRefusals,
    auth, feeds, idempotency,
    signing::Signing,
};
use chrono::TimeDelta;
use rollcall_service::lifecycle::Lifecycle;
use rollcall_store::outbox::{self, DeliverError};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often messages that were left behind are looked for, and how old they must be not to be in hand elsewhere.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
const LEFT_BEHIND_AFTER: TimeDelta = TimeDelta::seconds(10);
const SWEEP_AT_MOST: i64 = 500;
/// How often kept answers are looked for that are old enough to be forgotten.
const PURGE_EVERY: Duration = Duration::from_secs(60);
/// How often it is written when keys were used.
const NOTE_USES_EVERY: Duration = Duration::from_secs(60);

impl Api {
    /// Starts all of it in `lifecycle`.
    pub(super) fn spawn(&self, lifecycle: &Lifecycle) {
        let (api, stop) = (self.clone(), lifecycle.soft_stop());
        lifecycle.spawn("signing-key", async move {
            stop.run_until_cancelled(Signing::follow(api)).await;
            Ok::<_, Infallible>(())
        });
        let (api, stop) = (self.clone(), lifecycle.soft_stop());
        lifecycle.spawn("sign-ins", async move {
            stop.run_until_cancelled(auth::sweep(api)).await;
            Ok::<_, Infallible>(())
        });
        let (api, stop) = (self.clone(), lifecycle.soft_stop());
        lifecycle.spawn("outbox", async move {
            stop.run_until_cancelled(api.sweep()).await;
            Ok::<_, Infallible>(())
        });
        let (api, stop) = (self.clone(), lifecycle.soft_stop());
        lifecycle.spawn("kept-answers", async move {
            stop.run_until_cancelled(api.purge_kept_answers()).await;
            Ok::<_, Infallible>(())
        });
        let (api, stop) = (self.clone(), lifecycle.soft_stop());
        let cameras = self.bus().feed(None, None, lifecycle.soft_stop());
        lifecycle.spawn("feeds", async move {
            let keys = api.0.keys.clone();
            stop.run_until_cancelled(feeds::keep_told(api, keys, cameras)).await;
            Ok::<_, Infallible>(())
        });
        let (api, stop) = (self.clone(), lifecycle.soft_stop());
        lifecycle.spawn("key-uses", async move {
            let handler = Arc::new(NoteKeyUses(api.clone()));
            api.bus().consume(NoteKeyUses::consumer(), handler, stop).await
        });
        let (api, stop) = (self.clone(), lifecycle.soft_stop());
        lifecycle.spawn("own-key-uses", async move {
            api.note_uses(stop).await;
            Ok::<_, Infallible>(())
        });
        let (api, stop) = (self.clone(), lifecycle.soft_stop());
        lifecycle.spawn("socket.io", async move {
            api.live().keep(api.keys(), api.config().keep_alive(), stop).await;
            Ok::<_, Infallible>(())
        });
        let (api, stop) = (self.clone(), lifecycle.soft_stop());
        lifecycle.spawn("settings", async move {
            stop.run_until_cancelled(api.follow_settings(stop.clone())).await;
            Ok::<_, Infallible>(())
        });
        let (api, stop) = (self.clone(), lifecycle.soft_stop());
        lifecycle.spawn("audit", async move {
            stop.run_until_cancelled(api.seal_audit()).await;
            Ok::<_, Infallible>(())
        });
        let (api, stop) = (self.clone(), lifecycle.soft_stop());
        lifecycle.spawn("refusals-of-ingest", async move {
            let handler = Arc::new(RecordRefusals(api.clone()));
            api.bus().consume(RecordRefusals::consumer(), handler, stop).await
        });
        let (api, stop) = (self.clone(), lifecycle.soft_stop());
        lifecycle.spawn("refusals", async move {
            api.write_refusals_until(stop).await;
            Ok::<_, Infallible>(())
        });
    }

    /// Forgets answers that were kept long enough.
    async fn purge_kept_answers(&self) {
        let mut ticks = tokio::time::interval(PURGE_EVERY);
        loop {
            ticks.tick().await;
            if let Err(error) = idempotency::purge(self).await {
                tracing::debug!(%error, "kept answers cannot be forgotten yet");
            }
        }
    }

    /// Writes now and then which keys were used, and at the end what is left.
    async fn note_uses(&self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(NOTE_USES_EVERY);
        loop {
            let goes_on = stop.run_until_cancelled(ticks.tick()).await.is_some();
            if let Err(error) = note_own_uses(self).await {
                tracing::debug!(%error, "uses of keys are not written; the next use of each will be");
            }
            if !goes_on {
                return;
            }
        }
    }

    async fn sweep(&self) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        loop {
            ticks.tick().await;
            let older_than = self.clock().now() - LEFT_BEHIND_AFTER;
            let bus = self.bus().clone();
            let publish = async move |message| publish(&bus, message).await;
            let swept =
                outbox::deliver_left_behind(&self.0.deps.pool, older_than, SWEEP_AT_MOST, publish).await;
            match swept {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "messages that were left behind are published"),
                Err(DeliverError::Store(error)) => tracing::debug!(%error, "the outbox cannot be read"),
                Err(DeliverError::Publish(error)) => {
                    tracing::debug!(%error, "the outbox cannot be published");
                }
            }
        }
    }
}
