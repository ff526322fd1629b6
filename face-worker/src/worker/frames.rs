//! One frame of FRAMES becomes one sighting: crops to EVIDENCE first, so that a sighting never points to nothing.

use super::view::{View, handle_error};
use futures::future::try_join_all;
use rollcall_bus::{Bus, Delivery, HandleError, Handler, Message, PublishError};
use rollcall_schemas::{
    frame::FrameMeta,
    header::{self, HeaderSource},
    id::{CameraId, SightingId},
    sighting::Sighting,
    subject,
};
use rollcall_service::telemetry;
use tracing::Instrument;
use uuid::Uuid;

pub(super) struct FrameHandler {
    pub(super) bus: Bus,
    pub(super) view: View,
}

impl Handler for FrameHandler {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        let camera: CameraId = delivery.subject.last_token().parse().map_err(HandleError::reject)?;
        let frame = FrameMeta::from_headers(camera, &delivery).map_err(HandleError::reject)?;
        let span = tracing::info_span!("analyse frame", %camera, frame = %frame.frame_id);
        if let Some(traceparent) = delivery.header(header::TRACEPARENT) {
            telemetry::continue_trace(&span, traceparent);
        }
        self.see(frame, delivery).instrument(span).await
    }
}

impl FrameHandler {
    async fn see(&self, frame: FrameMeta, delivery: Delivery) -> Result<(), HandleError> {
        let analysis = self.view.analyse(delivery.payload).await.map_err(|error| handle_error(&error))?;
        let pack = self.view.pack();
        let sighting_id = SightingId::of(frame.frame_id, &pack.name);
        let place = Place { camera: frame.camera_id, sighting_id, frame_sequence: delivery.sequence };

        // Taken before the search, which knows at least this.
        let gallery_revision = self.view.people.revision();
        let mut faces = self.view.identify(&analysis).map_err(HandleError::retry)?;
        let crops = analysis.faces.into_iter().map(|face| face.crop_jpeg);
        let kept = (0..).zip(crops).map(|(index, crop)| self.keep_crop(&place, index, crop));
        for (face, sequence) in faces.iter_mut().zip(try_join_all(kept).await?) {
            face.evidence_sequence = sequence;
        }
        let sighting = Sighting {
            sighting_id,
            frame_id: frame.frame_id,
            frame_sequence: delivery.sequence,
            camera_id: frame.camera_id,
            captured_at: frame.captured_at,
            received_at: frame.received_at,
            source: frame.source,
            width: analysis.width,
            height: analysis.height,
            pack: pack.name.clone(),
            gallery_revision,
            thresholds: pack.thresholds,
            faces,
        };
        let message =
            Message::json(subject::sighting(frame.camera_id), place.message_id("sighting"), &sighting)
                .expect("a sighting has a JSON form");
        self.bus.publish(message.with_headers(trace_headers())).await?;
        Ok(())
    }

    /// Leaves the crop of a face in EVIDENCE and says where; a face without a pixel in the frame has none.
    async fn keep_crop(&self, place: &Place, index: u32, crop: Vec<u8>) -> Result<Option<u64>, PublishError> {
        if crop.is_empty() {
            return Ok(None);
        }
        let id = place.message_id(&format!("face {index}"));
        let mut headers = trace_headers();
        headers.push((header::SIGHTING_ID, place.sighting_id.to_string()));
        headers.push((header::FACE_INDEX, index.to_string()));
        let message = Message::new(subject::evidence(place.camera), id, crop).with_headers(headers);
        Ok(Some(self.bus.publish(message).await?.sequence))
    }
}

/// What a frame's messages are named after.
struct Place {
    camera: CameraId,
    sighting_id: SightingId,
    frame_sequence: u64,
}

impl Place {
    /// A replayed frame is the same sighting but another place in FRAMES, which needs an outcome of its own: so the
    /// place is part of the id.
    fn message_id(&self, what: &str) -> Uuid {
        Uuid::new_v5(&self.sighting_id.0, format!("{}/{what}", self.frame_sequence).as_bytes())
    }
}

/// The trace that the current span belongs to.
pub(super) fn trace_headers() -> header::Headers {
    telemetry::current_traceparent()
        .map(|traceparent| (header::TRACEPARENT, traceparent))
        .into_iter()
        .collect()
}
