//! `GET`, `POST` and `PATCH /admin/system-config`, and how every api process follows it.

use super::versions::{Change, ConfigurationData, Given, IfMatch, Others, Settings, present};
use crate::{ApiConfig, audit::Audit, error::ApiError, extract::Caller, state::Api};
use axum::extract::State;
use garde::Validate;
use parking_lot::RwLock;
use rollcall_schemas::{feed::ConfigurationEntry, subject};
use rollcall_service::http::{ErrorEnvelope, Json, SuccessEnvelope};
use rollcall_store::{PgConnection, configuration::Scope, outbox::OutboxMessage};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

/// How long to wait before the settings are read again after they could not be.
const RETRY: Duration = Duration::from_secs(1);

/// The settings of the deployment. Every api process follows a change within a second or so; none needs a restart. The
/// defaults are those of the configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "lockAfterFailures": 5, "lockSeconds": 900, "askDeadlineMs": 30000 }))]
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
}

impl SystemConfig {
    /// What the configuration file says.
    pub(crate) fn of(config: &ApiConfig) -> Self {
        Self {
            lock_after_failures: config.lock_after_failures,
            lock_seconds: config.lock_s,
            ask_deadline_ms: config.ask_deadline_ms,
        }
    }

    pub(crate) fn ask_deadline(&self) -> Duration {
        Duration::from_millis(self.ask_deadline_ms)
    }
}

impl Settings for SystemConfig {
    const SCOPE: Scope = Scope::System;
    const CHANGED: &'static str = "system.configured";

    async fn defaults(api: &Api, _: &mut PgConnection) -> Result<Self, ApiError> {
        Ok(api.settings().defaults)
    }
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

    /// Goes by another version, unless a newer one is known.
    fn follow(&self, revision: i64, config: SystemConfig) {
        let mut present = self.present.write();
        if present.0 <= revision {
            *present = (revision, config);
        }
    }
}

impl Api {
    /// Reads the settings at the start and whenever the log says that they changed, until `stop`.
    pub(crate) async fn follow_settings(&self, stop: CancellationToken) {
        let feed = self.bus().feed::<ConfigurationEntry>(Some(subject::configuration()), None, stop);
        // Subscribed before the first look, so that no change falls between.
        let mut changes = feed.subscribe();
        loop {
            while let Err(error) = self.load_settings().await {
                tracing::debug!(%error, "the system configuration cannot be read yet");
                tokio::time::sleep(RETRY).await;
            }
            if let Err(tokio::sync::broadcast::error::RecvError::Closed) = changes.recv().await {
                return;
            }
        }
    }

    async fn load_settings(&self) -> Result<(), ApiError> {
        let data = present::<SystemConfig>(self, &mut *self.connection().await?).await?;
        self.settings().follow(data.revision(), data.into_config());
        Ok(())
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
    let changed = change.make::<SystemConfig>(api, &mut tx).await?;
    let data = present(api, &mut tx).await?;
    let entry = ConfigurationEntry { revision: changed.revision.unsigned_abs() };
    api.commit(tx, vec![OutboxMessage::feed(&entry)]).await?;
    api.settings().follow(changed.revision, changed.config);
    Ok(data)
}
