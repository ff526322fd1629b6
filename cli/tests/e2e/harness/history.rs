//! What is left when everything has settled: the log from its first message to its last, the records, the ledger.

use super::{Deployment, wait_until};
use futures::{StreamExt, stream};
use rollcall_attendance_worker::consumer;
use rollcall_bus::{Bus, Delivery};
use rollcall_schemas::{
    fact::Fact,
    id::{CameraId, SessionId},
    subject::Stream,
};
use rollcall_store::{
    attendance_views::{self, AttendanceView},
    ledger,
    pages::Page,
};
use std::collections::{BTreeMap, HashSet};

/// Everything in a stream, in order.
pub(crate) async fn read_all(bus: &Bus, stream: Stream) -> Vec<Delivery> {
    let state = bus.stream(stream).await.expect("the broker is up");
    let reads = (state.first_sequence..=state.last_sequence).map(|sequence| bus.get(stream, sequence));
    stream::iter(reads)
        .buffered(32)
        .filter_map(async |message| message.expect("the broker is up"))
        .collect()
        .await
}

/// Every fact, each told once.
pub(crate) async fn facts(bus: &Bus) -> Vec<Fact> {
    let messages = read_all(bus, Stream::Facts).await;
    let facts: Vec<Fact> = messages
        .iter()
        .map(|message| serde_json::from_slice(&message.payload).expect("a fact is JSON"))
        .collect();
    let ids: HashSet<_> = facts.iter().map(|fact| fact.fact_id).collect();
    assert_eq!(ids.len(), facts.len(), "a fact was told more than once");
    facts
}

/// Every record of a session.
pub(crate) async fn records(deployment: &Deployment, session: SessionId) -> Vec<AttendanceView> {
    let mut connection = deployment.pool.acquire().await.expect("the database is up");
    let page = Page { limit: 10_000, offset: 0 };
    attendance_views::of_session(&mut connection, session, page).await.expect("the database is up").rows
}

/// Waits until the ledger knows of `accepted` frames, none of them is pending, and everything that follows from frames
/// and scans is told.
pub(crate) async fn settled(deployment: &Deployment, accepted: u64) {
    wait_until("every frame has its outcome", async || {
        let Ok(balances) = ledger::balance(&deployment.pool).await else { return false };
        let known: u64 = balances.values().map(|balance| balance.accepted).sum();
        let pending: u64 = balances.values().map(|balance| balance.pending).sum();
        known >= accepted && pending == 0
    })
    .await;
    wait_until("every sighting and every scan is acknowledged", async || {
        is_idle(&deployment.bus, Stream::Sightings, consumer::SIGHTINGS).await
            && is_idle(&deployment.bus, Stream::Scans, consumer::SCANS).await
    })
    .await;
}

/// Whether a consumer is done with all there is.
async fn is_idle(bus: &Bus, stream: Stream, durable: &str) -> bool {
    let state = bus.consumer(stream, durable).await.ok().flatten();
    state.is_some_and(|state| state.pending == 0 && state.in_flight == 0)
}

/// Asserts that the ledger balances, and that of each camera exactly so many frames were accepted and processed.
pub(crate) async fn assert_ledger(deployment: &Deployment, wanted: &BTreeMap<CameraId, u64>) {
    let balances = ledger::balance(&deployment.pool).await.expect("the database is up");
    for (camera, balance) in &balances {
        assert!(balance.balances() && balance.pending == 0, "camera {camera}: {balance:?}");
    }
    let processed: BTreeMap<_, _> =
        balances.iter().map(|(camera, balance)| (*camera, balance.processed)).collect();
    let accepted: BTreeMap<_, _> =
        balances.iter().map(|(camera, balance)| (*camera, balance.accepted)).collect();
    assert_eq!((&accepted, &processed), (wanted, wanted));
}
