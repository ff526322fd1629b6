//! Enrolment photographs that passed the quality gate are kept, and the person's template follows.

use crate::{
    answers::{self, To},
    deps::{Deps, read, traced},
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
    faces::{self, NewPhoto},
    outbox::{self, OutboxMessage},
};
use serde_json::json;
use tracing::Instrument;

/// Handles the requests of kind `store-photo`.
pub(crate) struct KeepPhoto(pub(crate) Deps);

impl KeepPhoto {
    async fn keep(&self, request: &StorePhoto, trace: &Trace) -> Result<(), WorkError> {
        let crop = self.0.bus.get(Stream::Evidence, request.evidence_sequence).await?;
        let now = self.0.clock.now();
        let cause = request.request_id.0;
        let mut tx = self.0.begin().await?;
        if outbox::begin_handling(&mut tx, cause, now).await? {
            let crop =
                crop.ok_or_else(|| WorkError::Unreadable("its crop is no longer in EVIDENCE".into()))?;
            let messages = add(&mut tx, request, crop.payload.to_vec(), now).await?;
            outbox::enqueue(&mut tx, cause, now, &traced(messages, &trace.headers())).await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
        self.0.deliver(cause).await
    }
}

impl Handler for KeepPhoto {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        let span = tracing::info_span!("keep_photo");
        let trace = Trace::take_up(&delivery, &span);
        let request: StorePhoto = read(&delivery)?;
        self.keep(&request, &trace).instrument(span).await?;
        Ok(())
    }
}

/// Adds the photograph, if it is new, and says what follows.
async fn add(
    tx: &mut PgConnection,
    request: &StorePhoto,
    crop: Vec<u8>,
    now: DateTime<Utc>,
) -> Result<Vec<OutboxMessage>, WorkError> {
    let StorePhoto { user_id, pack, sha256, .. } = request;
    let to = To { request_id: request.request_id, caller: request.requested_by, decided_at: now };
    if !faces::share_person(tx, *user_id).await? {
        let refusal =
            answers::refusal(Code::NotFound, "There is no such person.", json!({ "userId": user_id }));
        return Ok(vec![OutboxMessage::outcome(&to.failed(refusal))]);
    }
    let before = faces::lock_template(tx, *user_id, pack).await?;
    let photo = new_photo(request, crop, now)?;
    faces::add_photo(tx, &photo).await?;
    if !faces::add_embedding(tx, (*user_id, sha256), pack, &request.embedding).await? {
        let answer = PhotoAnswer {
            user_id: *user_id,
            photo_id: None,
            refusal: Some("duplicate".into()),
            quality: Some(request.quality.clone()),
            photos: before,
        };
        return Ok(vec![OutboxMessage::outcome(&to.succeeded(Answer::Photo(answer)))]);
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
        OutboxMessage::outcome(&to.succeeded(Answer::Photo(answer))),
    ])
}

fn new_photo(request: &StorePhoto, crop: Vec<u8>, now: DateTime<Utc>) -> Result<NewPhoto, WorkError> {
    let sequence = |sequence: u64| {
        i64::try_from(sequence).map_err(|_| WorkError::Unreadable("a sequence is out of range".into()))
    };
    Ok(NewPhoto {
        id: PhotoId::derive(&[request.user_id.0.as_bytes(), request.sha256.as_bytes()]),
        user_id: request.user_id,
        sha256: request.sha256.clone(),
        crop,
        request_sequence: sequence(request.request_sequence)?,
        evidence_sequence: sequence(request.evidence_sequence)?,
        quality: request.quality.clone(),
        added_by: request.requested_by,
        added_at: now,
    })
}
