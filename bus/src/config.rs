//! Where the broker is, how to sign in, and how much each stream keeps. No behaviour.

use rollcall_schemas::subject::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use std::{fmt, time::Duration};

/// How to reach the broker and how much it keeps.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BusConfig {
    /// Addresses, separated by commas: `nats://host:4222`, or `tls://` for TLS. Empty means that none is configured.
    #[schemars(extend("writeOnly" = true))]
    pub url: String,
    /// What this deployment's streams and subjects begin with, so that several can share a broker.
    pub namespace: Option<String>,
    /// User name, together with `password`.
    pub user: Option<String>,
    /// Password, together with `user`.
    #[serde(serialize_with = "hidden")]
    #[schemars(extend("writeOnly" = true))]
    pub password: Option<String>,
    /// Token.
    #[serde(serialize_with = "hidden")]
    #[schemars(extend("writeOnly" = true))]
    pub token: Option<String>,
    /// Seed of an NKey.
    #[serde(serialize_with = "hidden")]
    #[schemars(extend("writeOnly" = true))]
    pub nkey_seed: Option<String>,
    /// How long the first connection is tried, in seconds.
    pub connect_timeout_s: u64,
    /// How long a publish waits for the broker to have stored the message, in milliseconds.
    pub publish_timeout_ms: u64,
    /// How long the broker recognises a message id that it has already stored, in seconds; at least 120.
    pub duplicate_window_s: u64,
    /// Copies of each stream in a broker cluster, 1 to 5.
    pub replicas: usize,
    /// How much each stream keeps, where it is not the default.
    pub limits: StreamLimits,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            namespace: None,
            user: None,
            password: None,
            token: None,
            nkey_seed: None,
            connect_timeout_s: 30,
            publish_timeout_ms: 5_000,
            duplicate_window_s: 120,
            replicas: 1,
            limits: StreamLimits::default(),
        }
    }
}

impl BusConfig {
    /// The addresses, fit for a log line: without credentials.
    pub(crate) fn servers(&self) -> String {
        let bare = |url: &str| match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
            (None, Some((_, host))) => host.to_owned(),
            _ => url.to_owned(),
        };
        self.url.split(',').map(|url| bare(url.trim())).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn publish_timeout(&self) -> Duration {
        Duration::from_millis(self.publish_timeout_ms)
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_secs(self.connect_timeout_s)
    }

    pub(crate) fn duplicate_window(&self) -> Duration {
        Duration::from_secs(self.duplicate_window_s.max(120))
    }
}

impl fmt::Debug for BusConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = |value: &Option<String>| value.as_ref().map(|_| "***");
        f.debug_struct("BusConfig")
            .field("url", &self.servers())
            .field("namespace", &self.namespace)
            .field("user", &self.user)
            .field("password", &secret(&self.password))
            .field("token", &secret(&self.token))
            .field("nkey_seed", &secret(&self.nkey_seed))
            .field("connect_timeout_s", &self.connect_timeout_s)
            .field("publish_timeout_ms", &self.publish_timeout_ms)
            .field("duplicate_window_s", &self.duplicate_window_s)
            .field("replicas", &self.replicas)
            .field("limits", &self.limits)
            .finish()
    }
}

/// Secrets are read and never written.
fn hidden<S: Serializer>(secret: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(|_| "<secret>").serialize(serializer)
}

/// How much one stream keeps. What is absent is the default of that stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limit {
    /// Most bytes; 0 means no limit of its own. A full stream refuses new messages.
    pub max_bytes: Option<u64>,
    /// Longest time in hours; 0 means for ever.
    pub max_age_hours: Option<u64>,
}

/// How much each stream keeps. The last-value feeds keep one message per key and have no limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StreamLimits {
    /// FRAMES: 4 GiB, 24 hours.
    pub frames: Limit,
    /// SIGHTINGS: 30 days.
    pub sightings: Limit,
    /// EVIDENCE: 30 days.
    pub evidence: Limit,
    /// SCANS: 512 MiB, 30 days.
    pub scans: Limit,
    /// REQUESTS: 2 GiB, 7 days.
    pub requests: Limit,
    /// OUTCOMES: 256 MiB, a day; a full one drops its oldest.
    pub outcomes: Limit,
    /// FACTS: two years.
    pub facts: Limit,
    /// DEAD: a year.
    pub dead: Limit,
}

/// What a stream keeps once defaults are filled in; `None` means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) max_bytes: Option<u64>,
    pub(crate) max_age: Option<Duration>,
}

impl StreamLimits {
    /// What `stream` keeps.
    pub(crate) fn kept(&self, stream: Stream) -> Kept {
        const DAY: u64 = 24;
        let (limit, default_bytes, default_hours) = match stream {
            Stream::Frames => (self.frames, 4 << 30, DAY),
            Stream::Sightings => (self.sightings, 0, 30 * DAY),
            Stream::Evidence => (self.evidence, 0, 30 * DAY),
            Stream::Scans => (self.scans, 512 << 20, 30 * DAY),
            Stream::Requests => (self.requests, 2 << 30, 7 * DAY),
            Stream::Outcomes => (self.outcomes, 256 << 20, DAY),
            Stream::Facts => (self.facts, 0, 2 * 365 * DAY),
            Stream::Dead => (self.dead, 0, 365 * DAY),
            Stream::Gallery | Stream::Cameras | Stream::Auth | Stream::Control => (Limit::default(), 0, 0),
        };
        let positive = |value: u64| (value > 0).then_some(value);
        Kept {
            max_bytes: positive(limit.max_bytes.unwrap_or(default_bytes)),
            max_age: positive(limit.max_age_hours.unwrap_or(default_hours))
                .map(|hours| Duration::from_secs(hours * 3600)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let config = BusConfig {
            url: "nats://admin:hunter2@broker:4222, tls://other:4222".into(),
            password: Some("hunter2".into()),
            token: Some("hunter2".into()),
            nkey_seed: Some("hunter2".into()),
            ..BusConfig::default()
        };
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("nats://broker:4222,tls://other:4222"), "{shown}");
    }

    #[test]
    fn unknown_keys_are_refused_and_absent_ones_have_defaults() {
        let config: BusConfig = serde_json::from_str(r#"{"limits":{"frames":{"max_bytes":1000}}}"#).unwrap();
        let frames = config.limits.kept(Stream::Frames);
        assert_eq!(frames, Kept { max_bytes: Some(1000), max_age: Some(Duration::from_secs(86_400)) });
        assert_eq!(config.url, "");
        assert!(serde_json::from_str::<BusConfig>(r#"{"urll":""}"#).is_err());
        assert!(serde_json::from_str::<BusConfig>(r#"{"limits":{"gallery":{}}}"#).is_err());
    }

    #[test]
    fn what_callers_can_fill_is_limited() {
        let limits = StreamLimits::default();
        for stream in [Stream::Frames, Stream::Scans, Stream::Requests, Stream::Outcomes] {
            assert!(limits.kept(stream).max_bytes.is_some(), "{stream:?}");
        }
    }

    #[test]
    fn zero_means_without_limit() {
        let config: BusConfig =
            serde_json::from_str(r#"{"limits":{"frames":{"max_bytes":0,"max_age_hours":0}}}"#).unwrap();
        assert_eq!(config.limits.kept(Stream::Frames), Kept { max_bytes: None, max_age: None });
        assert_eq!(config.limits.kept(Stream::Auth), Kept { max_bytes: None, max_age: None });
    }
}
