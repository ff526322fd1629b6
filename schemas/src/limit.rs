//! How many calls are let through, and what processes tell each other of it, so that a limit holds for the whole
//! deployment. Told on plain NATS and kept by nobody: it is no part of the log.

use serde::{Deserialize, Serialize};
use std::{fmt, num::NonZeroU32, str::FromStr};
use uuid::Uuid;

/// Routes that share a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteGroup {
    /// Signing in, registering, refreshing.
    SignIn,
    /// Whatever changes nothing.
    Read,
    /// Whatever changes something.
    Write,
    /// Frames of cameras.
    Frames,
    /// Scans of students.
    Scans,
    /// Opening a connection of Socket.IO.
    Live,
}

impl RouteGroup {
    /// The name in settings, metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            RouteGroup::SignIn => "sign_in",
            RouteGroup::Read => "read",
            RouteGroup::Write => "write",
            RouteGroup::Frames => "frames",
            RouteGroup::Scans => "scans",
            RouteGroup::Live => "live",
        }
    }
}

/// Whose calls are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitScope {
    /// Everybody at one address whom nothing else is known of.
    Address,
    /// A user.
    User,
    /// An API key.
    Key,
    /// A camera, whoever pushes its frames.
    Camera,
}

impl LimitScope {
    /// The name in settings, metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            LimitScope::Address => "address",
            LimitScope::User => "user",
            LimitScope::Key => "key",
            LimitScope::Camera => "camera",
        }
    }
}

/// How many calls are let through; as text `100/min burst 20`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Limit {
    /// Calls a minute.
    pub per_minute: NonZeroU32,
    /// Calls that may be made at once, after a while without any.
    pub burst: NonZeroU32,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/min burst {}", self.per_minute, self.burst)
    }
}

impl From<Limit> for String {
    fn from(limit: Limit) -> Self {
        limit.to_string()
    }
}

/// A text that is no limit.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no limit: write `100/min burst 20`, both more than 0")]
pub struct InvalidLimit(String);

impl FromStr for Limit {
    type Err = InvalidLimit;

    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        let parts = text.trim().split_once("/min burst ");
        let numbers =
            parts.and_then(|(rate, burst)| Some((rate.trim().parse().ok()?, burst.trim().parse().ok()?)));
        let (per_minute, burst) = numbers.ok_or_else(|| InvalidLimit(text.to_owned()))?;
        Ok(Self { per_minute, burst })
    }
}

impl TryFrom<String> for Limit {
    type Error = InvalidLimit;

    fn try_from(text: String) -> Result<Self, InvalidLimit> {
        text.parse()
    }
}

/// Calls that one process let through since it last told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consumption {
    /// The process, drawn when it starts, so that it knows its own words.
    pub process: Uuid,
    /// What was let through.
    pub taken: Vec<Taken>,
}

/// Calls that one caller made under one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    /// The routes.
    pub group: RouteGroup,
    /// Whose calls are counted.
    pub scope: LimitScope,
    /// How many are let through.
    pub limit: Limit,
    /// The caller: 128 bits of a hash, never an address or an id.
    pub key: Uuid,
    /// How many calls.
    pub calls: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_pinned() {
        let limit = Limit { per_minute: NonZeroU32::new(60).unwrap(), burst: NonZeroU32::new(10).unwrap() };
        let taken = Taken {
            group: RouteGroup::SignIn,
            scope: LimitScope::Address,
            limit,
            key: Uuid::from_u128(2),
            calls: 3,
        };
        let told = Consumption { process: Uuid::from_u128(1), taken: vec![taken] };
        let json = serde_json::to_string(&told).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"process":"00000000-0000-0000-0000-000000000001","taken":[{"group":"sign_in","#,
                r#""scope":"address","limit":"60/min burst 10","#,
                r#""key":"00000000-0000-0000-0000-000000000002","calls":3}]}"#
            )
        );
        assert_eq!(serde_json::from_str::<Consumption>(&json).unwrap(), told);
    }

    #[test]
    fn what_is_no_limit_is_said_to_be_none() {
        for text in ["", "100", "100/min", "0/min burst 1", "1/min burst 0", "-1/min burst 1", "1/s burst 1"]
        {
            assert!(text.parse::<Limit>().unwrap_err().to_string().contains("100/min burst 20"), "{text}");
        }
    }

    #[test]
    fn names_are_those_on_the_wire() {
        use RouteGroup::{Frames, Live, Read, Scans, SignIn, Write};
        for group in [SignIn, Read, Write, Frames, Scans, Live] {
            assert_eq!(serde_json::to_value(group).unwrap(), group.name());
        }
        for scope in [LimitScope::Address, LimitScope::User, LimitScope::Key, LimitScope::Camera] {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.name());
        }
    }
}
