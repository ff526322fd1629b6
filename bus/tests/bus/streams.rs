//! Streams: made, changed, described, and erased from.

use crate::{eventually, frame, scan, server::Server, soon};
use rollcall_bus::{Bus, BusConfig, ConsumerSpec, Delivery, HandleError, Handler, Limit, StreamLimits};
use rollcall_schemas::{
    id::CameraId,
    subject::{self, Stream},
};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[tokio::test]
async fn limits_change_with_the_configuration_and_messages_stay() {
    let server = Server::start();
    let bus = server.bus().await;
    bus.publish(frame(1, 1, 10)).await.unwrap();
    assert_eq!(bus.stream(Stream::Frames).await.unwrap().max_bytes, Some(4 << 30));
    let frames = Limit { max_bytes: Some(1 << 20), max_age_hours: Some(1) };
    let limits = StreamLimits { frames, ..StreamLimits::default() };
    let bus = Bus::connect(&BusConfig { limits, ..server.config() }, "test").await.unwrap();
    bus.ensure_streams().await.unwrap();
    let state = bus.stream(Stream::Frames).await.unwrap();
    assert_eq!((state.max_bytes, state.messages), (Some(1 << 20), 1));
}

#[tokio::test]
async fn messages_are_read_by_sequence_and_by_subject() {
    let server = Server::start();
    let bus = server.bus().await;
    for number in 1..=3 {
        bus.publish(scan(number)).await.unwrap();
    }
    let second = bus.get(Stream::Scans, 2).await.unwrap().unwrap();
    assert_eq!((&second.payload[..], second.sequence), (&b"2"[..], 2));
    let last = bus.last(Stream::Scans, &subject::scan_captured()).await.unwrap().unwrap();
    assert_eq!((&last.payload[..], last.sequence), (&b"3"[..], 3));
    assert!(bus.get(Stream::Scans, 4).await.unwrap().is_none());
    assert!(bus.last(Stream::Facts, &subject::scan_captured()).await.unwrap().is_none());
    for (from, found) in [(0, Some(1)), (2, Some(2)), (4, None)] {
        let next = bus.next(Stream::Scans, &subject::scan_captured(), from).await.unwrap();
        assert_eq!(next.map(|next| next.sequence), found, "from {from}");
    }
}

#[tokio::test]
async fn an_erased_message_is_gone_and_the_rest_stays() {
    let server = Server::start();
    let bus = server.bus().await;
    for number in 1..=3 {
        bus.publish(scan(number)).await.unwrap();
    }
    assert!(bus.erase(Stream::Scans, 2).await.unwrap());
    assert!(bus.get(Stream::Scans, 2).await.unwrap().is_none());
    assert!(!bus.erase(Stream::Scans, 2).await.unwrap(), "it was gone already");
    assert!(!bus.erase(Stream::Scans, 99).await.unwrap(), "it never was");
    assert_eq!(bus.stream(Stream::Scans).await.unwrap().messages, 2);
}

#[tokio::test]
async fn subjects_are_counted_and_purged_one_by_one() {
    let server = Server::start();
    let bus = server.bus().await;
    for (camera, number) in [(1, 1), (1, 2), (2, 1)] {
        bus.publish(frame(camera, number, 10)).await.unwrap();
    }
    let camera = |number| subject::frame_captured(CameraId(Uuid::from_u128(number)));
    let counts = bus.subject_counts(Stream::Frames, &Stream::Frames.subjects()).await.unwrap();
    assert_eq!(counts, [(camera(1), 2), (camera(2), 1)].into());
    assert_eq!(bus.purge(Stream::Frames, &camera(1)).await.unwrap(), 2);
    let counts = bus.subject_counts(Stream::Frames, &Stream::Frames.subjects()).await.unwrap();
    assert_eq!(counts, [(camera(2), 1)].into());
    assert!(bus.consumer(Stream::Frames, "nobody").await.unwrap().is_none());
}

#[tokio::test]
async fn room_is_made_only_of_what_everybody_has_settled() {
    let server = Server::start();
    let bus = server.bus().await;
    for number in 0..10 {
        bus.publish(frame(1, number, 100_000)).await.unwrap();
    }
    assert_eq!(bus.make_room(Stream::Frames, 0, &[]).await.unwrap(), 0, "nobody has seen anything yet");
    settle_frames(&bus, "slow", 0).await;
    assert_eq!(
        bus.make_room(Stream::Frames, 0, &[]).await.unwrap(),
        0,
        "the slow one has settled nothing yet"
    );
    assert_eq!(bus.stream(Stream::Frames).await.unwrap().messages, 10);
    for (consumer, settled) in [("quick", 10), ("slow", 6)] {
        settle_frames(&bus, consumer, settled).await;
    }
    assert_eq!(bus.make_room(Stream::Frames, 2_000_000, &[]).await.unwrap(), 0, "there is room enough");
    let needed = ["never there"];
    assert_eq!(bus.make_room(Stream::Frames, 700_000, &needed).await.unwrap(), 0, "one is still to come");
    assert_eq!(bus.make_room(Stream::Frames, 700_000, &[]).await.unwrap(), 4);
    assert_eq!(bus.stream(Stream::Frames).await.unwrap().first_sequence, 5);
    assert_eq!(
        bus.make_room(Stream::Frames, 0, &[]).await.unwrap(),
        2,
        "the slow one has not settled the rest"
    );
    assert_eq!(bus.stream(Stream::Frames).await.unwrap().first_sequence, 7);
}

/// Has `consumer` settle the first `count` frames, and wait for something with the next.
async fn settle_frames(bus: &Bus, consumer: &str, count: u64) {
    struct Until(u64);
    impl Handler for Until {
        async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
            if delivery.sequence > self.0 { Err(HandleError::unavailable("the rest")) } else { Ok(()) }
        }
    }
    let stop = CancellationToken::new();
    let (task_bus, token) = (bus.clone(), stop.clone());
    let spec = ConsumerSpec::new(Stream::Frames, consumer);
    let task = tokio::spawn(async move { task_bus.consume(spec, Arc::new(Until(count)), token).await });
    eventually("settling", || async {
        bus.consumer(Stream::Frames, consumer)
            .await
            .unwrap()
            .is_some_and(|state| state.settled_sequence == count)
    })
    .await;
    stop.cancel();
    soon("stopping", task).await.unwrap().unwrap();
}
