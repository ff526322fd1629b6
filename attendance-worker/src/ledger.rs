//! Every accepted frame is entered in the ledger, from the headers of FRAMES; what became of it is entered by whoever
//! handles its sighting or its dead letter.

use crate::{deps::Deps, error::WorkError};
use rollcall_bus::{BatchHandler, Delivery, HandleError};
use rollcall_schemas::{
    frame::FrameMeta,
    header::{HeaderError, HeaderSource},
    id::CameraId,
};
use rollcall_store::ledger::{self, AcceptedFrame};

/// Handles FRAMES, without their bytes.
pub(crate) struct EnterFrames(pub(crate) Deps);

impl BatchHandler for EnterFrames {
    async fn handle(&self, deliveries: Vec<Delivery>) -> Result<(), HandleError> {
        let frames: Result<Vec<_>, WorkError> = deliveries
            .iter()
            .map(|delivery| {
                let camera_id = camera(delivery.subject.last_token())?;
                Ok(accepted(delivery.sequence, camera_id, delivery)?)
            })
            .collect();
        ledger::accept(&self.0.pool, &frames?).await.map_err(WorkError::from)?;
        Ok(())
    }
}

/// The camera that a subject names.
pub(crate) fn camera(token: &str) -> Result<CameraId, WorkError> {
    token.parse().map_err(|_| WorkError::Unreadable("its subject names no camera".into()))
}

/// The frame at `sequence`, read from the headers of its message.
pub(crate) fn accepted(
    sequence: u64,
    camera_id: CameraId,
    headers: &impl HeaderSource,
) -> Result<AcceptedFrame, HeaderError> {
    let FrameMeta { frame_id, received_at, .. } = FrameMeta::from_headers(camera_id, headers)?;
    Ok(AcceptedFrame { sequence, camera_id, frame_id, received_at })
}
