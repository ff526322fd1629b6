//! How many frames a second each camera may push, and how many scans each student may make. A camera's limit comes with
//! its settings.

use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::{StateInformationMiddleware, StateSnapshot},
    state::{InMemoryState, NotKeyed, keyed::DefaultKeyedStateStore},
};
use parking_lot::Mutex;
use rollcall_schemas::id::{CameraId, UserId};
use std::{collections::HashMap, num::NonZeroU32, time::Duration};

/// How many seconds' worth of frames a camera may push at once: after a short outage it sends what it has stored.
const BURST_SECONDS: u32 = 2;
/// A scan a second is more than a phone has use for, and far less than would fill the log.
const SCANS_PER_SECOND: NonZeroU32 = NonZeroU32::MIN;
/// Retries after a moment without a network come at once.
const SCAN_BURST: NonZeroU32 = NonZeroU32::new(10).expect("a burst is more than nothing");

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// What a caller may still do (`RateLimit-*` of draft-ietf-httpapi-ratelimit-headers-07).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Calls that may be made at once.
    pub(crate) limit: u32,
    /// Calls that may still be made at once.
    pub(crate) remaining: u32,
    /// Until then one more may be made; zero while some remain.
    pub(crate) retry_after: Duration,
    /// Whether this one may.
    pub(crate) allowed: bool,
}

/// The token buckets of all cameras.
#[derive(Default)]
pub(crate) struct CameraRates(Mutex<HashMap<CameraId, (NonZeroU32, Limiter)>>);

impl CameraRates {
    /// Takes one frame of the camera out of its bucket. A changed limit begins with a full bucket.
    pub(crate) fn take(&self, camera: CameraId, frames_per_second: u32) -> Allowance {
        let rate = NonZeroU32::new(frames_per_second).unwrap_or(NonZeroU32::MIN);
        let mut limiters = self.0.lock();
        let (known_rate, limiter) = limiters.entry(camera).or_insert_with(|| (rate, limiter(rate)));
        if *known_rate != rate {
            (*known_rate, *limiter) = (rate, self::limiter(rate));
        }
        allowance(burst(rate), limiter.check())
    }

    /// Forgets a camera that is gone.
    pub(crate) fn forget(&self, camera: CameraId) {
        self.0.lock().remove(&camera);
    }
}

/// The token buckets of all students: as many as there are access tokens for, so none is ever forgotten.
pub(crate) struct StudentRates(RateLimiter<UserId, Students, DefaultClock, StateInformationMiddleware>);

type Students = DefaultKeyedStateStore<UserId>;

impl Default for StudentRates {
    fn default() -> Self {
        let quota = Quota::per_second(SCANS_PER_SECOND).allow_burst(SCAN_BURST);
        Self(RateLimiter::keyed(quota).with_middleware())
    }
}

impl StudentRates {
    /// Takes one scan of the student out of their bucket.
    pub(crate) fn take(&self, student: UserId) -> Allowance {
        allowance(SCAN_BURST, self.0.check_key(&student))
    }
}

fn allowance(
    limit: NonZeroU32,
    checked: Result<StateSnapshot, NotUntil<<DefaultClock as Clock>::Instant>>,
) -> Allowance {
    match checked {
        Ok(state) => Allowance {
            limit: limit.get(),
            remaining: state.remaining_burst_capacity(),
            retry_after: Duration::ZERO,
            allowed: true,
        },
        Err(not_until) => Allowance {
            limit: limit.get(),
            remaining: 0,
            retry_after: not_until.wait_time_from(DefaultClock::default().now()),
            allowed: false,
        },
    }
}

fn limiter(rate: NonZeroU32) -> Limiter {
    RateLimiter::direct(Quota::per_second(rate).allow_burst(burst(rate))).with_middleware()
}

fn burst(rate: NonZeroU32) -> NonZeroU32 {
    rate.saturating_mul(NonZeroU32::new(BURST_SECONDS).expect("a burst is more than nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const CAMERA: CameraId = CameraId(Uuid::from_u128(1));

    #[test]
    fn a_burst_passes_and_what_follows_waits() {
        let rates = CameraRates::default();
        let taken: Vec<_> = (0..3).map(|_| rates.take(CAMERA, 1)).collect();
        assert_eq!(taken.iter().map(|taken| taken.allowed).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!((taken[0].limit, taken[0].remaining), (2, 1));
        assert!(taken[2].retry_after > Duration::ZERO && taken[2].retry_after <= Duration::from_secs(1));
    }

    #[test]
    fn cameras_do_not_share_a_bucket() {
        let rates = CameraRates::default();
        while rates.take(CAMERA, 1).allowed {}
        assert!(rates.take(CameraId(Uuid::from_u128(2)), 1).allowed);
    }

    #[test]
    fn students_do_not_share_a_bucket() {
        let rates = StudentRates::default();
        let (one, other) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        let first = rates.take(one);
        assert_eq!((first.limit, first.remaining, first.allowed), (10, 9, true));
        while rates.take(one).allowed {}
        assert!(rates.take(other).allowed);
    }

    #[test]
    fn a_changed_limit_holds_at_once() {
        let rates = CameraRates::default();
        while rates.take(CAMERA, 1).allowed {}
        assert_eq!(rates.take(CAMERA, 5).limit, 10);
    }
}
