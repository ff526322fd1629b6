//! The streams: created or updated at start, described, read by sequence, and erased from. What goes into them is in
//! `publish`, who reads them is in `consume`, `feed` and `tail`.

use crate::{Bus, BusError, Delivery};
use async_nats::jetstream::{
    self,
    consumer::{self, PullConsumer},
    stream::{Config, DirectGetErrorKind, DiscardPolicy, RetentionPolicy, StorageType},
};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use rollcall_schemas::subject::{Stream, Subject};
use std::collections::{BTreeMap, HashMap};

/// What a stream holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// When it was created: another time is another stream, whose sequences start again.
    pub created_at: DateTime<Utc>,
    /// The sequence of the oldest message; one more than the last when there is none.
    pub first_sequence: u64,
    /// The sequence of the newest message ever stored; 0 when there was none.
    pub last_sequence: u64,
    /// How many messages it holds.
    pub messages: u64,
    /// How many bytes they take.
    pub bytes: u64,
    /// How many bytes it may take, if limited.
    pub max_bytes: Option<u64>,
}

/// How far a durable consumer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerState {
    /// Messages not yet delivered to anyone.
    pub pending: u64,
    /// Messages delivered and not yet settled.
    pub in_flight: u64,
    /// Every message up to this sequence is settled.
    pub settled_sequence: u64,
    /// Calls of workers that wait for messages: none while nobody is there, and while everybody who is there is busy.
    pub waiting: u64,
}

impl From<consumer::Info> for ConsumerState {
    fn from(info: consumer::Info) -> Self {
        Self {
            pending: info.num_pending,
            in_flight: info.num_ack_pending as u64,
            settled_sequence: info.ack_floor.stream_sequence,
            waiting: info.num_waiting as u64,
        }
    }
}

impl Bus {
    /// Creates the streams that are missing and brings the others to the configured limits.
    ///
    /// # Errors
    /// When the broker refuses, for example because its store is smaller than the limits.
    pub async fn ensure_streams(&self) -> Result<(), BusError> {
        for stream in Stream::ALL {
            let config = self.stream_config(stream);
            self.jetstream
                .create_or_update_stream(config)
                .await
                .map_err(BusError::broker(format!("creating stream {}", stream.name())))?;
        }
        Ok(())
    }

    /// What `stream` holds.
    ///
    /// # Errors
    /// When the broker does not answer or has no such stream.
    pub async fn stream(&self, stream: Stream) -> Result<StreamState, BusError> {
        let info = self
            .stream_handle(stream)
            .await?
            .get_info()
            .await
            .map_err(BusError::broker(format!("describing stream {}", stream.name())))?;
        Ok(StreamState {
            created_at: info.created,
            // The broker tells 0 of a stream that was empty when it was recovered.
            first_sequence: match info.state.messages {
                0 => info.state.last_sequence + 1,
                _ => info.state.first_sequence,
            },
            last_sequence: info.state.last_sequence,
            messages: info.state.messages,
            bytes: info.state.bytes,
            max_bytes: u64::try_from(info.config.max_bytes).ok().filter(|bytes| *bytes > 0),
        })
    }

    /// How many messages of `stream` each subject that matches `filter` has.
    ///
    /// # Errors
    /// When the broker does not answer or has no such stream.
    pub async fn subject_counts(
        &self,
        stream: Stream,
        filter: &Subject,
    ) -> Result<HashMap<Subject, u64>, BusError> {
        let operation = || format!("counting subjects of {}", stream.name());
        let counts: Vec<(String, usize)> = self
            .stream_handle(stream)
            .await?
            .info_with_subjects(self.wire(filter))
            .await
            .map_err(BusError::broker(operation()))?
            .try_collect()
            .await
            .map_err(BusError::broker(operation()))?;
        Ok(counts
            .into_iter()
            .filter_map(|(subject, count)| Some((self.namespace().strip(&subject)?, count as u64)))
            .collect())
    }

    /// How far the consumer `durable` of `stream` has come, or `None` when there is none.
    ///
    /// # Errors
    /// When the broker does not answer or has no such stream.
    pub async fn consumer(&self, stream: Stream, durable: &str) -> Result<Option<ConsumerState>, BusError> {
        use jetstream::context::ConsumerInfoErrorKind::NotFound;
        let operation = format!("describing consumer {durable} of {}", stream.name());
        match self.stream_handle(stream).await?.consumer_info(durable).await {
            Ok(info) => Ok(Some(info.into())),
            Err(error) if error.kind() == NotFound => Ok(None),
            Err(error) => Err(BusError::broker(operation)(error)),
        }
    }

    /// How far every durable consumer of `stream` has come, by its name.
    ///
    /// # Errors
    /// When the broker does not answer or has no such stream.
    pub async fn consumers(&self, stream: Stream) -> Result<BTreeMap<String, ConsumerState>, BusError> {
        let operation = || format!("listing consumers of {}", stream.name());
        let handle = self.stream_handle(stream).await?;
        let infos: Vec<consumer::Info> =
            handle.consumers().try_collect().await.map_err(BusError::broker(operation()))?;
        // Tails are consumers too, without a durable name.
        let durable =
            infos.into_iter().filter_map(|info| Some((info.config.durable_name.clone()?, info.into())));
        Ok(durable.collect())
    }

    /// The message of that sequence, or `None` when it is gone.
    ///
    /// # Errors
    /// When the broker does not answer or has no such stream.
    pub async fn get(&self, stream: Stream, sequence: u64) -> Result<Option<Delivery>, BusError> {
        let found = self.stream_handle(stream).await?.direct_get(sequence).await;
        self.read(stream, found)
    }

    /// The oldest message on `subject` from `first_sequence` on, or `None` when there is none.
    ///
    /// # Errors
    /// When the broker does not answer or has no such stream.
    pub async fn next(
        &self,
        stream: Stream,
        subject: &Subject,
        first_sequence: u64,
    ) -> Result<Option<Delivery>, BusError> {
        let handle = self.stream_handle(stream).await?;
        let found = handle.direct_get_next_for_subject(self.wire(subject), Some(first_sequence)).await;
        self.read(stream, found)
    }

    /// The newest message on `subject`, or `None` when there is none.
    ///
    /// # Errors
    /// When the broker does not answer or has no such stream.
    pub async fn last(&self, stream: Stream, subject: &Subject) -> Result<Option<Delivery>, BusError> {
        let found = self.stream_handle(stream).await?.direct_get_last_for_subject(self.wire(subject)).await;
        self.read(stream, found)
    }

    /// Erases one message: its bytes are overwritten on disk. Returns whether it was there.
    ///
    /// # Errors
    /// When the broker does not answer or has no such stream.
    pub async fn erase(&self, stream: Stream, sequence: u64) -> Result<bool, BusError> {
        use jetstream::{ErrorCode, stream::DeleteMessageErrorKind::JetStream};
        const ABSENT: [&str; 2] = ["no message found", "stream store EOF"];
        match self.stream_handle(stream).await?.delete_message(sequence).await {
            Ok(erased) => Ok(erased),
            Err(error) => match error.kind() {
                // The broker's words for what was there once, and for what never was.
                JetStream(reason) if reason.error_code() == ErrorCode::SEQUENCE_NOT_FOUND => Ok(false),
                JetStream(reason) if ABSENT.iter().any(|text| reason.to_string().contains(text)) => Ok(false),
                _ => Err(BusError::broker(format!("erasing message {sequence} of {}", stream.name()))(error)),
            },
        }
    }

    /// Removes every message of `stream` that matches `filter`, and says how many there were.
    ///
    /// # Errors
    /// When the broker does not answer or has no such stream.
    pub async fn purge(&self, stream: Stream, filter: &Subject) -> Result<u64, BusError> {
        let purged = self
            .stream_handle(stream)
            .await?
            .purge()
            .filter(self.wire(filter))
            .await
            .map_err(BusError::broker(format!("purging {}", stream.name())))?;
        Ok(purged.purged)
    }

    /// Makes room in a stream that refuses when it is full: removes its oldest messages, as far as every durable
    /// consumer has settled them, until it holds about `keep_bytes`. What somebody still has to see stays, and so does
    /// everything while one of the `needed` consumers has never been there. Returns how many messages were removed.
    ///
    /// # Errors
    /// When the broker does not answer or has no such stream.
    pub async fn make_room(&self, stream: Stream, keep_bytes: u64, needed: &[&str]) -> Result<u64, BusError> {
        let state = self.stream(stream).await?;
        if state.bytes <= keep_bytes {
            return Ok(0);
        }
        let Some(settled) = self.settled_by_all(stream, needed).await? else { return Ok(0) };
        let excess = (state.bytes - keep_bytes).div_ceil((state.bytes / state.messages.max(1)).max(1));
        let first_kept = (state.first_sequence + excess).min(settled + 1);
        // Nothing may go yet. The broker must not be asked: a purge up to sequence 1 empties the stream.
        if first_kept <= state.first_sequence {
            return Ok(0);
        }
        let purged = self
            .stream_handle(stream)
            .await?
            .purge()
            .sequence(first_kept)
            .await
            .map_err(BusError::broker(format!("making room in {}", stream.name())))?;
        Ok(purged.purged)
    }

    /// The sequence up to which every durable consumer has settled everything; `None` without any consumer, or without
    /// one that is needed.
    async fn settled_by_all(&self, stream: Stream, needed: &[&str]) -> Result<Option<u64>, BusError> {
        let handle = self.stream_handle(stream).await?;
        let consumers: Vec<_> = handle
            .consumers()
            .try_collect()
            .await
            .map_err(BusError::broker(format!("listing consumers of {}", stream.name())))?;
        let is_there = |name: &&str| consumers.iter().any(|consumer| consumer.name == **name);
        if !needed.iter().all(is_there) {
            return Ok(None);
        }
        let durable = consumers.iter().filter(|consumer| consumer.config.durable_name.is_some());
        Ok(durable.map(|consumer| consumer.ack_floor.stream_sequence).min())
    }

    /// A handle on the stream, without asking the broker.
    pub(crate) async fn stream_handle(
        &self,
        stream: Stream,
    ) -> Result<jetstream::stream::Stream<()>, BusError> {
        self.jetstream
            .get_stream_no_info(self.namespace().stream(stream))
            .await
            .map_err(BusError::broker(format!("naming stream {}", stream.name())))
    }

    /// Creates the consumer, or brings it to `config`.
    pub(crate) async fn ensure_consumer(
        &self,
        stream: Stream,
        config: jetstream::consumer::pull::Config,
    ) -> Result<PullConsumer, jetstream::stream::ConsumerError> {
        self.jetstream.create_consumer_on_stream(config, self.namespace().stream(stream)).await
    }

    fn read(
        &self,
        stream: Stream,
        found: Result<jetstream::message::StreamMessage, jetstream::stream::DirectGetError>,
    ) -> Result<Option<Delivery>, BusError> {
        match found {
            Ok(message) => Ok(Delivery::stored(self.namespace(), stream, message)),
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
            Err(error) => Err(BusError::broker(format!("reading {}", stream.name()))(error)),
        }
    }

    fn stream_config(&self, stream: Stream) -> Config {
        let kept = self.config().limits.kept(stream);
        let last_value = is_last_value(stream);
        Config {
            name: self.namespace().stream(stream),
            subjects: vec![self.wire(&stream.subjects())],
            max_bytes: kept.max_bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(-1),
            max_age: kept.max_age.unwrap_or_default(),
            max_messages_per_subject: if last_value { 1 } else { -1 },
            // Nothing is dropped in silence: a full stream refuses. A last value replaces the one before.
            discard: if last_value { DiscardPolicy::Old } else { DiscardPolicy::New },
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            num_replicas: self.config().replicas,
            duplicate_window: self.config().duplicate_window(),
            allow_direct: true,
            ..Config::default()
        }
    }
}

/// Whether a stream keeps one message per subject.
fn is_last_value(stream: Stream) -> bool {
    match stream {
        Stream::Outcomes | Stream::Gallery | Stream::Cameras | Stream::Auth | Stream::Control => true,
        Stream::Frames
        | Stream::Sightings
        | Stream::Evidence
        | Stream::Scans
        | Stream::Requests
        | Stream::Facts
        | Stream::Dead => false,
    }
}
