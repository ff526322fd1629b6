//! The settings of the api.

use crate::auth::OidcConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{num::NonZeroU32, path::PathBuf, time::Duration};
use utoipa::ToSchema;

/// The settings of the api.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConfig {
    /// The file with the private keys that sign access tokens, PKCS#8 PEM, the newest last; made when it does not exist,
    /// added to by `rollcall admin rotate-keys`, read again while running. Without it a key is drawn at each start; tokens
    /// of earlier starts stay good until they expire.
    pub signing_key_file: Option<PathBuf>,
    /// Who may register: `closed` (nobody), `invited` (with an invitation), or `open` (everybody, as students). Until an
    /// administrator says otherwise at run time, as for the settings of locks and of waiting below.
    pub registration: Registration,
    /// Signing in with identity providers.
    pub oidc: OidcConfig,
    /// How long a sign-in lasts that is not used, in seconds: the life of a refresh token.
    pub refresh_lifetime_s: u32,
    /// The bcrypt cost of new passwords: each step doubles the work.
    pub bcrypt_cost: u32,
    /// Failed sign-ins in a row that lock an account.
    pub lock_after_failures: u16,
    /// How long it stays locked, in seconds.
    pub lock_s: u32,
    /// How long a call waits for a worker's answer, in milliseconds; after that it is told where to look for it.
    pub ask_deadline_ms: u64,
    /// Bytes that one photograph may have.
    pub max_photo_bytes: usize,
    /// Seconds between signs of life on a quiet stream of events; tokens are checked again as often.
    pub keep_alive_s: u32,
    /// Connections over which one user or API key may watch one process at the same time: streams of events and
    /// Socket.IO together.
    pub watchers_per_user: NonZeroU32,
}

/// Who may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Nobody: staff make accounts.
    #[default]
    Closed,
    /// Whoever has an invitation, with the role that it says.
    Invited,
    /// Everybody, as students; with an invitation, with the role that it says.
    Open,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            signing_key_file: None,
            registration: Registration::Closed,
            oidc: OidcConfig::default(),
            refresh_lifetime_s: 7 * 24 * 60 * 60,
            bcrypt_cost: 12,
            lock_after_failures: 5,
            lock_s: 15 * 60,
            ask_deadline_ms: 30_000,
            max_photo_bytes: 5 * 1024 * 1024,
            keep_alive_s: 15,
            watchers_per_user: NonZeroU32::new(100).expect("100 is not 0"),
        }
    }
}

impl ApiConfig {
    pub(crate) fn keep_alive(&self) -> Duration {
        Duration::from_secs(u64::from(self.keep_alive_s.max(1)))
    }
}
