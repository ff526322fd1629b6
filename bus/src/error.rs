//! What can go wrong with the broker, apart from publishing and asking, which have errors of their own.

use rollcall_schemas::subject::InvalidNamespace;

/// The broker could not be reached, is not fit for Rollcall, or refused an operation.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// No address is configured.
    #[error(
        "no broker is configured: set NATS_URL, or work beside a running `rollcall up` in its data folder"
    )]
    NotConfigured,
    /// No broker answered in time.
    #[error("no broker answered at {servers} within {waited_s} s")]
    Connect {
        /// The addresses, without credentials.
        servers: String,
        /// How long it was tried, in seconds.
        waited_s: u64,
        /// Why the last try failed.
        #[source]
        source: async_nats::Error,
    },
    /// The broker does not know the credentials.
    #[error("the broker at {servers} refused the credentials")]
    Credentials {
        /// The addresses, without credentials.
        servers: String,
    },
    /// The configuration holds an address that is not one.
    #[error("{servers} is not a broker address")]
    Address {
        /// The address, without credentials.
        servers: String,
    },
    /// The broker is older than what was tested.
    #[error("the broker is nats-server {found}, and Rollcall needs 2.9.10 or later")]
    ServerTooOld {
        /// Its version.
        found: String,
    },
    /// The broker takes only smaller messages.
    #[error(
        "the broker takes messages of at most {found} bytes, and Rollcall needs {needed}: set `max_payload: 8MB` in its configuration"
    )]
    PayloadTooSmall {
        /// Its limit in bytes.
        found: usize,
        /// What is needed, in bytes.
        needed: usize,
    },
    /// The broker runs without JetStream.
    #[error(
        "the broker runs without JetStream: add a `jetstream` block to its configuration, or start it with -js"
    )]
    NoJetStream,
    /// The namespace is not usable.
    #[error(transparent)]
    Namespace(#[from] InvalidNamespace),
    /// The broker refused or did not answer.
    #[error("{operation} failed")]
    Broker {
        /// What was asked of it.
        operation: String,
        /// What it said.
        #[source]
        source: async_nats::Error,
    },
    /// A stored message cannot be read as what its subject says it is.
    #[error("message {sequence} of {stream} is not readable")]
    Unreadable {
        /// The stream.
        stream: &'static str,
        /// The message's sequence.
        sequence: u64,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
}

impl BusError {
    /// Turns a client error into [`BusError::Broker`].
    pub(crate) fn broker<E: Into<async_nats::Error>>(operation: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |source| Self::Broker { operation: operation.into(), source: source.into() }
    }
}
