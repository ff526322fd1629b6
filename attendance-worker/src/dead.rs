//! Dead letters have consequences too: a frame that could not be handled is settled in the ledger, whoever waits for an
//! answer gets one, and administrators are told.

use crate::{
    answers::{self, To},
    deps::{Deps, traced},
    error::WorkError,
    facts,
    ledger::{accepted, camera},
    trace::Trace,
};
use chrono::{DateTime, Utc};
use rollcall_bus::{Delivery, HandleError, Handler};
use rollcall_schemas::{
    code::Code,
    header::{self, HeaderSource},
    id::{CameraId, FrameId, RequestId, ScanId, UserId},
    request::PhotoMeta,
    subject::{Stream, Subject},
};
use rollcall_store::{
    StoreError,
    ledger::{self, AcceptedFrame},
    outbox::{self, OutboxMessage},
};
use serde::Deserialize;
use serde_json::Value;
use tracing::Instrument;
use uuid::Uuid;

/// Handles DEAD.
pub(crate) struct SettleDead(pub(crate) Deps);

/// What is read of a request that could not be handled, whatever else is wrong with it.
#[derive(Deserialize)]
struct Asked {
    request_id: RequestId,
    #[serde(alias = "student_id")]
    requested_by: UserId,
}

/// What is read of a sighting that could not be handled: which frame it was of.
#[derive(Deserialize)]
struct LostSighting {
    frame_sequence: u64,
    camera_id: CameraId,
    frame_id: FrameId,
    received_at: DateTime<Utc>,
}

impl LostSighting {
    fn into_frame(self) -> AcceptedFrame {
        let Self { frame_sequence: sequence, camera_id, frame_id, received_at } = self;
        AcceptedFrame { sequence, camera_id, frame_id, received_at }
    }
}

impl SettleDead {
    async fn settle(&self, delivery: &Delivery, trace: &Trace) -> Result<(), WorkError> {
        match delivery.header(header::DEAD_STREAM).and_then(Stream::parse) {
            Some(Stream::Frames) => self.settle_frame(delivery).await,
            Some(Stream::Sightings) => {
                let lost: LostSighting = serde_json::from_slice(&delivery.payload)?;
                Ok(ledger::mark_dead(&self.0.pool, &lost.into_frame(), reason(delivery)).await?)
            }
            Some(Stream::Scans) => {
                let asked: Asked = serde_json::from_slice(&delivery.payload)?;
                self.refuse(ScanId::of(asked.request_id).0, asked, trace).await
            }
            Some(Stream::Requests) => {
                let asked = request(delivery)?;
                self.refuse(asked.request_id.0, asked, trace).await
            }
            // Nobody waits for these, and DEAD keeps them for people.
            _ => Ok(()),
        }
    }

    /// Tells that a consumer could not handle something.
    async fn tell(&self, delivery: &Delivery, trace: &Trace) -> Result<(), WorkError> {
        let Some(stream) = delivery.header(header::DEAD_STREAM).and_then(Stream::parse) else {
            return Ok(());
        };
        let fact = facts::message_parked(stream, delivery.subject.last_token(), delivery.published_at);
        let message = vec![OutboxMessage::fact(&fact)];
        let mut tx = self.0.begin().await?;
        let now = self.0.clock.now();
        outbox::enqueue(&mut tx, fact.fact_id.0, now, &traced(message, &trace.headers())).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.0.deliver(fact.fact_id.0).await
    }

    async fn settle_frame(&self, delivery: &Delivery) -> Result<(), WorkError> {
        let subject = Subject::from_stored(delivery.header(header::DEAD_SUBJECT).unwrap_or_default());
        let sequence = delivery.parsed(header::DEAD_SEQUENCE)?;
        let frame = accepted(sequence, camera(subject.last_token())?, delivery)?;
        Ok(ledger::mark_dead(&self.0.pool, &frame, reason(delivery)).await?)
    }

    /// Tells the caller that it failed, unless `event_id`, whose handling this counts as, was handled after all.
    async fn refuse(&self, event_id: Uuid, asked: Asked, trace: &Trace) -> Result<(), WorkError> {
        let now = self.0.clock.now();
        let mut tx = self.0.begin().await?;
        if outbox::begin_handling(&mut tx, event_id, now).await? {
            let to = To { request_id: asked.request_id, caller: asked.requested_by, decided_at: now };
            let message = "It could not be handled, and has been put aside for a person to look at.";
            let refusal = answers::refusal(Code::InternalServerError, message, Value::Null);
            let outcome = OutboxMessage::outcome(&to.failed(refusal));
            outbox::enqueue(&mut tx, event_id, now, &traced(vec![outcome], &trace.headers())).await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
        self.0.deliver(event_id).await
    }
}

fn reason(delivery: &Delivery) -> &str {
    delivery.header(header::DEAD_REASON).unwrap_or("unknown")
}

/// Who asked: photographs say it in headers, everything else in its JSON.
fn request(delivery: &Delivery) -> Result<Asked, WorkError> {
    match PhotoMeta::from_headers(delivery) {
        Ok(photo) => Ok(Asked { request_id: photo.request_id, requested_by: photo.requested_by }),
        Err(_) => Ok(serde_json::from_slice(&delivery.payload)?),
    }
}

impl Handler for SettleDead {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        let span = tracing::info_span!("settle_dead");
        let trace = Trace::take_up(&delivery, &span);
        let settled = async {
            self.tell(&delivery, &trace).await?;
            self.settle(&delivery, &trace).await
        };
        match settled.instrument(span).await {
            // A dead letter that says neither who asked nor which frame it was has nobody to be told of it.
            Err(WorkError::Unreadable(reason)) => {
                tracing::warn!(sequence = delivery.sequence, reason, "a dead letter without consequences");
                Ok(())
            }
            result => Ok(result?),
        }
    }
}
