//! How often one address may try to sign in. The lock of an account does not stop whoever tries one password on each of
//! many accounts.

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    state::keyed::DefaultKeyedStateStore,
};
use rollcall_service::http::Problem;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

/// After so many tries, addresses that have a full bucket again are forgotten.
const FORGET_EVERY: u32 = 1_000;

/// The token buckets of all addresses.
pub(crate) struct SignInRates {
    limiter: RateLimiter<IpAddr, DefaultKeyedStateStore<IpAddr>, DefaultClock>,
    tries: AtomicU32,
}

impl SignInRates {
    pub(crate) fn new(per_minute: NonZeroU32) -> Self {
        Self { limiter: RateLimiter::keyed(Quota::per_minute(per_minute)), tries: AtomicU32::new(0) }
    }

    /// Takes one try out of the bucket of an address; calls without one share a bucket.
    ///
    /// # Errors
    /// `429` when the bucket is empty.
    pub(crate) fn take(&self, address: Option<IpAddr>) -> Result<(), Problem> {
        if self.tries.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY) {
            self.limiter.retain_recent();
        }
        let site = address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), site);
        self.limiter.check_key(&site).map_err(|not_until| {
            Problem::rate_limited(not_until.wait_time_from(DefaultClock::default().now()))
        })
    }
}

/// Of an IPv6 address the 64 bits that name a site: the others are the site's own to change (RFC 4291, section 2.5.4).
fn site(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(rates: &SignInRates, address: &str) -> bool {
        rates.take(Some(address.parse().unwrap())).is_ok()
    }

    #[test]
    fn an_address_has_its_tries_and_its_neighbours_have_theirs() {
        let rates = SignInRates::new(NonZeroU32::new(2).unwrap());
        let tries: Vec<_> = (0..3).map(|_| take(&rates, "192.0.2.1")).collect();
        assert_eq!(tries, [true, true, false]);
        assert!(take(&rates, "192.0.2.2"));
        let refused = rates.take(Some("192.0.2.1".parse().unwrap())).unwrap_err();
        assert_eq!(refused.status, http::StatusCode::TOO_MANY_REQUESTS);
        assert!(refused.retry_after.is_some());
    }

    #[test]
    fn a_site_does_not_get_more_by_changing_its_address() {
        let rates = SignInRates::new(NonZeroU32::MIN);
        assert!(take(&rates, "2001:db8::1"));
        assert!(!take(&rates, "2001:db8::2"));
        assert!(take(&rates, "2001:db8:0:1::1"));
    }

    #[test]
    fn addresses_with_a_full_bucket_are_forgotten() {
        let rates = SignInRates::new(NonZeroU32::new(1_000_000_000).unwrap());
        for number in 0..=FORGET_EVERY {
            rates.take(Some(IpAddr::V4(Ipv4Addr::from_bits(number)))).unwrap();
        }
        assert!(rates.limiter.len() < 10, "{}", rates.limiter.len());
    }
}
