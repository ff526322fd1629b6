//! A message as it comes out of the log.

use async_nats::{
    HeaderMap,
    jetstream::{self, message::StreamMessage},
};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    header::HeaderSource,
    subject::{Namespace, Stream, Subject},
};
use std::{fmt, sync::Arc};

/// A message of the log. Cloning it copies no payload.
#[derive(Clone)]
pub struct Delivery {
    /// Where it was published, without namespace.
    pub subject: Subject,
    /// Its headers.
    pub headers: DeliveredHeaders,
    /// Its bytes; empty for a consumer of headers only.
    pub payload: Bytes,
    /// The stream that holds it.
    pub stream: Stream,
    /// Its place in the stream.
    pub sequence: u64,
    /// When the broker stored it.
    pub published_at: DateTime<Utc>,
    /// Which try this is, from 1. The broker may start again at 1, so nothing but patience may depend on it.
    pub attempt: u32,
    /// How many matching messages came after it when it was delivered.
    pub pending: u64,
}

impl Delivery {
    /// Reads what a consumer of `stream` received; `None` when it is no message of this namespace's log.
    pub(crate) fn received(
        namespace: &Namespace,
        stream: Stream,
        message: &jetstream::Message,
    ) -> Option<Self> {
        let info = message.info().ok()?;
        Some(Self {
            subject: namespace.strip(&message.subject)?,
            headers: DeliveredHeaders::new(message.headers.clone().unwrap_or_default()),
            payload: message.payload.clone(),
            stream,
            sequence: info.stream_sequence,
            published_at: info.published,
            attempt: u32::try_from(info.delivered).unwrap_or(u32::MAX),
            pending: info.pending,
        })
    }

    /// Reads what was asked for by sequence or subject.
    pub(crate) fn stored(namespace: &Namespace, stream: Stream, message: StreamMessage) -> Option<Self> {
        Some(Self {
            subject: namespace.strip(&message.subject)?,
            headers: DeliveredHeaders::new(message.headers),
            payload: message.payload,
            stream,
            sequence: message.sequence,
            published_at: message.time,
            attempt: 1,
            pending: 0,
        })
    }
}

impl HeaderSource for Delivery {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.header(name)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("subject", &self.subject.as_str())
            .field("sequence", &self.sequence)
            .field("attempt", &self.attempt)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// The headers of a delivered message.
#[derive(Clone)]
pub struct DeliveredHeaders(Arc<HeaderMap>);

impl DeliveredHeaders {
    fn new(headers: HeaderMap) -> Self {
        Self(Arc::new(headers))
    }

    /// Every name with its first value, apart from those that belong to the broker.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, values)| {
            let name: &str = name.as_ref();
            (!name.starts_with("Nats-")).then_some((name, values.first()?.as_str()))
        })
    }
}

impl HeaderSource for DeliveredHeaders {
    fn header(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(async_nats::HeaderValue::as_str)
    }
}
