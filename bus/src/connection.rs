//! The connection: made once, checked once, kept for ever. It reconnects by itself; whatever waits for an answer
//! watches [`Bus::losses`], because what was asked of a lost connection is not answered by the next.

use crate::{BusConfig, BusError, answers::Answers, breaker::Breakers};
use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr,
    connection::State,
    jetstream::{self, context::ContextBuilder},
};
use rollcall_schemas::subject::{Namespace, Stream, Subject};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// The largest message Rollcall sends: an image of the size limit, and its headers.
const NEEDED_PAYLOAD_BYTES: usize = 8_000_000;

/// Commands that may wait for the socket. Small, because each may hold a frame: what does not fit waits in its caller.
const COMMAND_QUEUE: usize = 512;

/// A connection to the broker. Clones share it.
#[derive(Clone)]
pub struct Bus {
    pub(crate) client: Client,
    pub(crate) jetstream: jetstream::Context,
    shared: Arc<Shared>,
}

struct Shared {
    config: BusConfig,
    namespace: Namespace,
    losses: watch::Receiver<u64>,
    breakers: Breakers,
    answers: Answers,
}

impl Bus {
    /// Connects as `client_name`, trying until the configured time is over, and checks that the broker is fit: version,
    /// message size, JetStream. Once connected, a lost connection is tried again for ever in the background.
    ///
    /// # Errors
    /// When no broker answers in time, when it refuses the credentials, or when it is not fit.
    pub async fn connect(config: &BusConfig, client_name: &str) -> Result<Self, BusError> {
        if config.url.is_empty() {
            return Err(BusError::NotConfigured);
        }
        let namespace = config.namespace.as_deref().map(Namespace::new).transpose()?.unwrap_or_default();
        let (sender, losses) = watch::channel(0);
        let client = dial(config, client_name, Arc::new(sender)).await?;
        check(&client)?;
        let jetstream = ContextBuilder::new().timeout(config.publish_timeout()).build(client.clone());
        let shared = Shared {
            config: config.clone(),
            namespace,
            losses,
            breakers: Breakers::default(),
            answers: Answers::default(),
        };
        Ok(Self { client, jetstream, shared: Arc::new(shared) })
    }

    /// Whether the broker is connected at this moment.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Asks the broker, and JetStream in it, for a sign of life, and says how long that took.
    ///
    /// # Errors
    /// When it does not answer within the publish time-out.
    pub async fn ready(&self) -> Result<Duration, BusError> {
        if !self.is_connected() {
            return Err(BusError::Broker {
                operation: "reaching the broker".into(),
                source: "not connected".into(),
            });
        }
        let asked = Instant::now();
        self.stream(Stream::Control).await?;
        Ok(asked.elapsed())
    }

    /// The largest message the broker takes, in bytes, headers included.
    pub fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    /// Waits until everything sent so far, acknowledgements included, is on the wire.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn flush(&self) -> Result<(), BusError> {
        let flushed = timeout(self.config().publish_timeout(), self.client.flush()).await;
        flushed.map_err(BusError::broker("flushing"))?.map_err(BusError::broker("flushing"))
    }

    pub(crate) fn config(&self) -> &BusConfig {
        &self.shared.config
    }

    pub(crate) fn namespace(&self) -> &Namespace {
        &self.shared.namespace
    }

    pub(crate) fn breakers(&self) -> &Breakers {
        &self.shared.breakers
    }

    pub(crate) fn answers(&self) -> &Answers {
        &self.shared.answers
    }

    /// How often the connection has been lost, watched from now on.
    pub(crate) fn losses(&self) -> watch::Receiver<u64> {
        let mut losses = self.shared.losses.clone();
        losses.mark_unchanged();
        losses
    }

    /// Waits until the broker is connected. Looks instead of listening: events are dropped when there are many.
    pub(crate) async fn connected(&self) {
        while !self.is_connected() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The subject as the broker knows it.
    pub(crate) fn wire(&self, subject: &Subject) -> String {
        self.shared.namespace.subject(subject)
    }
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus")
            .field("config", &self.shared.config)
            .field("connected", &self.is_connected())
            .finish()
    }
}

async fn dial(
    config: &BusConfig,
    client_name: &str,
    losses: Arc<watch::Sender<u64>>,
) -> Result<Client, BusError> {
    let addresses = addresses(config)?;
    let started = Instant::now();
    let mut pause = Duration::from_millis(50);
    loop {
        let options = options(config, &addresses, client_name, losses.clone());
        let error = match options.connect(without_credentials(&addresses)).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        if matches!(error.kind(), ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication)
        {
            return Err(BusError::Credentials { servers: config.servers() });
        }
        if started.elapsed() + pause > config.connect_timeout() {
            return Err(BusError::Connect {
                servers: config.servers(),
                waited_s: config.connect_timeout_s,
                source: error.into(),
            });
        }
        tracing::debug!(%error, "broker not there yet");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

fn addresses(config: &BusConfig) -> Result<Vec<ServerAddr>, BusError> {
    let parsed: Result<Vec<ServerAddr>, _> = config.url.split(',').map(|url| url.trim().parse()).collect();
    parsed.map_err(|_| BusError::Address { servers: config.servers() })
}

/// The addresses as the client may know them: it writes them into its log.
fn without_credentials(addresses: &[ServerAddr]) -> Vec<ServerAddr> {
    let plain = |address: &ServerAddr| {
        let mut url = address.clone().into_inner();
        url.set_username("")
            .and_then(|()| url.set_password(None))
            .expect("an address of a server has a host");
        ServerAddr::from_url(url).expect("it was one with credentials")
    };
    addresses.iter().map(plain).collect()
}

fn options(
    config: &BusConfig,
    addresses: &[ServerAddr],
    client_name: &str,
    losses: Arc<watch::Sender<u64>>,
) -> ConnectOptions {
    let mut options = ConnectOptions::new()
        .name(client_name)
        .client_capacity(COMMAND_QUEUE)
        .connection_timeout(Duration::from_secs(5))
        .request_timeout(Some(config.publish_timeout()))
        .ping_interval(Duration::from_secs(10))
        .reconnect_delay_callback(|attempts| {
            Duration::from_millis(50 * u64::try_from(attempts).unwrap_or(u64::MAX).clamp(1, 20))
        })
        .event_callback(move |event| {
            note(&losses, &event);
            std::future::ready(())
        });
    if let Some((user, password)) = credentials(config, addresses) {
        options = options.user_and_password(user, password);
    }
    if let Some(token) = &config.token {
        options = options.token(token.clone());
    }
    if let Some(seed) = &config.nkey_seed {
        options = options.nkey(seed.clone());
    }
    options
}

/// User and password: the configured ones, else those in an address, which the client does not read by itself.
fn credentials(config: &BusConfig, addresses: &[ServerAddr]) -> Option<(String, String)> {
    let in_address =
        |address: &ServerAddr| Some((address.username()?.to_owned(), address.password()?.to_owned()));
    let configured = config.user.clone().zip(config.password.clone());
    configured.or_else(|| addresses.iter().find_map(in_address))
}

fn note(losses: &watch::Sender<u64>, event: &Event) {
    match event {
        Event::Connected => tracing::info!("broker connected"),
        Event::Disconnected | Event::Closed => {
            losses.send_modify(|losses| *losses += 1);
            metrics::counter!("rollcall_bus_disconnected_total").increment(1);
            tracing::warn!("broker disconnected");
        }
        Event::SlowConsumer(_) => {
            tracing::warn!("a subscription is read too slowly; the broker will send again");
        }
        Event::ServerError(error) => tracing::warn!(%error, "broker error"),
        Event::ClientError(error) => tracing::debug!(%error, "broker client error"),
        Event::LameDuckMode | Event::Draining => tracing::info!("broker is going away"),
    }
}

fn check(client: &Client) -> Result<(), BusError> {
    let info = client.server_info();
    if !client.is_server_compatible(2, 9, 10) {
        return Err(BusError::ServerTooOld { found: info.version });
    }
    if !info.jetstream {
        return Err(BusError::NoJetStream);
    }
    if info.max_payload < NEEDED_PAYLOAD_BYTES {
        return Err(BusError::PayloadTooSmall { found: info.max_payload, needed: NEEDED_PAYLOAD_BYTES });
    }
    Ok(())
}
