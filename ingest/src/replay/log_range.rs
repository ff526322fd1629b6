//! Frames that FRAMES still holds, by the time at which they were captured.

use super::{Item, Mark, Picture, ReplayError};
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, stream::BoxStream};
use rollcall_bus::{Bus, Delivery, TailStart};
use rollcall_schemas::{
    frame::{FrameMeta, FrameSource},
    id::CameraId,
    subject::{self, Stream as LogStream, Subject},
};

/// How much earlier than captured a frame may have been stored, by a camera whose clock is ahead.
const CLOCK_AHEAD: TimeDelta = TimeDelta::minutes(10);

/// The frames captured from one time to another, of one camera or of all. Copies that an earlier replay stored are left
/// out, and so is what is stored after the replay began.
pub struct LogRange {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    camera_id: Option<CameraId>,
    /// The last message that is read, and the messages; `None` when there are none.
    reading: Option<(u64, BoxStream<'static, Delivery>)>,
}

impl LogRange {
    /// The frames captured at or after `from` and before `to`.
    pub fn new(from: DateTime<Utc>, to: DateTime<Utc>, camera_id: Option<CameraId>) -> Self {
        Self { from, to, camera_id, reading: None }
    }

    pub(super) fn description(&self) -> String {
        let camera =
            self.camera_id.map_or_else(|| "every camera".to_owned(), |camera| format!("camera {camera}"));
        format!("frames of {camera} captured from {} to {}", self.from.to_rfc3339(), self.to.to_rfc3339())
    }

    pub(super) async fn open(&mut self, bus: &Bus, after: Option<&Mark>) -> Result<(), ReplayError> {
        let filter: Subject =
            self.camera_id.map_or_else(|| LogStream::Frames.subjects(), subject::frame_captured);
        let Some(last) = bus.last(LogStream::Frames, &filter).await? else { return Ok(()) };
        // A frame can be stored long after it was captured, so everything that came later is looked at.
        let earliest = self.from - CLOCK_AHEAD;
        let (start, is_empty) = match after {
            Some(Mark::Sequence(done)) => (TailStart::Sequence(done + 1), *done >= last.sequence),
            _ => (TailStart::Time(earliest), last.published_at < earliest),
        };
        if !is_empty {
            let messages = bus.tail(LogStream::Frames, start, Some(filter)).await?;
            self.reading = Some((last.sequence, messages.boxed()));
        }
        Ok(())
    }

    pub(super) async fn next(&mut self) -> Option<Item> {
        loop {
            let (last, messages) = self.reading.as_mut()?;
            let delivery = messages.next().await.filter(|delivery| delivery.sequence <= *last)?;
            if delivery.sequence == *last {
                self.reading = None;
            }
            if let Some(item) = self.item(&delivery) {
                return Some(item);
            }
        }
    }

    fn item(&self, delivery: &Delivery) -> Option<Item> {
        let meta = meta(delivery);
        let is_wanted = |meta: &FrameMeta| {
            meta.source != FrameSource::Replay && (self.from..self.to).contains(&meta.captured_at)
        };
        if meta.as_ref().is_ok_and(|meta| !is_wanted(meta)) {
            return None;
        }
        let picture = meta.map(|meta| Picture {
            camera_id: meta.camera_id,
            captured_at: meta.captured_at,
            received_at: Some(meta.received_at),
            bytes: delivery.payload.clone(),
        });
        Some(Item {
            mark: Mark::Sequence(delivery.sequence),
            name: format!("FRAMES {}", delivery.sequence),
            picture,
        })
    }
}

fn meta(delivery: &Delivery) -> Result<FrameMeta, String> {
    let camera_id =
        delivery.subject.last_token().parse().map_err(|_| "its subject names no camera".to_owned())?;
    FrameMeta::from_headers(camera_id, delivery).map_err(|error| error.to_string())
}
