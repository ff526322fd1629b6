//! The `[attendance.notify]` section.

use ipnet::IpNet;
use rollcall_service::config::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// Who is told what happens, and how. A channel that is not set up is not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NotifyConfig {
    /// E-mail.
    pub smtp: SmtpConfig,
    /// Push notifications.
    pub push: PushConfig,
    /// Webhooks.
    pub webhooks: WebhookConfig,
    /// How many notifications are being sent at once.
    pub in_flight: usize,
    /// What happened longer ago than this is told to no person, in hours: a log that is read anew, or a camera that comes
    /// back after days, wakes nobody.
    pub told_within_hours: u32,
    /// How long it is kept what was sent and what came of it, in days.
    pub kept_days: u32,
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self {
            smtp: SmtpConfig::default(),
            push: PushConfig::default(),
            webhooks: WebhookConfig::default(),
            in_flight: 16,
            told_within_hours: 72,
            kept_days: 90,
        }
    }
}

/// The server that takes e-mails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SmtpConfig {
    /// Its name; empty for no e-mails at all.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is made safe: `starttls` (usual at port 587), `tls` (at 465), or `none`, for a server of the same
    /// machine only, and without a password.
    pub security: EmailSecurity,
    /// A file with certificates (PEM) that are trusted beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// Who we are to it; empty for nobody in particular.
    pub username: String,
    /// The password of that name.
    pub password: Secret,
    /// Who the e-mails are from: `Hill School <rollcall@school.example>`.
    pub from: String,
    /// An address that takes wishes to be told no more; it is named in the header `List-Unsubscribe`.
    pub unsubscribe: Option<String>,
    /// Where browsers and mail programs find this deployment, such as `https://rollcall.school.example`: whoever reads an
    /// e-mail can then unsubscribe with one click (RFC 8058). It needs `database.sealing_key`. Empty for no such thing.
    pub public_url: String,
    /// How long the server may take, in milliseconds.
    pub timeout_ms: u64,
}

impl Default for SmtpConfig {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 587,
            security: EmailSecurity::Starttls,
            ca_file: None,
            username: String::new(),
            password: Secret::default(),
            from: String::new(),
            unsubscribe: None,
            public_url: String::new(),
            timeout_ms: 20_000,
        }
    }
}

/// How a connection to the server of e-mails is made safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EmailSecurity {
    /// It begins in the open and must turn to TLS before anything else (RFC 3207).
    Starttls,
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// None.
    None,
}

/// A relay that knows people's devices: it gets `{id, to, title, message}` by HTTP, `to` being a person's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PushConfig {
    /// Its address; empty for none.
    pub url: String,
    /// Who we are to it: the token of `Authorization: Bearer`.
    pub token: Secret,
    /// How long it may take, in milliseconds.
    pub timeout_ms: u64,
}

impl Default for PushConfig {
    fn default() -> Self {
        Self { url: String::new(), token: Secret::default(), timeout_ms: 10_000 }
    }
}

/// How webhooks are sent to. They are made by administrators, over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// Networks that are not of the internet and may be sent to all the same, and without TLS: `["10.1.0.0/16"]`.
    #[schemars(with = "Vec<String>")]
    pub private_networks: Vec<IpNet>,
    /// A file with certificates (PEM) that are trusted beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// How long a receiver may take, in milliseconds.
    pub timeout_ms: u64,
    /// A webhook that has failed for so long is sent to no more, in hours.
    pub disable_after_hours: u32,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self { private_networks: Vec::new(), ca_file: None, timeout_ms: 15_000, disable_after_hours: 120 }
    }
}

impl WebhookConfig {
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

impl SmtpConfig {
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

impl PushConfig {
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}
