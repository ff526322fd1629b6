//! How many calls are let through: one limiter for every process that serves HTTP, and the layer that asks it.
//!
//! Limits hold for the whole deployment: a process tells the others what it let through ([`Limiter::untold`]), and they
//! take it out of their own buckets ([`Limiter::hear`]). Who carries the words is not known here. Decisions are local
//! and never wait, so between two words a caller who calls N processes at once may be let through more often than the
//! limit says: by what the other N - 1 let through within [`TELL_EVERY`] and the way of the message, which is never more
//! than N - 1 bursts and, for a caller who has used up the burst, N - 1 times the rate times that interval. The excess is
//! a debt: nothing more is let through until it is paid. While the broker is away each process holds the limit alone.
//!
//! # Metrics
//! | name | kind | labels |
//! |---|---|---|
//! | `http_limited_total` | counter: calls answered 429 | `group`, `scope` |

mod bucket;
mod config;
mod gate;

pub use config::LimitsConfig;
pub use gate::{Authenticated, Gate, admit};

use crate::{clock::Entropy, http::Problem};
use bucket::Buckets;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::{Mutex, RwLock};
use rollcall_schemas::{
    id::{ApiKeyId, CameraId, UserId},
    limit::{Consumption, Limit, LimitScope, RouteGroup, Taken},
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};
use uuid::Uuid;

/// How often a process tells the others what it let through.
pub const TELL_EVERY: Duration = Duration::from_millis(50);
/// After telling so often, full buckets are forgotten: about every minute.
const FORGET_EVERY: u32 = 1_200;
/// How many seconds' worth of frames a camera may push at once: after a short outage it sends what it has stored.
const CAMERA_BURST_S: NonZeroU32 = NonZeroU32::new(2).expect("2 is not 0");
const SECONDS_A_MINUTE: NonZeroU32 = NonZeroU32::new(60).expect("60 is not 0");

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charged {
    /// Somebody unknown, from this address; calls without one share a bucket.
    Address(Option<IpAddr>),
    /// A user.
    User(UserId),
    /// An API key.
    Key(ApiKeyId),
}

impl Charged {
    fn scope(self) -> LimitScope {
        match self {
            Charged::Address(_) => LimitScope::Address,
            Charged::User(_) => LimitScope::User,
            Charged::Key(_) => LimitScope::Key,
        }
    }

    fn key(self) -> Uuid {
        match self {
            Charged::Address(address) => match site(address.unwrap_or(Ipv4Addr::UNSPECIFIED.into())) {
                IpAddr::V4(address) => hashed(&address.octets()),
                IpAddr::V6(address) => hashed(&address.octets()),
            },
            Charged::User(id) => hashed(id.0.as_bytes()),
            Charged::Key(id) => hashed(id.0.as_bytes()),
        }
    }
}

/// Of an IPv6 address the 64 bits that name a site: the others are the site's own to change (RFC 4291, section 2.5.4).
fn site(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// 128 bits of SHA-256: who is limited is told to every process, and who they are to none.
fn hashed(bytes: &[u8]) -> Uuid {
    let digest = Sha256::digest(bytes);
    Uuid::from_slice(&digest[..16]).expect("half of 32 bytes are 16")
}

/// What came of a call (`RateLimit-*` of draft-ietf-httpapi-ratelimit-headers-06).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Calls that may be made at once.
    pub limit: u32,
    /// Calls that may still be made at once.
    pub remaining: u32,
    /// Until then all of them may be made again.
    pub reset: Duration,
    /// Until then none is let through; `None` when this one is.
    pub retry_after: Option<Duration>,
}

impl Allowance {
    /// Passes the call, or refuses it.
    ///
    /// # Errors
    /// `429` with `Retry-After`.
    pub fn check(&self) -> Result<(), Problem> {
        self.retry_after.map_or(Ok(()), |wait| Err(Problem::rate_limited(wait)))
    }

    /// What goes on the answer, whatever it is.
    pub fn headers(&self) -> HeaderMap {
        HeaderMap::from_iter([
            (LIMIT, HeaderValue::from(self.limit)),
            (REMAINING, HeaderValue::from(self.remaining)),
            (RESET, HeaderValue::from(self.reset.as_millis().div_ceil(1_000) as u64)),
        ])
    }
}

/// The limit that a call comes under.
type Terms = (RouteGroup, LimitScope, Limit);

/// Counts calls. Clones share the counts.
#[derive(Clone)]
pub struct Limiter(Arc<Inner>);

struct Inner {
    /// What the configuration file says.
    config: LimitsConfig,
    /// The same, with what was set at run time over it.
    present: RwLock<LimitsConfig>,
    process: Uuid,
    buckets: Mutex<HashMap<Terms, Arc<Buckets>>>,
    untold: Mutex<Untold>,
}

/// What the others have not been told of.
#[derive(Default)]
struct Untold {
    taken: HashMap<(Terms, Uuid), u32>,
    times_told: u32,
}

impl Limiter {
    /// A limiter with full buckets.
    pub fn new(config: LimitsConfig, entropy: &Entropy) -> Self {
        let process = entropy.uuid_v4();
        let present = RwLock::new(config);
        Self(Arc::new(Inner {
            config,
            present,
            process,
            buckets: Mutex::default(),
            untold: Mutex::default(),
        }))
    }

    /// What it was made with.
    pub fn configured(&self) -> LimitsConfig {
        self.0.config
    }

    /// Goes by what was set at run time, over what it was made with. A changed limit begins with full buckets.
    pub fn set(&self, limits: &BTreeMap<String, Limit>) {
        *self.0.present.write() = self.0.config.with(limits);
    }

    /// Takes one call out of its caller's bucket. `None` where no such limit is set.
    pub fn take(&self, group: RouteGroup, charged: Charged) -> Option<Allowance> {
        let limit = self.0.present.read().find(group, charged.scope())?;
        Some(self.take_under((group, charged.scope(), limit), charged.key()))
    }

    /// Takes one frame out of what a camera may push. A changed limit begins with a full bucket.
    pub fn take_frame(&self, camera: CameraId, frames_per_second: u32) -> Allowance {
        let rate = NonZeroU32::new(frames_per_second).unwrap_or(NonZeroU32::MIN);
        let limit = Limit {
            per_minute: rate.saturating_mul(SECONDS_A_MINUTE),
            burst: rate.saturating_mul(CAMERA_BURST_S),
        };
        self.take_under((RouteGroup::Frames, LimitScope::Camera, limit), hashed(camera.0.as_bytes()))
    }

    fn take_under(&self, terms: Terms, key: Uuid) -> Allowance {
        let (group, scope, limit) = terms;
        let buckets = self.buckets(terms);
        let level = buckets.take(&key);
        if level.wait.is_none() {
            *self.0.untold.lock().taken.entry((terms, key)).or_default() += 1;
        } else {
            let labels = [("group", group.name()), ("scope", scope.name())];
            metrics::counter!("http_limited_total", &labels).increment(1);
        }
        Allowance {
            limit: limit.burst.get(),
            remaining: level.remaining,
            reset: buckets.until_full(limit, level),
            retry_after: level.wait,
        }
    }

    fn buckets(&self, terms: Terms) -> Arc<Buckets> {
        let mut buckets = self.0.buckets.lock();
        buckets.entry(terms).or_insert_with(|| Arc::new(Buckets::new(terms.2))).clone()
    }

    /// What was let through and not told yet; it counts as told then. `None` when there is nothing to tell.
    pub fn untold(&self) -> Option<Consumption> {
        let taken = {
            let mut untold = self.0.untold.lock();
            untold.times_told = untold.times_told.wrapping_add(1);
            if untold.times_told.is_multiple_of(FORGET_EVERY) {
                self.forget_full();
            }
            mem::take(&mut untold.taken)
        };
        let told = |(((group, scope, limit), key), calls)| Taken { group, scope, limit, key, calls };
        let taken: Vec<_> = taken.into_iter().map(told).collect();
        (!taken.is_empty()).then_some(Consumption { process: self.0.process, taken })
    }

    /// Takes what another process let through out of the buckets here.
    pub fn hear(&self, told: &Consumption) {
        if told.process == self.0.process {
            return;
        }
        for taken in &told.taken {
            self.buckets((taken.group, taken.scope, taken.limit)).debit(&taken.key, taken.calls);
        }
    }

    /// A full bucket is what an unknown caller has.
    fn forget_full(&self) {
        self.0.buckets.lock().retain(|_, buckets| {
            buckets.forget_full();
            !buckets.is_empty()
        });
    }
}

#[cfg(test)]
mod tests;
