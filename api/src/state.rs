//! What every handler works with. What runs beside the handlers is in `beside`.

mod beside;

use crate::{
    admin::{SystemConfig, SystemSettings},
    auth::{Providers, Turns},
    config::ApiConfig,
    error::ApiError,
    events::{EventHub, Watchers},
    idempotency,
    live::Live,
    passwords::Passwords,
    signing::Signing,
};
use chrono::{DateTime, Utc};
use rollcall_bus::{Bus, BusError, Feed, Message, PublishError};
use rollcall_schemas::{feed::AuthEntry, header};
use rollcall_service::{
    auth::{Authenticator, SigningKeyError, TokenConfig, TokenSigner},
    clock::{Clock, Entropy},
    health::HealthRegistry,
    http::Problem,
    lifecycle::Lifecycle,
    limits::{Gate, Limiter},
    process::Process,
    refusals::RefusalCounts,
    seal::Sealer,
    telemetry::current_traceparent,
};
use rollcall_store::{
    PgConnection, PgTransaction, Pool, Postgres, StoreError,
    outbox::{self, OutboxMessage},
};
use std::{
    io,
    ops::DerefMut,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::sync::Notify;
use uuid::Uuid;

/// How long a call waits for what it told to come back by way of the log.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// What the api is built on.
pub struct ApiDeps {
    /// The database.
    pub pool: Pool<Postgres>,
    /// The log.
    pub bus: Bus,
    /// The time.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Entropy,
    /// What access tokens say of themselves.
    pub token: TokenConfig,
    /// How many calls are let through.
    pub limiter: Limiter,
    /// Where the api registers what it depends on.
    pub health: HealthRegistry,
    /// Seals what the database keeps and others must not read.
    pub sealer: Sealer,
    /// The process it runs in.
    pub process: Process,
}

/// Why the api could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file with the signing key cannot be read or made.
    #[error("the signing key file cannot be used")]
    KeyFile(#[from] io::Error),
    /// The file holds something else.
    #[error(transparent)]
    Key(#[from] SigningKeyError),
    /// The file holds nothing.
    #[error("the signing key file holds no key")]
    NoKey,
    /// The identity providers are not set up rightly.
    #[error("{0}")]
    Oidc(String),
    /// bcrypt does not take the configured cost.
    #[error("the bcrypt cost cannot be used")]
    Cost(#[from] bcrypt::BcryptError),
    /// The log cannot be read.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// The running api. Clones are the same.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

/// The api, for what the api itself holds: an [`Api`] there would keep it, and its connections, for ever.
#[derive(Clone)]
pub(crate) struct WeakApi(Weak<Inner>);

impl WeakApi {
    /// The api, while it is there.
    ///
    /// # Errors
    /// `503` when the process is about to end.
    pub(crate) fn get(&self) -> Result<Api, Problem> {
        let gone = || Problem::unavailable("the server is about to stop", Duration::from_secs(1));
        self.0.upgrade().map(Api).ok_or_else(gone)
    }
}

struct Inner {
    config: ApiConfig,
    deps: ApiDeps,
    passwords: Passwords,
    turns: Turns,
    providers: Providers,
    signing: Signing,
    keys: Feed<AuthEntry>,
    authenticator: Authenticator,
    events: EventHub,
    watchers: Watchers,
    live: Live,
    refusals: RefusalCounts,
    /// Something was committed, and may have left lines in the audit.
    committed: Notify,
    settings: SystemSettings,
    started_at: DateTime<Utc>,
}

impl Api {
    /// Starts what runs beside the handlers, in `lifecycle`. The database may be down: sign-in then waits for it.
    ///
    /// # Errors
    /// When the signing key or the configuration cannot be used, or the log cannot be read.
    pub async fn start(config: ApiConfig, deps: ApiDeps, lifecycle: &Lifecycle) -> Result<Self, StartError> {
        let signing = Signing::load(&config, &deps)?;
        let passwords = Passwords::new(config.bcrypt_cost, deps.entropy.clone())?;
        let providers = Providers::new(&config.oidc, &deps.clock).map_err(StartError::Oidc)?;
        let keys = deps.bus.feed::<AuthEntry>(None, None, lifecycle.soft_stop());
        let known = keys.clone();
        let find = move |key: &str| known.get(key).map(|entry| entry.fact.clone());
        let authenticator = Authenticator::new(find, deps.token.clone(), deps.clock.clone());
        let (bus, pool, clock) = (deps.bus.clone(), deps.pool.clone(), deps.clock.clone());
        let events = EventHub::start(bus, pool, clock, lifecycle).await?;
        let watchers = Watchers::new(config.watchers_per_user);
        let started_at = deps.clock.now();
        let settings = SystemSettings::new(SystemConfig::of(&config, &deps.token, deps.limiter.configured()));
        let api = Self(Arc::new_cyclic(|api| Inner {
            live: Live::new(WeakApi(api.clone())),
            config,
            deps,
            passwords,
            turns: Turns::default(),
            providers,
            signing,
            keys,
            authenticator,
            events,
            watchers,
            refusals: RefusalCounts::default(),
            committed: Notify::new(),
            settings,
            started_at,
        }));
        api.register_health();
        api.spawn(lifecycle);
        Ok(api)
    }

    /// Waits until the key that this process signs with is known to everybody who verifies.
    pub async fn ready(&self) {
        let mut progress = self.0.keys.progress();
        while !self.knows_its_key() && progress.changed().await.is_ok() {}
    }

    pub(crate) fn config(&self) -> &ApiConfig {
        &self.0.config
    }

    pub(crate) fn bus(&self) -> &Bus {
        &self.0.deps.bus
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.deps.clock
    }

    pub(crate) fn entropy(&self) -> &Entropy {
        &self.0.deps.entropy
    }

    pub(crate) fn health(&self) -> &HealthRegistry {
        &self.0.deps.health
    }

    pub(crate) fn process(&self) -> &Process {
        &self.0.deps.process
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    pub(crate) fn turns(&self) -> &Turns {
        &self.0.turns
    }

    pub(crate) fn providers(&self) -> &Providers {
        &self.0.providers
    }

    pub(crate) fn signing(&self) -> &Signing {
        &self.0.signing
    }

    /// Signs access tokens at present.
    pub(crate) fn signer(&self) -> Arc<TokenSigner> {
        self.0.signing.current(&self.0.keys, self.clock().now())
    }

    /// How long an access token that is issued now is good for.
    pub(crate) fn token_lifetime_s(&self) -> u32 {
        self.settings().now().access_token_seconds.min(self.longest_token_lifetime_s())
    }

    /// How long any access token may be good for, whatever was or will be set at run time.
    pub(crate) fn longest_token_lifetime_s(&self) -> u32 {
        self.0.deps.token.lifetime_s
    }

    pub(crate) fn limiter(&self) -> &Limiter {
        &self.0.deps.limiter
    }

    /// What stands before every route.
    pub(crate) fn gate(&self) -> Gate {
        Gate { authenticator: self.0.authenticator.clone(), limiter: self.0.deps.limiter.clone() }
    }

    pub(crate) fn authenticator(&self) -> &Authenticator {
        &self.0.authenticator
    }

    pub(crate) fn events(&self) -> &EventHub {
        &self.0.events
    }

    /// How many watch.
    pub(crate) fn watchers(&self) -> &Watchers {
        &self.0.watchers
    }

    /// The rooms of Socket.IO.
    pub(crate) fn live(&self) -> &Live {
        &self.0.live
    }

    /// What an administrator configured, as far as this process has followed.
    pub(crate) fn settings(&self) -> &SystemSettings {
        &self.0.settings
    }

    pub(crate) fn started_at(&self) -> DateTime<Utc> {
        self.0.started_at
    }

    /// Waits until something is committed here.
    pub(crate) async fn committed(&self) {
        self.0.committed.notified().await;
    }

    pub(crate) fn refusals(&self) -> &RefusalCounts {
        &self.0.refusals
    }

    /// The database, for answers that go on reading it while they are sent.
    pub(crate) fn pool(&self) -> &Pool<Postgres> {
        &self.0.deps.pool
    }

    /// What everybody who verifies knows of keys.
    pub(crate) fn keys(&self) -> &Feed<AuthEntry> {
        &self.0.keys
    }

    pub(crate) fn deps(&self) -> &ApiDeps {
        &self.0.deps
    }

    /// Waits until this process knows an entry that it told, but not for long: while the log is away it follows later.
    pub(crate) async fn knows(&self, key: &str) {
        let mut progress = self.0.keys.progress();
        let known = progress.wait_for(|_| self.0.keys.get(key).is_some());
        let _ = tokio::time::timeout(TOLD_WITHIN, known).await;
    }

    /// A connection to the database.
    pub(crate) async fn connection(
        &self,
    ) -> Result<impl DerefMut<Target = PgConnection> + use<>, StoreError> {
        Ok(self.0.deps.pool.acquire().await?)
    }

    /// A transaction, to be ended by [`Api::commit`].
    pub(crate) async fn begin(&self) -> Result<PgTransaction<'static>, StoreError> {
        Ok(self.0.deps.pool.begin().await?)
    }

    /// Commits, together with the messages that follow, and publishes them. When the log is away they follow later. What a
    /// call with a key does is committed as its effect.
    pub(crate) async fn commit(
        &self,
        mut tx: PgTransaction<'static>,
        messages: Vec<OutboxMessage>,
    ) -> Result<(), ApiError> {
        let cause = self.entropy().uuid_v4();
        let trace: Vec<_> =
            current_traceparent().map(|parent| (header::TRACEPARENT, parent)).into_iter().collect();
        let messages: Vec<_> =
            messages.into_iter().map(|message| message.with_headers(trace.clone())).collect();
        outbox::enqueue(&mut tx, cause, self.clock().now(), &messages).await?;
        idempotency::carry_out(&mut tx).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.0.committed.notify_one();
        if !messages.is_empty() {
            self.deliver(cause).await;
        }
        Ok(())
    }

    /// Publishes what `cause` left. A failure is no failure of the call: the sweeper will do it.
    pub(crate) async fn deliver(&self, cause: Uuid) {
        let bus = self.bus().clone();
        let publish = async move |message| publish(&bus, message).await;
        if let Err(error) = outbox::deliver(&self.0.deps.pool, cause, publish).await {
            tracing::warn!(%error, "a change is saved and will be told later");
        }
    }

    fn knows_its_key(&self) -> bool {
        self.0.keys.get(&format!("signing-key/{}", self.signer().kid())).is_some()
    }

    fn register_health(&self) {
        let timeout = Duration::from_secs(2);
        // The registry belongs to the api.
        let api = WeakApi(Arc::downgrade(&self.0));
        self.health().register("signing-key", timeout, move || {
            let known = api.get().is_ok_and(|api| api.knows_its_key());
            async move { if known { Ok(()) } else { Err("not published yet") } }
        });
    }

    /// A revision for entries whose changes are not counted in a row: microseconds since 1970.
    pub(crate) fn revision_now(&self) -> u64 {
        u64::try_from(self.clock().now().timestamp_micros()).unwrap_or_default()
    }
}

/// Publishes a message of the outbox. Its trace is the only header it has.
async fn publish(bus: &Bus, message: OutboxMessage) -> Result<(), PublishError> {
    let OutboxMessage { id, subject, mut headers, payload, .. } = message;
    let trace = headers.remove(header::TRACEPARENT).map(|parent| (header::TRACEPARENT, parent));
    let message = Message::new(subject, id, payload).with_headers(trace.into_iter().collect());
    bus.publish(message).await.map(drop)
}

#[cfg(test)]
mod tests;
