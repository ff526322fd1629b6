//! The only place that reads the time of day and draws randomness.
//!
//! Everything else takes a [`Clock`] and an [`Entropy`], so that a test says what time it is and what is drawn.
//! Deadlines and pauses within a process are not the time of day: they use `tokio::time`.
#![allow(clippy::disallowed_methods)]

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use rand::{RngCore, SeedableRng, rngs::StdRng};
use rollcall_schemas::to_micros;
use std::sync::Arc;
use uuid::Uuid;

/// Tells the time, to the microsecond. Clones of a manual clock share its time.
#[derive(Clone, Debug)]
pub struct Clock(Option<Arc<Mutex<DateTime<Utc>>>>);

impl Clock {
    /// The machine's clock.
    pub fn real() -> Self {
        Self(None)
    }

    /// A clock that stands at `start` until it is told otherwise.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self(Some(Arc::new(Mutex::new(to_micros(start)))))
    }

    /// The time, truncated to whole microseconds.
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Some(time) => *time.lock(),
            None => to_micros(Utc::now()),
        }
    }

    /// Moves a manual clock.
    ///
    /// # Panics
    /// When the clock is the machine's.
    pub fn advance(&self, by: TimeDelta) {
        *self.manual_time().lock() += by;
    }

    /// Sets a manual clock.
    ///
    /// # Panics
    /// When the clock is the machine's.
    pub fn set(&self, to: DateTime<Utc>) {
        *self.manual_time().lock() = to_micros(to);
    }

    fn manual_time(&self) -> &Mutex<DateTime<Utc>> {
        self.0.as_ref().expect("only a manual clock is ever set")
    }
}

/// Draws ids and secrets. Clones of a seeded source share its sequence.
#[derive(Clone)]
pub struct Entropy(Option<Arc<Mutex<StdRng>>>);

impl Entropy {
    /// The operating system's randomness, by way of a cryptographic generator.
    pub fn real() -> Self {
        Self(None)
    }

    /// The same sequence for the same seed: for tests only.
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match &self.0 {
            Some(generator) => generator.lock().fill_bytes(&mut bytes),
            None => rand::rng().fill_bytes(&mut bytes),
        }
        bytes
    }

    /// A random UUID (version 4).
    pub fn uuid_v4(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }

    /// A secret of 256 bits, as 43 characters of base64url.
    pub fn secret(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.bytes::<32>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told_and_for_all_its_clones() {
        let start = DateTime::from_timestamp(1_700_000_000, 123_456_789).unwrap();
        let clock = Clock::manual(start);
        let clone = clock.clone();
        assert_eq!(clock.now(), DateTime::from_timestamp(1_700_000_000, 123_456_000).unwrap());
        clock.advance(TimeDelta::seconds(5));
        assert_eq!(clone.now() - to_micros(start), TimeDelta::seconds(5));
    }

    #[test]
    fn the_real_clock_is_cut_to_microseconds() {
        assert_eq!(Clock::real().now().timestamp_subsec_nanos() % 1_000, 0);
    }

    #[test]
    fn seeds_repeat_and_draws_differ() {
        let (a, b) = (Entropy::seeded(7), Entropy::seeded(7));
        let first = a.uuid_v4();
        assert_eq!(first, b.uuid_v4());
        assert_ne!(first, a.uuid_v4());
        assert_eq!(first.get_version_num(), 4);
        assert_ne!(Entropy::real().secret(), Entropy::real().secret());
        assert_eq!(Entropy::real().secret().len(), 43);
    }
}
