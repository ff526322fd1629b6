//! Publishing: one message in, the broker's acknowledgement out.

use crate::Bus;
use async_nats::{
    HeaderMap,
    jetstream::{self, ErrorCode, context::PublishErrorKind, message::PublishMessage},
};
use bytes::Bytes;
use rollcall_schemas::{
    feed::FeedEntry,
    header::Headers,
    subject::{Stream, Subject},
};
use std::{error::Error, fmt, future::IntoFuture, sync::LazyLock};
use tokio::time::Instant;

/// A message to be stored in the log.
#[derive(Clone)]
pub struct Message {
    /// Where it goes, without namespace.
    pub subject: Subject,
    /// What makes it this message and no other: the broker stores one id once within its duplicate window.
    pub id: String,
    /// Its headers. Line breaks in values become spaces, as the protocol cannot carry them.
    pub headers: Headers,
    /// Its bytes.
    pub payload: Bytes,
}

impl Message {
    /// A message of bytes.
    pub fn new(subject: Subject, id: impl fmt::Display, payload: impl Into<Bytes>) -> Self {
        Self { subject, id: id.to_string(), headers: Headers::new(), payload: payload.into() }
    }

    /// A message of JSON.
    ///
    /// # Errors
    /// When `value` has no JSON form, such as a map whose keys are not text.
    pub fn json(
        subject: Subject,
        id: impl fmt::Display,
        value: &impl serde::Serialize,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self::new(subject, id, serde_json::to_vec(value)?))
    }

    /// An entry of a feed: its key and revision are its id.
    ///
    /// # Errors
    /// When the entry has no JSON form.
    pub fn entry<T: FeedEntry>(entry: &T) -> Result<Self, serde_json::Error> {
        Self::json(entry.subject(), format_args!("{}@{}", entry.key(), entry.revision()), entry)
    }

    /// The same with headers.
    #[must_use]
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("subject", &self.subject.as_str())
            .field("id", &self.id)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// The broker has stored the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its place in the stream.
    pub sequence: u64,
    /// Whether the broker already had it, at that place.
    pub duplicate: bool,
}

/// The broker has not said that it stored the message. It may have, unless the error says otherwise: publishing the
/// same id again is safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The stream is full and the message was not stored.
    #[error("the log is full: {reason}")]
    Full {
        /// Which limit was met.
        reason: String,
    },
    /// The message is larger than the broker takes and was not stored.
    #[error("the message is larger than the {limit_bytes} bytes the broker takes")]
    TooLarge {
        /// The limit, headers included.
        limit_bytes: usize,
    },
    /// The broker is away, or did not answer in time.
    #[error("the log is not available: {reason}")]
    Unavailable {
        /// What the client said.
        reason: String,
    },
}

impl PublishError {
    fn result(&self) -> &'static str {
        match self {
            PublishError::Full { .. } => "full",
            PublishError::TooLarge { .. } => "too_large",
            PublishError::Unavailable { .. } => "unavailable",
        }
    }
}

impl Bus {
    /// Stores `message`, and returns when the broker has said so.
    ///
    /// While the broker is away this fails at once rather than queueing: the caller holds the message, and knows.
    ///
    /// # Errors
    /// When the log is full or away, or the message is too large.
    pub async fn publish(&self, message: Message) -> Result<Published, PublishError> {
        let mut headers = HeaderMap::new();
        for (name, value) in message.headers {
            headers.insert(name, one_line(value));
        }
        headers.insert(async_nats::header::NATS_MESSAGE_ID, one_line(message.id));
        self.publish_raw(&message.subject, headers, message.payload).await
    }

    pub(crate) async fn publish_raw(
        &self,
        subject: &Subject,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Published, PublishError> {
        let stream = stream_of(subject);
        let started = Instant::now();
        let result = self.send(subject, PublishMessage::build().headers(headers).payload(payload)).await;
        metrics::histogram!("rollcall_bus_publish_seconds", "stream" => stream)
            .record(started.elapsed().as_secs_f64());
        let label = match &result {
            Ok(published) if published.duplicate => "duplicate",
            Ok(_) => "stored",
            Err(error) => error.result(),
        };
        metrics::counter!("rollcall_bus_published_total", "stream" => stream, "result" => label).increment(1);
        result
    }

    async fn send(&self, subject: &Subject, message: PublishMessage) -> Result<Published, PublishError> {
        let mut losses = self.losses();
        if !self.is_connected() {
            return Err(away("the broker is not connected"));
        }
        let sending = self.jetstream.send_publish(self.wire(subject), message);
        let sent = sending.await.map_err(|error| self.refusal(&error))?;
        let ack = tokio::select! {
            biased;
            ack = sent.into_future() => ack.map_err(|error| self.refusal(&error))?,
            // The acknowledgement, if there was one, went the way of the connection.
            _ = losses.changed() => return Err(away("the connection was lost")),
        };
        Ok(Published { sequence: ack.sequence, duplicate: ack.duplicate })
    }

    fn refusal(&self, error: &jetstream::context::PublishError) -> PublishError {
        if error.kind() == PublishErrorKind::MaxPayloadExceeded {
            return PublishError::TooLarge { limit_bytes: self.max_payload() };
        }
        let Some(refused) = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>())
        else {
            return PublishError::Unavailable { reason: error.to_string() };
        };
        match refused.error_code() {
            ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => {
                PublishError::TooLarge { limit_bytes: self.max_payload() }
            }
            ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
            | ErrorCode::INSUFFICIENT_RESOURCES
            | ErrorCode::STORAGE_RESOURCES_EXCEEDED
            | ErrorCode::MEMORY_RESOURCES_EXCEEDED => PublishError::Full { reason: refused.to_string() },
            // One code for every failure to store; only the text tells a limit from a broken disk.
            ErrorCode::STREAM_STORE_FAILED if refused.to_string().contains("maximum") => {
                PublishError::Full { reason: refused.to_string() }
            }
            _ => PublishError::Unavailable { reason: refused.to_string() },
        }
    }
}

fn away(reason: &str) -> PublishError {
    PublishError::Unavailable { reason: reason.to_owned() }
}

/// A header ends at a line break, so a value has none.
pub(crate) fn one_line(value: String) -> String {
    if value.contains(['\r', '\n']) { value.replace(['\r', '\n'], " ") } else { value }
}

/// The name of the stream that takes `subject`, for metrics.
fn stream_of(subject: &Subject) -> &'static str {
    static FIRST_TOKENS: LazyLock<Vec<(String, &'static str)>> = LazyLock::new(|| {
        let first =
            |stream: Stream| stream.subjects().as_str().split('.').next().unwrap_or_default().to_owned();
        Stream::ALL.into_iter().map(|stream| (first(stream), stream.name())).collect()
    });
    let token = subject.as_str().split('.').next().unwrap_or_default();
    FIRST_TOKENS.iter().find(|(first, _)| first == token).map_or("none", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_schemas::subject;

    #[test]
    fn a_header_cannot_end_early() {
        assert_eq!(one_line("curl\r\nNats-Msg-Id: x".into()), "curl  Nats-Msg-Id: x");
    }

    #[test]
    fn every_stream_is_known_by_its_subjects() {
        for stream in Stream::ALL {
            assert_eq!(stream_of(&stream.subjects()), stream.name());
        }
        assert_eq!(stream_of(&subject::scan_captured()), "SCANS");
    }

    #[test]
    fn debug_shows_no_payload() {
        let message = Message::new(subject::scan_captured(), "1", "secret-token");
        assert!(!format!("{message:?}").contains("secret-token"));
    }
}
