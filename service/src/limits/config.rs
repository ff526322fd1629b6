//! The settings of `[limits]`.

use rollcall_schemas::limit::{Limit, LimitScope, RouteGroup};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, num::NonZeroU32};

/// How many calls are let through, by group of routes and by whose they are: `100/min burst 20` lets 20 pass at once and
/// 100 a minute. A call counts for its user or its API key; for its address when it has no good credentials, and always
/// when it signs in. So a school behind one router is many callers, and whoever guesses is one. Of IPv6, an address is
/// its /64. Frames count for their camera, whose own setting (`maxFramesPerSecond`) limits them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Signing in, registering, refreshing: from one address. People behind one router share it.
    #[schemars(with = "String")]
    pub sign_in_address: Limit,
    /// Whatever changes nothing, without good credentials: from one address.
    #[schemars(with = "String")]
    pub read_address: Limit,
    /// Whatever changes nothing: of one user.
    #[schemars(with = "String")]
    pub read_user: Limit,
    /// Whatever changes nothing: of one API key.
    #[schemars(with = "String")]
    pub read_key: Limit,
    /// Whatever changes something, without good credentials: from one address.
    #[schemars(with = "String")]
    pub write_address: Limit,
    /// Whatever changes something: of one user.
    #[schemars(with = "String")]
    pub write_user: Limit,
    /// Whatever changes something: of one API key.
    #[schemars(with = "String")]
    pub write_key: Limit,
    /// Scans without good credentials: from one address.
    #[schemars(with = "String")]
    pub scan_address: Limit,
    /// Scans of one student.
    #[schemars(with = "String")]
    pub scan_user: Limit,
    /// Frames without good credentials: from one address.
    #[schemars(with = "String")]
    pub frame_address: Limit,
    /// Connections of Socket.IO that are opened from one address. Who opens one is known only afterwards, so it lets a
    /// school behind one router in at once.
    #[schemars(with = "String")]
    pub live_address: Limit,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let address = limit(100, 100);
        Self {
            sign_in_address: address,
            read_address: address,
            read_user: limit(1_200, 600),
            read_key: limit(6_000, 1_000),
            write_address: address,
            write_user: limit(600, 300),
            write_key: limit(3_000, 500),
            scan_address: address,
            // A scan a second is more than a phone has use for; retries after a moment without a network come at once.
            scan_user: limit(60, 10),
            frame_address: address,
            live_address: limit(3_000, 1_500),
        }
    }
}

impl LimitsConfig {
    /// The same with what was set over it, by the names of the settings. Names that are not known are another version's.
    pub fn with(self, set: &BTreeMap<String, Limit>) -> Self {
        let Ok(Value::Object(mut limits)) = serde_json::to_value(self) else { return self };
        for (name, limit) in set {
            limits.entry(name).and_modify(|value| *value = limit.to_string().into());
        }
        serde_json::from_value(Value::Object(limits)).unwrap_or(self)
    }

    /// The same limit for everybody everywhere.
    pub fn uniform(limit: Limit) -> Self {
        Self {
            sign_in_address: limit,
            read_address: limit,
            read_user: limit,
            read_key: limit,
            write_address: limit,
            write_user: limit,
            write_key: limit,
            scan_address: limit,
            scan_user: limit,
            frame_address: limit,
            live_address: limit,
        }
    }

    /// What is let through; `None` where something else decides: nobody has signed in before signing in, and the frames
    /// that come with a key count for their camera.
    pub(super) fn find(&self, group: RouteGroup, scope: LimitScope) -> Option<Limit> {
        use LimitScope::{Address, Camera, Key, User};
        use RouteGroup::{Frames, Live, Read, Scans, SignIn, Write};
        Some(match (group, scope) {
            (SignIn, Address) => self.sign_in_address,
            (Read, Address) => self.read_address,
            (Read, User) => self.read_user,
            (Read, Key) => self.read_key,
            (Write, Address) => self.write_address,
            // A user pushes no frames: they are refused, and their tries count.
            (Write | Frames, User) => self.write_user,
            // An API key makes no scans: it is refused, and its tries count.
            (Write | Scans, Key) => self.write_key,
            (Scans, Address) => self.scan_address,
            (Scans, User) => self.scan_user,
            (Frames, Address) => self.frame_address,
            (Live, Address) => self.live_address,
            (SignIn | Live, User | Key) | (Frames, Key) | (_, Camera) => return None,
        })
    }
}

fn limit(per_minute: u32, burst: u32) -> Limit {
    let positive = |number| NonZeroU32::new(number).expect("no default is 0");
    Limit { per_minute: positive(per_minute), burst: positive(burst) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_lies_over_the_rest() {
        let set =
            BTreeMap::from([("scan_user".to_owned(), limit(1, 2)), ("tea_user".to_owned(), limit(3, 4))]);
        let wanted = LimitsConfig { scan_user: limit(1, 2), ..LimitsConfig::default() };
        assert_eq!(LimitsConfig::default().with(&set), wanted);
    }
}
