//! The promises of the bus, against a real nats-server that is killed now and then. One binary, so that it links once.
#![allow(clippy::unwrap_used, reason = "the lint knows tests by their attribute, and not their helpers")]

mod ask;
mod batch;
mod connection;
mod consume;
mod feed;
mod gossip;
mod metric_names;
mod publish;
mod recovery;
mod scatter;
mod server;
mod streams;
mod tail;

use rollcall_bus::{Delivery, HandleError, Handler, Message};
use rollcall_schemas::{id::CameraId, subject};
use std::{future::Future, sync::Mutex, time::Duration};
use uuid::Uuid;

/// Far longer than anything here takes; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds.
async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"));
}

/// The value of `future`, which must come in time.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// The `number`th scan: its payload is its number.
fn scan(number: usize) -> Message {
    Message::new(subject::scan_captured(), format_args!("scan-{number}"), number.to_string())
}

/// A frame of `bytes` bytes.
fn frame(camera: u128, number: usize, bytes: usize) -> Message {
    let subject = subject::frame_captured(CameraId(Uuid::from_u128(camera)));
    Message::new(subject, format_args!("frame-{camera}-{number}"), vec![0_u8; bytes])
}

/// The number a message carries.
fn number(delivery: &Delivery) -> usize {
    std::str::from_utf8(&delivery.payload).unwrap().parse().unwrap()
}

/// A handler that does what a function says, and remembers what it was called with.
struct Recorder<F> {
    calls: Mutex<Vec<usize>>,
    answer: F,
}

impl<F: Fn(usize) -> Result<(), HandleError> + Send + Sync + 'static> Recorder<F> {
    fn new(answer: F) -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self { calls: Mutex::default(), answer })
    }

    /// Every call, in order.
    fn calls(&self) -> Vec<usize> {
        self.calls.lock().unwrap().clone()
    }

    /// What was called at least once, in order.
    fn seen(&self) -> Vec<usize> {
        let mut seen = self.calls();
        seen.sort_unstable();
        seen.dedup();
        seen
    }
}

impl<F: Fn(usize) -> Result<(), HandleError> + Send + Sync + 'static> Handler for Recorder<F> {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        let number = number(&delivery);
        self.calls.lock().unwrap().push(number);
        (self.answer)(number)
    }
}
