//! A frame on its way into the log: the bytes as they came, and what is known of them.

use bytes::Bytes;
use rollcall_bus::Message;
use rollcall_schemas::{frame::FrameMeta, header, subject};
use rollcall_service::telemetry::current_traceparent;

/// A frame that passed every check.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) meta: FrameMeta,
    pub(crate) bytes: Bytes,
}

impl Frame {
    /// The message of FRAMES, which joins the trace that is going on. `id` is what makes the broker keep it once.
    pub(crate) fn into_message(self, id: String) -> Message {
        let mut headers = self.meta.to_headers();
        headers.extend(current_traceparent().map(|traceparent| (header::TRACEPARENT, traceparent)));
        Message::new(subject::frame_captured(self.meta.camera_id), id, self.bytes).with_headers(headers)
    }
}
