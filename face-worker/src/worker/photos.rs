//! Photographs that want an answer: one to enrol a person with, one whose faces are to be named.

use super::{
    frames::trace_headers,
    view::{View, handle_error},
};
use crate::{
    engine::{self, FrameAnalysis},
    pool::AnalyseError,
};
use rollcall_bus::{Bus, Delivery, HandleError, Handler, Message};
use rollcall_schemas::{
    code::Code,
    embedding::Embedding,
    header::{self, HeaderSource},
    id::{RequestId, UserId},
    outcome::{Answer, Outcome, OutcomeResult, PhotoAnswer, RecognitionAnswer, Refusal},
    request::{PhotoMeta, StorePhoto},
    sighting::Quality,
    subject::{self, RequestKind},
};
use rollcall_service::{clock::Clock, telemetry};
use sha2::{Digest, Sha256};
use tracing::Instrument;
use uuid::Uuid;

pub(super) struct EnrolPhotoHandler {
    pub(super) bus: Bus,
    pub(super) view: View,
    pub(super) clock: Clock,
}

impl Handler for EnrolPhotoHandler {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        let photo = PhotoMeta::from_headers(&delivery).map_err(HandleError::reject)?;
        let user_id =
            photo.user_id.ok_or_else(|| HandleError::reject("an enrolment photograph of nobody"))?;
        let span = photo_span(&photo, &delivery);
        self.enrol(photo, user_id, delivery).instrument(span).await
    }
}

impl EnrolPhotoHandler {
    async fn enrol(&self, photo: PhotoMeta, user_id: UserId, delivery: Delivery) -> Result<(), HandleError> {
        let analysis = match self.view.analyse(delivery.payload.clone()).await {
            Ok(analysis) => analysis,
            Err(AnalyseError::Decode(error)) => {
                return self.refuse(&photo, user_id, error.reason(), None).await;
            }
            Err(error) => return Err(handle_error(&error)),
        };
        let (face, embedding) = match only_good_face(&analysis) {
            Ok(found) => found,
            Err(Unfit { reason, quality }) => return self.refuse(&photo, user_id, reason, quality).await,
        };
        let crop_id = Uuid::new_v5(&photo.request_id.0, b"crop");
        let crop = Message::new(subject::enrolment_evidence(user_id), crop_id, face.crop_jpeg.clone());
        let evidence = self.bus.publish(crop.with_headers(trace_headers())).await?;
        let store = StorePhoto {
            request_id: photo.request_id,
            requested_by: photo.requested_by,
            user_id,
            received_at: photo.received_at,
            sha256: hex::encode(Sha256::digest(&delivery.payload)),
            pack: self.view.pack().name.clone(),
            embedding: embedding.clone(),
            quality: (&face.quality).into(),
            request_sequence: delivery.sequence,
            evidence_sequence: evidence.sequence,
        };
        let id = Uuid::new_v5(&photo.request_id.0, b"store-photo");
        let message = Message::json(subject::request(RequestKind::StorePhoto), id, &store)
            .expect("a photograph to keep has a JSON form");
        self.bus.publish(message.with_headers(trace_headers())).await?;
        Ok(())
    }

    async fn refuse(
        &self,
        photo: &PhotoMeta,
        user_id: UserId,
        reason: &str,
        quality: Option<Quality>,
    ) -> Result<(), HandleError> {
        let answer =
            PhotoAnswer { user_id, photo_id: None, refusal: Some(reason.to_owned()), quality, photos: 0 };
        let result = OutcomeResult::Succeeded { answer: Answer::Photo(answer) };
        answer_request(&self.bus, &self.clock, photo, result).await
    }
}

pub(super) struct RecogniseHandler {
    pub(super) bus: Bus,
    pub(super) view: View,
    pub(super) clock: Clock,
}

impl Handler for RecogniseHandler {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        let photo = PhotoMeta::from_headers(&delivery).map_err(HandleError::reject)?;
        let span = photo_span(&photo, &delivery);
        self.recognise(photo, delivery).instrument(span).await
    }
}

impl RecogniseHandler {
    async fn recognise(&self, photo: PhotoMeta, delivery: Delivery) -> Result<(), HandleError> {
        let result = match self.view.analyse(delivery.payload).await {
            Ok(analysis) => {
                let mut faces = self.view.identify(&analysis).map_err(HandleError::retry)?;
                // Biometric data stays in the log.
                faces.iter_mut().for_each(|face| face.embedding = None);
                let answer = RecognitionAnswer { pack: self.view.pack().name.clone(), faces };
                OutcomeResult::Succeeded { answer: Answer::Recognition(answer) }
            }
            Err(AnalyseError::Decode(error)) => OutcomeResult::Failed(Refusal {
                code: Code::ValidationFailed,
                message: error.to_string(),
                details: serde_json::json!({ "reason": error.reason() }),
            }),
            Err(error) => return Err(handle_error(&error)),
        };
        answer_request(&self.bus, &self.clock, &photo, result).await
    }
}

/// Why a photograph is not fit for enrolment.
struct Unfit {
    reason: &'static str,
    quality: Option<Quality>,
}

/// The one face of an enrolment photograph, if it is good enough. Two faces are one too many: nobody could say whose
/// name they would get.
fn only_good_face(analysis: &FrameAnalysis) -> Result<(&engine::Face, &Embedding), Unfit> {
    let face = match analysis.faces.as_slice() {
        [] => return Err(Unfit { reason: "no_face", quality: None }),
        [face] => face,
        _ => return Err(Unfit { reason: "several_faces", quality: None }),
    };
    match (&face.embedding, face.quality.refusal) {
        (Some(embedding), None) => Ok((face, embedding)),
        (_, refusal) => Err(Unfit {
            reason: refusal.map_or("turned_away", |refusal| refusal.as_str()),
            quality: Some((&face.quality).into()),
        }),
    }
}

async fn answer_request(
    bus: &Bus,
    clock: &Clock,
    photo: &PhotoMeta,
    result: OutcomeResult,
) -> Result<(), HandleError> {
    let request_id: RequestId = photo.request_id;
    let outcome = Outcome { request_id, caller: photo.requested_by, decided_at: clock.now(), result };
    let id = Uuid::new_v5(&request_id.0, b"outcome");
    let message =
        Message::json(subject::outcome(request_id), id, &outcome).expect("an outcome has a JSON form");
    bus.publish(message.with_headers(trace_headers())).await?;
    Ok(())
}

fn photo_span(photo: &PhotoMeta, delivery: &Delivery) -> tracing::Span {
    let span = tracing::info_span!("analyse photograph", request = %photo.request_id);
    if let Some(traceparent) = delivery.header(header::TRACEPARENT) {
        telemetry::continue_trace(&span, traceparent);
    }
    span
}
