//! Consuming one message at a time: acknowledged after the effect, tried again, parked, never dropped.

use crate::{Recorder, eventually, frame, number, scan, server::Server, soon};
use rollcall_bus::{Bus, BusError, ConsumerSpec, Delivery, HandleError, Handler};
use rollcall_schemas::{
    header::{self, HeaderSource},
    id::CameraId,
    subject::{self, Stream},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) fn spec() -> ConsumerSpec {
    ConsumerSpec {
        max_in_flight: 4,
        max_attempts: 3,
        backoff: vec![Duration::from_millis(10)],
        ..ConsumerSpec::new(Stream::Scans, "worker")
    }
}

pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), BusError>>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        soon("stopping", self.task).await.unwrap().unwrap();
    }
}

pub(crate) fn run<H: Handler>(bus: &Bus, spec: ConsumerSpec, handler: &Arc<H>) -> Running {
    let stop = CancellationToken::new();
    let (bus, handler, token) = (bus.clone(), handler.clone(), stop.clone());
    Running { stop, task: tokio::spawn(async move { bus.consume(spec, handler, token).await }) }
}

/// Waits until the consumer has settled everything up to `sequence`.
pub(crate) async fn settled(bus: &Bus, sequence: u64) {
    eventually("settling everything", || async {
        bus.consumer(Stream::Scans, "worker").await.is_ok_and(|state| {
            state.is_some_and(|state| state.settled_sequence >= sequence && state.in_flight == 0)
        })
    })
    .await;
}

pub(crate) async fn publish_scans(bus: &Bus, numbers: std::ops::Range<usize>) {
    for number in numbers {
        bus.publish(scan(number)).await.unwrap();
    }
}

async fn dead_letter(bus: &Bus, sequence: u64) -> Delivery {
    eventually("a dead letter", || async {
        bus.stream(Stream::Dead).await.unwrap().last_sequence >= sequence
    })
    .await;
    bus.get(Stream::Dead, sequence).await.unwrap().unwrap()
}

#[tokio::test]
async fn every_message_is_handled_once_and_settled() {
    let server = Server::start();
    let bus = server.bus().await;
    publish_scans(&bus, 0..200).await;
    let handler = Recorder::new(|_| Ok(()));
    let running = run(&bus, spec(), &handler);
    settled(&bus, 200).await;
    running.stop().await;
    assert_eq!(handler.calls().len(), 200);
    assert_eq!(handler.seen(), (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_place_outlives_the_consumer() {
    let server = Server::start();
    let bus = server.bus().await;
    publish_scans(&bus, 0..10).await;
    let first = Recorder::new(|_| Ok(()));
    let running = run(&bus, spec(), &first);
    settled(&bus, 10).await;
    running.stop().await;
    publish_scans(&bus, 10..20).await;
    let second = Recorder::new(|_| Ok(()));
    let running = run(&bus, spec(), &second);
    settled(&bus, 20).await;
    running.stop().await;
    assert_eq!(second.seen(), (10..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_filter_selects() {
    let server = Server::start();
    let bus = server.bus().await;
    for (camera, number) in [(1, 1), (2, 1), (1, 2)] {
        bus.publish(frame(camera, number, 3)).await.unwrap();
    }
    struct Subjects(std::sync::Mutex<Vec<String>>);
    impl Handler for Subjects {
        async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
            self.0.lock().unwrap().push(delivery.subject.last_token().to_owned());
            Ok(())
        }
    }
    let camera = CameraId(Uuid::from_u128(1));
    let handler = Arc::new(Subjects(std::sync::Mutex::default()));
    let spec = ConsumerSpec {
        filter: Some(subject::frame_captured(camera)),
        ..ConsumerSpec::new(Stream::Frames, "one-camera")
    };
    let running = run(&bus, spec, &handler);
    eventually("two frames", || async { handler.0.lock().unwrap().len() >= 2 }).await;
    running.stop().await;
    assert_eq!(*handler.0.lock().unwrap(), vec![camera.to_string(); 2]);
    assert_eq!(bus.consumer(Stream::Frames, "one-camera").await.unwrap().unwrap().pending, 0);
}

#[tokio::test]
async fn as_many_at_once_as_allowed_and_no_more() {
    struct Crowd {
        now: AtomicUsize,
        most: AtomicUsize,
        gate: Semaphore,
    }
    impl Handler for Crowd {
        async fn handle(&self, _: Delivery) -> Result<(), HandleError> {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            self.gate.acquire().await.unwrap().forget();
            self.now.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
    }
    let server = Server::start();
    let bus = server.bus().await;
    publish_scans(&bus, 0..40).await;
    let crowd =
        Arc::new(Crowd { now: AtomicUsize::new(0), most: AtomicUsize::new(0), gate: Semaphore::new(0) });
    let running = run(&bus, spec(), &crowd);
    eventually("a full house", || async { crowd.now.load(Ordering::SeqCst) == 4 }).await;
    crowd.gate.add_permits(40);
    settled(&bus, 40).await;
    running.stop().await;
    assert_eq!(crowd.most.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_poison_message_is_parked_with_its_reason_and_the_rest_goes_on() {
    let server = Server::start();
    let bus = server.bus().await;
    publish_scans(&bus, 0..5).await;
    let headers = vec![(header::REQUEST_ID, "r-1".to_owned())];
    let poison = bus.publish(scan(5).with_headers(headers)).await.unwrap();
    publish_scans(&bus, 6..20).await;
    let handler =
        Recorder::new(|number| if number == 5 { Err(HandleError::retry("cannot\nread it")) } else { Ok(()) });
    let running = run(&bus, spec(), &handler);
    let dead = dead_letter(&bus, 1).await;
    settled(&bus, 20).await;
    running.stop().await;
    assert_eq!(dead.subject, subject::dead(Stream::Scans, "worker"));
    assert_eq!(number(&dead), 5);
    assert_eq!(dead.header(header::DEAD_REASON), Some("cannot read it"));
    assert_eq!(dead.header(header::DEAD_STREAM), Some("SCANS"));
    assert_eq!(dead.header(header::DEAD_SUBJECT), Some("scan.captured.v1"));
    assert_eq!(dead.parsed::<u64>(header::DEAD_SEQUENCE).unwrap(), poison.sequence);
    assert_eq!(dead.header(header::DEAD_ATTEMPTS), Some("3"));
    assert_eq!(dead.header(header::REQUEST_ID), Some("r-1"));
    assert_eq!(dead.header("Nats-Msg-Id"), Some("SCANS.worker.6"));
    assert_eq!(handler.seen(), (0..20).collect::<Vec<_>>());
    assert_eq!(handler.calls().iter().filter(|number| **number == 5).count(), 3);
    assert_eq!(bus.stream(Stream::Dead).await.unwrap().messages, 1);
}

#[tokio::test]
async fn a_rejected_message_is_parked_at_once() {
    let server = Server::start();
    let bus = server.bus().await;
    publish_scans(&bus, 0..3).await;
    let handler =
        Recorder::new(|number| if number == 1 { Err(HandleError::reject("not a scan")) } else { Ok(()) });
    let running = run(&bus, spec(), &handler);
    let dead = dead_letter(&bus, 1).await;
    settled(&bus, 3).await;
    running.stop().await;
    assert_eq!(dead.header(header::DEAD_REASON), Some("not a scan"));
    assert_eq!(dead.header(header::DEAD_ATTEMPTS), Some("1"));
    assert_eq!(handler.calls().len(), 3);
}

#[tokio::test]
async fn a_panic_is_a_failure_of_its_message_alone() {
    let server = Server::start();
    let bus = server.bus().await;
    publish_scans(&bus, 0..5).await;
    let handler = Recorder::new(|number| if number == 2 { panic!("index out of bounds") } else { Ok(()) });
    let running = run(&bus, spec(), &handler);
    let dead = dead_letter(&bus, 1).await;
    settled(&bus, 5).await;
    running.stop().await;
    assert_eq!(dead.header(header::DEAD_REASON), Some("handler panicked: index out of bounds"));
    assert_eq!(handler.seen(), vec![0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_message_that_fails_for_a_while_is_handled_in_the_end() {
    let server = Server::start();
    let bus = server.bus().await;
    publish_scans(&bus, 0..1).await;
    let tries = AtomicUsize::new(0);
    let handler = Recorder::new(move |_| match tries.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => Err(HandleError::retry("not yet")),
        _ => Ok(()),
    });
    let running = run(&bus, spec(), &handler);
    settled(&bus, 1).await;
    running.stop().await;
    assert_eq!(handler.calls().len(), 3);
    assert_eq!(bus.stream(Stream::Dead).await.unwrap().messages, 0);
}

#[tokio::test]
async fn what_waits_for_a_dependency_is_never_parked() {
    let server = Server::start();
    let bus = server.bus().await;
    publish_scans(&bus, 0..10).await;
    let tries = Arc::new(AtomicUsize::new(0));
    let away = tries.clone();
    let handler = Recorder::new(move |_| {
        if away.fetch_add(1, Ordering::SeqCst) < 200 {
            return Err(HandleError::Unavailable {
                after: Duration::from_millis(5),
                reason: "database".into(),
            });
        }
        Ok(())
    });
    // Far more tries than a message may fail, and far longer than the broker waits for a sign of life.
    let running = run(&bus, ConsumerSpec { ack_wait: Duration::from_millis(100), ..spec() }, &handler);
    settled(&bus, 10).await;
    running.stop().await;
    assert!(handler.calls().len() >= 210);
    assert_eq!(handler.seen(), (0..10).collect::<Vec<_>>());
    assert_eq!(bus.stream(Stream::Dead).await.unwrap().messages, 0);
}

#[tokio::test]
async fn stopping_while_a_dependency_is_away_gives_the_messages_back() {
    let server = Server::start();
    let bus = server.bus().await;
    publish_scans(&bus, 0..10).await;
    let away = Recorder::new(|_| {
        Err(HandleError::Unavailable { after: Duration::from_secs(3_600), reason: "database".into() })
    });
    // Restarts during an outage are not failures of the messages either.
    for _ in 0..5 {
        let before = away.calls().len();
        let running = run(&bus, spec(), &away);
        eventually("full hands", || async { away.calls().len() >= before + 4 }).await;
        running.stop().await;
    }
    let back = Recorder::new(|_| Ok(()));
    let running = run(&bus, spec(), &back);
    settled(&bus, 10).await;
    running.stop().await;
    assert_eq!(back.seen(), (0..10).collect::<Vec<_>>());
    assert_eq!(bus.stream(Stream::Dead).await.unwrap().messages, 0);
}

#[tokio::test]
async fn long_work_is_not_delivered_again() {
    struct Slow(AtomicUsize);
    impl Handler for Slow {
        async fn handle(&self, _: Delivery) -> Result<(), HandleError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            // The work itself: five times what the broker waits without a sign of life.
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            Ok(())
        }
    }
    let server = Server::start();
    let bus = server.bus().await;
    publish_scans(&bus, 0..4).await;
    let slow = Arc::new(Slow(AtomicUsize::new(0)));
    let running = run(&bus, ConsumerSpec { ack_wait: Duration::from_millis(300), ..spec() }, &slow);
    settled(&bus, 4).await;
    running.stop().await;
    assert_eq!(slow.0.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_leaves_the_rest() {
    struct Gated {
        started: AtomicUsize,
        done: AtomicUsize,
        gate: Semaphore,
    }
    impl Handler for Gated {
        async fn handle(&self, _: Delivery) -> Result<(), HandleError> {
            self.started.fetch_add(1, Ordering::SeqCst);
            self.gate.acquire().await.unwrap().forget();
            self.done.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }
    let server = Server::start();
    let bus = server.bus().await;
    publish_scans(&bus, 0..20).await;
    let gated =
        Arc::new(Gated { started: AtomicUsize::new(0), done: AtomicUsize::new(0), gate: Semaphore::new(0) });
    let running = run(&bus, spec(), &gated);
    eventually("full hands", || async { gated.started.load(Ordering::SeqCst) == 4 }).await;
    running.stop.cancel();
    assert!(!running.task.is_finished(), "it waits for what is in flight");
    gated.gate.add_permits(4);
    running.stop().await;
    assert_eq!(gated.done.load(Ordering::SeqCst), 4);
    // Acknowledgements were sent before it returned, and nothing waits for the 30 s of `ack_wait`.
    let rest = Recorder::new(|_| Ok(()));
    let running = run(&bus, spec(), &rest);
    settled(&bus, 20).await;
    running.stop().await;
    assert_eq!(rest.calls().len(), 16);
}

#[tokio::test]
async fn headers_only_leaves_the_payload_but_parks_it_whole() {
    struct Rejecting;
    impl Handler for Rejecting {
        async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
            Err(HandleError::reject(format!("{} bytes", delivery.payload.len())))
        }
    }
    let server = Server::start();
    let bus = server.bus().await;
    publish_scans(&bus, 7..8).await;
    let running = run(&bus, ConsumerSpec { headers_only: true, ..spec() }, &Arc::new(Rejecting));
    let dead = dead_letter(&bus, 1).await;
    running.stop().await;
    assert_eq!(dead.header(header::DEAD_REASON), Some("0 bytes"));
    assert_eq!(number(&dead), 7);
}

#[tokio::test]
async fn a_consumer_of_no_stream_is_refused() {
    let server = Server::start();
    let bus = Bus::connect(&server.config(), "test").await.unwrap();
    let handler = Recorder::new(|_| Ok(()));
    let consuming = bus.consume(spec(), handler, CancellationToken::new());
    let refused = soon("refusal", consuming).await.unwrap_err();
    assert!(matches!(refused, BusError::Broker { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_message_too_large_to_be_parked_whole_is_parked_without_its_bytes() {
    struct Rejecting;
    impl Handler for Rejecting {
        async fn handle(&self, _: Delivery) -> Result<(), HandleError> {
            Err(HandleError::reject("no"))
        }
    }
    let server = Server::start();
    let bus = server.bus().await;
    bus.publish(frame(1, 1, (8 << 20) - 100)).await.unwrap();
    let spec = ConsumerSpec::new(Stream::Frames, "worker");
    let running = run(&bus, spec, &Arc::new(Rejecting));
    let dead = dead_letter(&bus, 1).await;
    running.stop().await;
    assert!(dead.payload.is_empty());
    assert!(dead.header(header::DEAD_REASON).unwrap().starts_with("no (too large to be parked whole"));
    assert!(bus.get(Stream::Frames, 1).await.unwrap().is_some());
}

#[tokio::test]
async fn a_message_that_nobody_lives_to_answer_is_parked_without_another_try() {
    use async_nats::jetstream::{AckKind, consumer::pull};
    use futures::StreamExt;
    let server = Server::start();
    let bus = server.bus().await;
    publish_scans(&bus, 0..2).await;
    // Workers that die in the middle of the first message, seen from the broker.
    let context = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let config = pull::Config { durable_name: Some("worker".into()), ..pull::Config::default() };
    let consumer = context.create_consumer_on_stream(config, "SCANS").await.unwrap();
    for _ in 0..54 {
        let mut batch =
            consumer.batch().max_messages(1).expires(Duration::from_secs(10)).messages().await.unwrap();
        let message = batch.next().await.unwrap().unwrap();
        assert_eq!(&message.payload[..], b"0");
        message.double_ack_with(AckKind::Nak(None)).await.unwrap();
    }
    let handler = Recorder::new(|_| Ok(()));
    let running = run(&bus, spec(), &handler);
    let dead = dead_letter(&bus, 1).await;
    settled(&bus, 2).await;
    running.stop().await;
    assert_eq!(number(&dead), 0);
    assert!(dead.header(header::DEAD_REASON).unwrap().contains("without an answer"));
    assert_eq!(handler.calls(), vec![1]);
}
