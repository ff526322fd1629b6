//! A person's enrolled face is erased: photographs, embeddings and templates of every pack, and the messages of the log
//! that hold them.
//!
//! What counts is when a photograph was received: one that was on its way when the erasure was asked for does not come
//! back, and one handed in since stays.

use crate::{
    answers::{self, To},
    deps::{Deps, read, traced},
    error::WorkError,
    trace::Trace,
};
use chrono::{DateTime, Utc};
use rollcall_bus::{Delivery, HandleError, Handler};
use rollcall_schemas::{
    code::Code,
    embedding::Embedding,
    feed::{FeedEntry, GalleryEntry},
    id::UserId,
    outcome::{Answer, FacesErasedAnswer},
    request::EraseFaces,
};
use rollcall_store::{
    PgConnection, StoreError,
    faces::{self, Template},
    outbox::{self, OutboxMessage},
};
use serde_json::json;
use tracing::Instrument;

/// Handles the requests of kind `erase-faces`.
pub(crate) struct EraseFace(pub(crate) Deps);

impl EraseFace {
    async fn erase(&self, request: &EraseFaces, trace: &Trace) -> Result<(), WorkError> {
        let now = self.0.clock.now();
        let cause = request.request_id.0;
        let mut tx = self.0.begin().await?;
        if outbox::begin_handling(&mut tx, cause, now).await? {
            let messages = erase(&mut tx, request, now).await?;
            outbox::enqueue(&mut tx, cause, now, &traced(messages, &trace.headers())).await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
        // Before anybody is told that it is done.
        erase_messages(&self.0, request.user_id, request.requested_at).await?;
        self.0.deliver(cause).await
    }
}

impl Handler for EraseFace {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        let span = tracing::info_span!("erase_face");
        let trace = Trace::take_up(&delivery, &span);
        let request: EraseFaces = read(&delivery)?;
        self.erase(&request, &trace).instrument(span).await?;
        Ok(())
    }
}

/// Erases what the database holds, and says what follows: the new templates first, then the answer.
async fn erase(
    tx: &mut PgConnection,
    request: &EraseFaces,
    now: DateTime<Utc>,
) -> Result<Vec<OutboxMessage>, WorkError> {
    let EraseFaces { request_id, requested_by, requested_at, user_id } = *request;
    let to = To { request_id, caller: requested_by, decided_at: now };
    if !faces::lock_person(tx, user_id).await? {
        let refusal =
            answers::refusal(Code::NotFound, "There is no such person.", json!({ "userId": user_id }));
        return Ok(vec![OutboxMessage::outcome(&to.failed(refusal))]);
    }
    let photos = faces::erase(tx, user_id, requested_at).await?;
    let mut messages = Vec::new();
    for pack in faces::lock_templates(tx, user_id).await? {
        let entry = renew_template(tx, user_id, pack).await?;
        outbox::forget_feed_entries(tx, &entry.subject()).await?;
        messages.push(OutboxMessage::feed(&entry));
    }
    let answer = Answer::FacesErased(FacesErasedAnswer { user_id, photos });
    messages.push(OutboxMessage::outcome(&to.succeeded(answer)));
    Ok(messages)
}

/// Makes the template of what is left; without anything left, the entry is a tombstone.
async fn renew_template(
    tx: &mut PgConnection,
    user_id: UserId,
    pack: String,
) -> Result<GalleryEntry, WorkError> {
    let left = faces::embeddings(tx, user_id, &pack).await?;
    let renewed = (Embedding::template(&left), left.len());
    let Template { template, photos, revision } = faces::set_template(tx, user_id, &pack, renewed).await?;
    Ok(GalleryEntry { user_id, pack, revision, template, photos })
}

/// Erases the messages of the log that hold the person's face as received before `before`. Done again, it does what is
/// left.
pub(crate) async fn erase_messages(
    deps: &Deps,
    user: UserId,
    before: DateTime<Utc>,
) -> Result<(), WorkError> {
    for message in faces::messages_before(&deps.pool, user, before).await? {
        deps.bus.erase(message.stream, message.sequence).await?;
    }
    Ok(faces::forget_messages(&deps.pool, user, before).await?)
}
