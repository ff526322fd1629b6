//! Enrolment photographs that passed the quality gate are kept, and the person's template follows.

use crate::{
    answers::{self, To},
    deps::{Deps, read, traced},
    erasure,
    error::WorkError,
    facts,
    trace::Trace,
};
use chrono::{DateTime, Utc};
use rollcall_bus::{Delivery, HandleError, Handler};
use rollcall_schemas::{
    code::Code,
    embedding::Embedding,
    feed::GalleryEntry,
    id::PhotoId,
    outcome::{Answer, PhotoAnswer},
    request::StorePhoto,
    subject::Stream,
};
use rollcall_store::{
    PgConnection, StoreError,
    faces::{self, FaceMessage, NewPhoto},
    outbox::{self, OutboxMessage},
};
use serde_json::json;
use tracing::Instrument;

/// Handles the requests of kind `store-photo`.
pub(crate) struct KeepPhoto(pub(crate) Deps);

impl KeepPhoto {
    /// `sequence` is the request's own in REQUESTS.
    async fn keep(&self, request: &StorePhoto, sequence: u64, trace: &Trace) -> Result<(), WorkError> {
        let crop = self.0.bus.get(Stream::Evidence, request.evidence_sequence).await?;
        let now = self.0.clock.now();
        let StorePhoto { user_id, received_at, .. } = *request;
        let cause = request.request_id.0;
        let mut tx = self.0.begin().await?;
        let is_known = faces::share_person(&mut tx, user_id).await?;
        if is_known {
            // Each time: the same request at another place in the log holds the face once more.
            faces::note_messages(&mut tx, user_id, received_at, &holding(request, sequence)).await?;
        }
        if outbox::begin_handling(&mut tx, cause, now).await? {
            let crop = crop.map(|crop| crop.payload.to_vec());
            let messages = if is_known {
                add(&mut tx, request, crop, now).await?
            } else {
                vec![unknown_person(request, now)]
            };
            outbox::enqueue(&mut tx, cause, now, &traced(messages, &trace.headers())).await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
        self.0.deliver(cause).await?;
        match faces::erased_before(&self.0.pool, user_id).await? {
            Some(before) if received_at < before => erasure::erase_messages(&self.0, user_id, before).await,
            _ => Ok(()),
        }
    }
}

impl Handler for KeepPhoto {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        let span = tracing::info_span!("keep_photo");
        let trace = Trace::take_up(&delivery, &span);
        let request: StorePhoto = read(&delivery)?;
        self.keep(&request, delivery.sequence, &trace).instrument(span).await?;
        Ok(())
    }
}

/// The messages that hold the face.
fn holding(request: &StorePhoto, sequence: u64) -> [FaceMessage; 3] {
    let message = |stream, sequence| FaceMessage { stream, sequence };
    [
        message(Stream::Requests, request.request_sequence),
        message(Stream::Requests, sequence),
        message(Stream::Evidence, request.evidence_sequence),
    ]
}

fn to(request: &StorePhoto, now: DateTime<Utc>) -> To {
    To { request_id: request.request_id, caller: request.requested_by, decided_at: now }
}

fn unknown_person(request: &StorePhoto, now: DateTime<Utc>) -> OutboxMessage {
    let details = json!({ "userId": request.user_id });
    let refusal = answers::refusal(Code::NotFound, "There is no such person.", details);
    OutboxMessage::outcome(&to(request, now).failed(refusal))
}

/// The answer that nothing was added to the `photos` there were.
fn not_kept(request: &StorePhoto, reason: &str, photos: u32, now: DateTime<Utc>) -> OutboxMessage {
    let answer = PhotoAnswer {
        user_id: request.user_id,
        photo_id: None,
        refusal: Some(reason.into()),
        quality: Some(request.quality.clone()),
        photos,
    };
    OutboxMessage::outcome(&to(request, now).succeeded(Answer::Photo(answer)))
}

/// Adds the photograph, if it is new and its person has not been erased since, and says what follows.
async fn add(
    tx: &mut PgConnection,
    request: &StorePhoto,
    crop: Option<Vec<u8>>,
    now: DateTime<Utc>,
) -> Result<Vec<OutboxMessage>, WorkError> {
    let StorePhoto { user_id, pack, sha256, received_at, .. } = request;
    let before = faces::lock_template(tx, *user_id, pack).await?;
    if faces::erased_before(&mut *tx, *user_id).await?.is_some_and(|erased| *received_at < erased) {
        return Ok(vec![not_kept(request, "erased", before, now)]);
    }
    let crop = crop.ok_or_else(|| WorkError::Unreadable("its crop is no longer in EVIDENCE".into()))?;
    let photo = new_photo(request, crop, now);
    faces::add_photo(tx, &photo).await?;
    if !faces::add_embedding(tx, (*user_id, sha256), pack, &request.embedding).await? {
        return Ok(vec![not_kept(request, "duplicate", before, now)]);
    }
    let embeddings = faces::embeddings(tx, *user_id, pack).await?;
    let template = Embedding::template(&embeddings)
        .ok_or_else(|| WorkError::Unreadable("its embedding does not go with the person's others".into()))?;
    let stored = faces::set_template(tx, *user_id, pack, (Some(template), embeddings.len())).await?;
    let entry = GalleryEntry {
        user_id: *user_id,
        pack: pack.clone(),
        revision: stored.revision,
        template: stored.template,
        photos: stored.photos,
    };
    let fact =
        facts::face_enrolled(request.received_at, request.request_id.0, (*user_id, pack), stored.photos);
    let answer = PhotoAnswer {
        user_id: *user_id,
        photo_id: Some(photo.id),
        refusal: None,
        quality: Some(request.quality.clone()),
        photos: stored.photos,
    };
    Ok(vec![
        OutboxMessage::feed(&entry),
        OutboxMessage::fact(&fact),
        OutboxMessage::outcome(&to(request, now).succeeded(Answer::Photo(answer))),
    ])
}

fn new_photo(request: &StorePhoto, crop: Vec<u8>, now: DateTime<Utc>) -> NewPhoto {
    NewPhoto {
        id: PhotoId::derive(&[request.user_id.0.as_bytes(), request.sha256.as_bytes()]),
        user_id: request.user_id,
        sha256: request.sha256.clone(),
        crop,
        quality: request.quality.clone(),
        added_by: request.requested_by,
        received_at: request.received_at,
        added_at: now,
    }
}
