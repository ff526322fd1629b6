//! Dead letters: what could not be handled, whole, with its reason.

use crate::{Bus, BusError, Delivery, PublishError, publish::one_line};
use async_nats::HeaderMap;
use bytes::Bytes;
use rollcall_schemas::{header, subject};

/// The longest reason kept, in characters: it travels in a header.
const MAX_REASON_CHARS: usize = 1_000;

/// Why a message is given up.
pub(crate) struct Obituary<'a> {
    /// The message.
    pub(crate) delivery: &'a Delivery,
    /// Who gave it up.
    pub(crate) consumer: &'a str,
    /// Why.
    pub(crate) reason: &'a str,
}

impl Obituary<'_> {
    /// Stores the message in DEAD with its reason. Its id is a function of stream, consumer and sequence, so giving it
    /// up twice in a short time is giving it up once.
    pub(crate) async fn publish(&self, bus: &Bus, headers_only: bool) -> Result<(), BusError> {
        let target = subject::dead(self.delivery.stream, self.consumer);
        let payload = if headers_only {
            bus.get(self.delivery.stream, self.delivery.sequence)
                .await?
                .map(|whole| whole.payload)
                .unwrap_or_default()
        } else {
            self.delivery.payload.clone()
        };
        let stored = match bus.publish_raw(&target, self.headers(self.reason), payload).await {
            Err(PublishError::TooLarge { .. }) => {
                // The added headers pushed it over the broker's limit. The original stays where it is.
                let reason =
                    format!("{} (too large to be parked whole: its bytes are in its stream)", self.reason);
                bus.publish_raw(&target, self.headers(&reason), Bytes::new()).await
            }
            stored => stored,
        };
        stored.map(|_| ()).map_err(BusError::broker("parking a message in DEAD"))
    }

    fn headers(&self, reason: &str) -> HeaderMap {
        let Delivery { stream, sequence, attempt, subject, headers, .. } = self.delivery;
        let mut all = HeaderMap::new();
        for (name, value) in headers.iter() {
            all.insert(name, value);
        }
        let reason: String = reason.chars().take(MAX_REASON_CHARS).collect();
        all.insert(header::DEAD_REASON, one_line(reason));
        all.insert(header::DEAD_SUBJECT, subject.as_str());
        all.insert(header::DEAD_STREAM, stream.name());
        all.insert(header::DEAD_SEQUENCE, sequence.to_string());
        all.insert(header::DEAD_ATTEMPTS, attempt.to_string());
        all.insert(
            async_nats::header::NATS_MESSAGE_ID,
            format!("{}.{}.{sequence}", stream.name(), self.consumer),
        );
        all
    }
}
