//! Every accepted frame ends in exactly one outcome, and the sum is right.

use crate::harness::{SOON, School, at, face, towards};
use anyhow::Result;
use rollcall_attendance_worker::consumer;
use rollcall_bus::{ConsumerSpec, Delivery, HandleError, Handler, Message};
use rollcall_schemas::subject::{self, Stream};
use rollcall_store::ledger::{CameraBalance, balance};
use rollcall_test_support::eventually;
use serde_json::json;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

async fn balance_of(school: &School) -> Result<CameraBalance> {
    let balance = balance(&school.pool).await?.remove(&school.camera).unwrap_or_default();
    assert!(balance.balances(), "{balance:?}");
    Ok(balance)
}

/// A face worker that cannot read one frame.
struct Choosy;

impl Handler for Choosy {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        if delivery.payload.as_ref() == b"broken" { Err(HandleError::reject("undecodable")) } else { Ok(()) }
    }
}

#[tokio::test]
async fn accepted_is_processed_and_dead_and_expired_and_pending() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    school.see(1, vec![]).await?;
    school.see(2, vec![face(0, 0.5)]).await?;
    school.frame(3, b"broken").await?;
    school.frame(4, b"lost").await?;
    let stop = CancellationToken::new();
    let bus = school.bus.clone();
    let consuming = tokio::spawn({
        let stop = stop.clone();
        async move { bus.consume(ConsumerSpec::new(Stream::Frames, "face-worker"), Arc::new(Choosy), stop).await }
    });
    school.settled(Stream::Frames, "face-worker").await;
    school.settled(Stream::Dead, consumer::DEAD).await;
    school.settled(Stream::Frames, consumer::LEDGER).await;
    stop.cancel();
    consuming.await??;
    let expected = CameraBalance {
        accepted: 4,
        processed: 2,
        dead: [("undecodable".to_owned(), 1)].into(),
        expired: 0,
        pending: 1,
    };
    assert_eq!(balance_of(&school).await?, expected);

    school.bus.purge(Stream::Frames, &subject::frame_captured(school.camera)).await?;
    school.frame(5, b"new").await?;
    let expired = CameraBalance { accepted: 5, expired: 1, pending: 1, ..expected };
    eventually("the frame that is gone to expire", SOON, || async {
        let balance = balance_of(&school).await.ok()?;
        (balance == expired).then_some(())
    })
    .await;
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_replayed_frame_has_an_outcome_of_its_own_and_no_effects() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let session = school.lesson().await?;
    school.enrol(school.students[0], towards(0, 1.0)).await?;
    school.see(10, vec![face(0, 0.99)]).await?;
    let before = (school.rows(session).await?, school.facts().await?);
    assert_eq!(before.0[0].marked_at, at(10));
    for _ in 0..2 {
        school.see(10, vec![face(0, 0.99)]).await?;
    }
    assert_eq!((school.rows(session).await?, school.facts().await?), before);
    school.settled(Stream::Frames, consumer::LEDGER).await;
    let expected = CameraBalance { accepted: 3, processed: 3, ..CameraBalance::default() };
    assert_eq!(balance_of(&school).await?, expected);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_frame_whose_sighting_cannot_be_handled_is_dead() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let sequence = school.frame(10, b"10").await?;
    let mut sighting = serde_json::to_value(school.sighting(10, sequence, vec![]))?;
    sighting["captured_at"] = json!("yesterday");
    school.bus.publish(Message::json(subject::sighting(school.camera), "poison", &sighting)?).await?;
    school.settled(Stream::Frames, consumer::LEDGER).await;
    school.settled(Stream::Sightings, consumer::SIGHTINGS).await;
    school.settled(Stream::Dead, consumer::DEAD).await;
    let balance = balance_of(&school).await?;
    assert_eq!((balance.accepted, balance.pending, balance.dead.values().sum::<u64>()), (1, 0, 1));
    Ok(worker.stop(SOON).await?)
}
