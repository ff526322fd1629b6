//! How many frames a second each camera may push. The limits themselves come with the camera's settings.

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};
use parking_lot::Mutex;
use rollcall_schemas::id::CameraId;
use std::{collections::HashMap, num::NonZeroU32, time::Duration};

/// How many seconds' worth of frames a camera may push at once: after a short outage it sends what it has stored.
const BURST_SECONDS: u32 = 2;

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// What a camera may still push (`RateLimit-*` of draft-ietf-httpapi-ratelimit-headers-07).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Frames that may be pushed at once.
    pub(crate) limit: u32,
    /// Frames that may still be pushed at once.
    pub(crate) remaining: u32,
    /// Until then one more may be pushed; zero while some remain.
    pub(crate) retry_after: Duration,
    /// Whether this frame may be pushed.
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
        match limiter.check() {
            Ok(state) => Allowance {
                limit: burst(rate).get(),
                remaining: state.remaining_burst_capacity(),
                retry_after: Duration::ZERO,
                allowed: true,
            },
            Err(not_until) => Allowance {
                limit: burst(rate).get(),
                remaining: 0,
                retry_after: not_until.wait_time_from(DefaultClock::default().now()),
                allowed: false,
            },
        }
    }

    /// Forgets a camera that is gone.
    pub(crate) fn forget(&self, camera: CameraId) {
        self.0.lock().remove(&camera);
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
    fn a_changed_limit_holds_at_once() {
        let rates = CameraRates::default();
        while rates.take(CAMERA, 1).allowed {}
        assert_eq!(rates.take(CAMERA, 5).limit, 10);
    }
}
