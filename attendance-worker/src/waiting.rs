//! What in the log goes before something else and is still to be handled. Streams have no order among each other; whoever
//! depends on one asks here, and waits.

use crate::{Deps, consumer};
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use rollcall_bus::{Bus, BusError, Delivery};
use rollcall_schemas::{
    scan::Scan,
    subject::{self, RequestKind, Stream, Subject},
};
use rollcall_service::clock::Clock;

/// Whether a request about sessions that was published before then is still to be handled.
pub(crate) async fn for_session_requests(bus: &Bus, before: DateTime<Utc>) -> Result<bool, BusError> {
    let subject = subject::request(RequestKind::Session);
    let request = first_unsettled(bus, (Stream::Requests, consumer::SESSIONS), &subject).await?;
    Ok(request.is_some_and(|request| request.published_at < before))
}

/// Scans that are still to be decided about, for somebody who waits for them: as long as they are being decided.
pub(crate) struct UndecidedScans {
    bus: Bus,
    clock: Clock,
    /// How long one and the same scan is waited for. Nobody waits for ever because of one that cannot be decided.
    patience: TimeDelta,
    /// The place of the first of them, and since when it has been.
    first: Mutex<Option<(u64, DateTime<Utc>)>>,
}

impl UndecidedScans {
    pub(crate) fn new(deps: &Deps, patience: TimeDelta) -> Self {
        let (bus, clock) = (deps.bus.clone(), deps.clock.clone());
        Self { bus, clock, patience, first: Mutex::default() }
    }

    /// When the first of them was received: everything before it is decided. None when there is none, and when waiting for it is
    /// in vain.
    pub(crate) async fn since(&self) -> Result<Option<DateTime<Utc>>, BusError> {
        let scans = (Stream::Scans, consumer::SCANS);
        let waiting = first_unsettled(&self.bus, scans, &subject::scan_captured()).await?;
        // One that cannot be read is no scan: it is about to be parked.
        let scan = waiting.as_ref().and_then(|it| serde_json::from_slice::<Scan>(&it.payload).ok());
        let Some((delivery, scan)) = waiting.as_ref().zip(scan) else { return Ok(None) };
        let now = self.clock.now();
        let mut first = self.first.lock();
        let since = match *first {
            Some((sequence, since)) if sequence == delivery.sequence => since,
            _ => now,
        };
        *first = Some((delivery.sequence, since));
        Ok((now - since <= self.patience).then_some(scan.scanned_at))
    }
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
