//! `GET`, `POST` and `PATCH /admin/system-config`, and how every api process follows it.

use super::versions::{Change, ConfigurationData, Given, IfMatch, Others, Settings, present};
use crate::{ApiConfig, Registration, audit::Audit, error::ApiError, extract::Caller, state::Api};
use axum::extract::State;
use garde::Validate;
use parking_lot::RwLock;
use rollcall_bus::Feed;
use rollcall_schemas::{
    feed::{ConfigurationEntry, FeedEntry},
    limit::Limit,
    subject,
};
use rollcall_service::{
    auth::TokenConfig,
    http::{ErrorEnvelope, Json, Problem, SuccessEnvelope},
    limits::LimitsConfig,
};
use rollcall_store::{
    PgConnection,
    configuration::Scope,
    outbox::{self, OutboxMessage},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

/// How long to wait before the settings are read again after they could not be.
const RETRY: Duration = Duration::from_secs(1);

/// Settings that a deployment has not set are those of the configuration file. Every process follows a change within a
/// second or so; where something needs a restart, the setting says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "lockAfterFailures": 5, "lockSeconds": 900, "askDeadlineMs": 30000, "accessTokenSeconds": 3600, "registration": "closed", "scanUserLimit": "60/min burst 10" }))]
pub(crate) struct SystemConfig {
    /// Failed sign-ins in a row that lock an account. Takes effect within a second.
    #[garde(range(min = 1, max = 1_000))]
    #[schema(required = false)]
    pub(crate) lock_after_failures: u16,
    /// How long it stays locked, in seconds. Takes effect for locks that begin afterwards.
    #[garde(range(min = 1, max = 86_400))]
    #[schema(required = false)]
    pub(crate) lock_seconds: u32,
    /// How long a call waits for a worker's answer, in milliseconds; after that it is told where to look for it. Takes
    /// effect within a second.
    #[garde(range(min = 10, max = 55_000))]
    #[schema(required = false)]
    pub(crate) ask_deadline_ms: u64,
    /// How long an access token is good for, in seconds. Takes effect for those that are issued afterwards. At most what
    /// the configuration file says (`[auth] lifetime_s`): a longer one needs another file and a restart, because whoever
    /// remembers ended sign-ins and old keys must know from the start for how long.
    #[garde(range(min = 1))]
    #[schema(required = false)]
    pub(crate) access_token_seconds: u32,
    /// Who may register: `closed` (nobody), `invited` (with an invitation), or `open` (everybody, as students). Takes
    /// effect at once.
    #[garde(skip)]
    #[schema(required = false)]
    pub(crate) registration: Registration,
    /// Signing in, registering, refreshing: from one address. Takes effect within a second, in every process.
    #[garde(skip)]
    #[schema(required = false, value_type = String, pattern = "^[1-9][0-9]{0,7}/min burst [1-9][0-9]{0,7}$")]
    sign_in_address_limit: Limit,
    /// Whatever changes nothing, without good credentials: from one address. Takes effect within a second, in every process.
    #[garde(skip)]
    #[schema(required = false, value_type = String, pattern = "^[1-9][0-9]{0,7}/min burst [1-9][0-9]{0,7}$")]
    read_address_limit: Limit,
    /// Whatever changes nothing: of one user. Takes effect within a second, in every process.
    #[garde(skip)]
    #[schema(required = false, value_type = String, pattern = "^[1-9][0-9]{0,7}/min burst [1-9][0-9]{0,7}$")]
    read_user_limit: Limit,
    /// Whatever changes nothing: of one API key. Takes effect within a second, in every process.
    #[garde(skip)]
    #[schema(required = false, value_type = String, pattern = "^[1-9][0-9]{0,7}/min burst [1-9][0-9]{0,7}$")]
    read_key_limit: Limit,
    /// Whatever changes something, without good credentials: from one address. Takes effect within a second, in every process.
    #[garde(skip)]
    #[schema(required = false, value_type = String, pattern = "^[1-9][0-9]{0,7}/min burst [1-9][0-9]{0,7}$")]
    write_address_limit: Limit,
    /// Whatever changes something: of one user. Takes effect within a second, in every process.
    #[garde(skip)]
    #[schema(required = false, value_type = String, pattern = "^[1-9][0-9]{0,7}/min burst [1-9][0-9]{0,7}$")]
    write_user_limit: Limit,
    /// Whatever changes something: of one API key. Takes effect within a second, in every process.
    #[garde(skip)]
    #[schema(required = false, value_type = String, pattern = "^[1-9][0-9]{0,7}/min burst [1-9][0-9]{0,7}$")]
    write_key_limit: Limit,
    /// Scans without good credentials: from one address. Takes effect within a second, in every process.
    #[garde(skip)]
    #[schema(required = false, value_type = String, pattern = "^[1-9][0-9]{0,7}/min burst [1-9][0-9]{0,7}$")]
    scan_address_limit: Limit,
    /// Scans of one student. Takes effect within a second, in every process.
    #[garde(skip)]
    #[schema(required = false, value_type = String, pattern = "^[1-9][0-9]{0,7}/min burst [1-9][0-9]{0,7}$")]
    scan_user_limit: Limit,
    /// Frames without good credentials: from one address. Takes effect within a second, in every process.
    #[garde(skip)]
    #[schema(required = false, value_type = String, pattern = "^[1-9][0-9]{0,7}/min burst [1-9][0-9]{0,7}$")]
    frame_address_limit: Limit,
    /// Opening a live connection: from one address. Takes effect within a second, in every process.
    #[garde(skip)]
    #[schema(required = false, value_type = String, pattern = "^[1-9][0-9]{0,7}/min burst [1-9][0-9]{0,7}$")]
    live_address_limit: Limit,
}

impl SystemConfig {
    /// What the configuration file says.
    pub(crate) fn of(config: &ApiConfig, token: &TokenConfig, limits: LimitsConfig) -> Self {
        Self {
            lock_after_failures: config.lock_after_failures,
            lock_seconds: config.lock_s,
            ask_deadline_ms: config.ask_deadline_ms,
            access_token_seconds: token.lifetime_s,
            registration: config.registration,
            sign_in_address_limit: limits.sign_in_address,
            read_address_limit: limits.read_address,
            read_user_limit: limits.read_user,
            read_key_limit: limits.read_key,
            write_address_limit: limits.write_address,
            write_user_limit: limits.write_user,
            write_key_limit: limits.write_key,
            scan_address_limit: limits.scan_address,
            scan_user_limit: limits.scan_user,
            frame_address_limit: limits.frame_address,
            live_address_limit: limits.live_address,
        }
    }

    /// As it is in the database, for what must not be a moment behind.
    pub(crate) async fn present(api: &Api, db: &mut PgConnection) -> Result<Self, ApiError> {
        Ok(present::<Self>(api, db).await?.into_config())
    }

    pub(crate) fn ask_deadline(&self) -> Duration {
        Duration::from_millis(self.ask_deadline_ms)
    }

    /// The limits: the name here, the name in the configuration file, and the value.
    fn limits(&self) -> [(&'static str, &'static str, Limit); 11] {
        [
            ("signInAddressLimit", "sign_in_address", self.sign_in_address_limit),
            ("readAddressLimit", "read_address", self.read_address_limit),
            ("readUserLimit", "read_user", self.read_user_limit),
            ("readKeyLimit", "read_key", self.read_key_limit),
            ("writeAddressLimit", "write_address", self.write_address_limit),
            ("writeUserLimit", "write_user", self.write_user_limit),
            ("writeKeyLimit", "write_key", self.write_key_limit),
            ("scanAddressLimit", "scan_address", self.scan_address_limit),
            ("scanUserLimit", "scan_user", self.scan_user_limit),
            ("frameAddressLimit", "frame_address", self.frame_address_limit),
            ("liveAddressLimit", "live_address", self.live_address_limit),
        ]
    }
}

impl Settings for SystemConfig {
    const SCOPE: Scope = Scope::System;
    const CHANGED: &'static str = "system.configured";

    async fn defaults(api: &Api, _: &mut PgConnection) -> Result<Self, ApiError> {
        Ok(api.settings().defaults)
    }
}

/// What everybody is told of a version: of the limits those that were set.
fn entry(data: &ConfigurationData<SystemConfig>) -> ConfigurationEntry {
    let limits = data.config().limits().into_iter();
    let set = limits.filter(|(name, _, _)| data.set().iter().any(|set| set == name));
    let limits = set.map(|(_, name, limit)| (name.to_owned(), limit)).collect();
    ConfigurationEntry { revision: data.revision().unsigned_abs(), limits }
}

/// The settings that this process goes by.
pub(crate) struct SystemSettings {
    /// What the configuration file says.
    defaults: SystemConfig,
    present: RwLock<(i64, SystemConfig)>,
}

impl SystemSettings {
    /// Begins with what the configuration file says.
    pub(crate) fn new(defaults: SystemConfig) -> Self {
        Self { defaults, present: RwLock::new((0, defaults)) }
    }

    /// The settings as they are now.
    pub(crate) fn now(&self) -> SystemConfig {
        self.present.read().1
    }

    /// Goes by another version, unless a newer one is known. Says whether it does.
    fn follow(&self, revision: i64, config: SystemConfig) -> bool {
        let mut present = self.present.write();
        let is_newer = present.0 <= revision;
        if is_newer {
            *present = (revision, config);
        }
        is_newer
    }
}

impl Api {
    /// Reads the settings at the start and whenever the log says that they changed, until `stop`.
    pub(crate) async fn follow_settings(&self, stop: CancellationToken) {
        let feed = self.bus().feed::<ConfigurationEntry>(Some(subject::configuration()), None, stop);
        // Subscribed before the first look, so that no change falls between.
        let mut changes = feed.subscribe();
        loop {
            while let Err(error) = self.load_settings(&feed).await {
                tracing::debug!(%error, "the system configuration cannot be read yet");
                tokio::time::sleep(RETRY).await;
            }
            let is_first_look = !feed.is_ready();
            tokio::select! {
                // Then it is seen whether the log lacks what the database has.
                () = feed.ready(), if is_first_look => {}
                change = changes.recv() => if let Err(RecvError::Closed) = change { return },
            }
        }
    }

    /// Goes by what the database has, and tells the log where it lacks that.
    async fn load_settings(&self, feed: &Feed<ConfigurationEntry>) -> Result<(), ApiError> {
        let data = present::<SystemConfig>(self, &mut *self.connection().await?).await?;
        let entry = entry(&data);
        self.go_by(&data, &entry);
        let is_lacking = feed.get(&entry.key()).is_none_or(|told| told.revision < entry.revision);
        if feed.is_ready() && entry.revision > 0 && is_lacking {
            let mut tx = self.begin().await?;
            outbox::forget_feed_entries(&mut tx, &entry.subject()).await?;
            self.commit(tx, vec![OutboxMessage::feed(&entry)]).await?;
        }
        Ok(())
    }

    fn go_by(&self, data: &ConfigurationData<SystemConfig>, entry: &ConfigurationEntry) {
        if self.settings().follow(data.revision(), *data.config()) {
            self.limiter().set(&entry.limits);
        }
    }
}

/// Read the configuration of the deployment.
#[utoipa::path(
    get,
    path = "/api/v1/admin/system-config",
    tag = "admin",
    responses((status = 200, description = "The configuration", body = SuccessEnvelope<ConfigurationData<SystemConfig>>))
)]
pub(crate) async fn get_system_config(
    State(api): State<Api>,
) -> Result<ConfigurationData<SystemConfig>, ApiError> {
    present(&api, &mut *api.connection().await?).await
}

/// Set the configuration of the deployment: what is absent gets its default.
#[utoipa::path(
    post,
    path = "/api/v1/admin/system-config",
    tag = "admin",
    params(("If-Match" = Option<String>, Header, description = "The ETag of the version that is changed")),
    request_body = SystemConfig,
    responses(
        (status = 200, description = "The configuration", body = SuccessEnvelope<ConfigurationData<SystemConfig>>),
        (status = 412, description = "`CONFLICT`: somebody else changed it meanwhile", body = ErrorEnvelope),
    )
)]
pub(crate) async fn set_system_config(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    from: IfMatch,
    Json(body): Json<Given>,
) -> Result<ConfigurationData<SystemConfig>, ApiError> {
    change(&api, Change { caller: &caller, audit: &audit, from, body, others: Others::Reset }).await
}

/// Change the configuration of the deployment: what is absent stays, what is null gets its default (RFC 7396).
#[utoipa::path(
    patch,
    path = "/api/v1/admin/system-config",
    tag = "admin",
    params(("If-Match" = Option<String>, Header, description = "The ETag of the version that is changed")),
    request_body = SystemConfig,
    responses(
        (status = 200, description = "The configuration", body = SuccessEnvelope<ConfigurationData<SystemConfig>>),
        (status = 412, description = "`CONFLICT`: somebody else changed it meanwhile", body = ErrorEnvelope),
    )
)]
pub(crate) async fn change_system_config(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    from: IfMatch,
    Json(body): Json<Given>,
) -> Result<ConfigurationData<SystemConfig>, ApiError> {
    change(&api, Change { caller: &caller, audit: &audit, from, body, others: Others::Keep }).await
}

async fn change(api: &Api, change: Change<'_>) -> Result<ConfigurationData<SystemConfig>, ApiError> {
    let mut tx = api.begin().await?;
    let config = change.make::<SystemConfig>(api, &mut tx).await?;
    let longest = api.longest_token_lifetime_s();
    if config.access_token_seconds > longest {
        let message =
            format!("must be at most {longest}, as [auth] lifetime_s of the configuration file says");
        return Err(Problem::validation([("accessTokenSeconds", message)]).into());
    }
    let data = present(api, &mut tx).await?;
    let entry = entry(&data);
    api.commit(tx, vec![OutboxMessage::feed(&entry)]).await?;
    api.go_by(&data, &entry);
    Ok(data)
}
