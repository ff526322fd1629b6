//! What in the log goes before something else and is still to be handled. Streams have no order among each other; whoever
//! depends on one asks here, and waits.

use crate::consumer;
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_bus::{Bus, BusError, Delivery};
use rollcall_schemas::{
    scan::Scan,
    subject::{self, RequestKind, Stream, Subject},
};

/// How long scans are waited for at most. They are decided within seconds of the database being there; nothing stays open
/// for ever because of one that never is.
const SCANS_WAITED_FOR: TimeDelta = TimeDelta::hours(1);

/// Whether a request about sessions that was published before then is still to be handled.
pub(crate) async fn for_session_requests(bus: &Bus, before: DateTime<Utc>) -> Result<bool, BusError> {
    let subject = subject::request(RequestKind::Session);
    let request = first_unsettled(bus, (Stream::Requests, consumer::SESSIONS), &subject).await?;
    Ok(request.is_some_and(|request| request.published_at < before))
}

/// Whether a scan from before then, which may say that a student was there, is still to be decided about at `now`.
pub(crate) async fn for_scans(
    bus: &Bus,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, BusError> {
    if now - before > SCANS_WAITED_FOR {
        return Ok(false);
    }
    let waiting = first_unsettled(bus, (Stream::Scans, consumer::SCANS), &subject::scan_captured()).await?;
    // One that cannot be read is no scan: it is about to be parked.
    let waiting: Option<Scan> = waiting.and_then(|scan| serde_json::from_slice(&scan.payload).ok());
    Ok(waiting.is_some_and(|scan| scan.scanned_at < before))
}

async fn first_unsettled(
    bus: &Bus,
    (stream, durable): (Stream, &str),
    subject: &Subject,
) -> Result<Option<Delivery>, BusError> {
    let state = bus.consumer(stream, durable).await?;
    let first_unsettled = state.map_or(0, |state| state.settled_sequence) + 1;
    bus.next(stream, subject, first_unsettled).await
}
