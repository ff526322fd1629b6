//! The token buckets of one limit, one for each caller (GCRA, ITU-T I.371). What other processes let through is taken
//! out of them too, and may leave a bucket in debt: what was let through too often is paid for later.

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::StateInformationMiddleware,
    nanos::Nanos,
    state::{
        StateStore,
        keyed::{DefaultKeyedStateStore, ShrinkableKeyedStateStore},
    },
};
use rollcall_schemas::limit::Limit;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::time::Instant;
use uuid::Uuid;

/// What a caller may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    /// Calls that may still be made at once.
    pub(super) remaining: u32,
    /// Until then nothing is let through; `None` when this call was.
    pub(super) wait: Option<Duration>,
}

/// The buckets of one limit.
pub(super) struct Buckets {
    limiter: RateLimiter<Uuid, Shared, Ticks, StateInformationMiddleware>,
    /// The state of the limiter, for debits that it has no operation for.
    store: Shared,
    ticks: Ticks,
    spacing: Duration,
}

impl Buckets {
    pub(super) fn new(limit: Limit) -> Self {
        let (store, ticks) = (Shared::default(), Ticks(Instant::now()));
        let quota = Quota::per_minute(limit.per_minute).allow_burst(limit.burst);
        let limiter = RateLimiter::new(quota, store.clone(), ticks.clone());
        Self { limiter, store, ticks, spacing: quota.replenish_interval() }
    }

    /// Takes one call out of a bucket, if there is one.
    pub(super) fn take(&self, key: &Uuid) -> Level {
        match self.limiter.check_key(key) {
            Ok(state) => Level { remaining: state.remaining_burst_capacity(), wait: None },
            Err(not_until) => Level { remaining: 0, wait: Some(not_until.wait_time_from(self.ticks.now())) },
        }
    }

    /// Takes calls out of a bucket, whether they are there or not.
    pub(super) fn debit(&self, key: &Uuid, calls: u32) {
        // The limiter's own times count from when it was made, which is when the ticks began.
        let now = self.ticks.now();
        let weight = Nanos::from(self.spacing.saturating_mul(calls));
        let debited = self.store.measure_and_replace(key, |arrival| {
            let from = arrival.unwrap_or(now).max(now);
            Ok::<_, Infallible>(((), Nanos::new(from.as_u64().saturating_add(weight.as_u64()))))
        });
        debited.unwrap_or_else(|never| match never {});
    }

    /// Until a bucket with so many calls in it is full again.
    pub(super) fn until_full(&self, limit: Limit, level: Level) -> Duration {
        let missing = limit.burst.get().saturating_sub(level.remaining);
        match level.wait {
            None => self.spacing.saturating_mul(missing),
            // After the wait, one call may be made.
            Some(wait) => wait + self.spacing.saturating_mul(missing.saturating_sub(1)),
        }
    }

    /// Forgets full buckets: they are what an unknown caller has.
    pub(super) fn forget_full(&self) {
        self.limiter.retain_recent();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.limiter.is_empty()
    }
}

/// governor's store of buckets, shared with its limiter.
#[derive(Clone, Default)]
struct Shared(Arc<DefaultKeyedStateStore<Uuid>>);

impl StateStore for Shared {
    type Key = Uuid;

    fn measure_and_replace<T, F, E>(&self, key: &Uuid, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, f)
    }
}

impl ShrinkableKeyedStateStore<Uuid> for Shared {
    fn retain_recent(&self, drop_below: Nanos) {
        self.0.retain_recent(drop_below);
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Time since the limiter was made, which never goes back.
#[derive(Clone)]
struct Ticks(Instant);

impl Clock for Ticks {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}
