//! Consuming in batches: the same promises, many at once.

use crate::{
    consume::{publish_scans, settled, spec},
    number,
    server::Server,
    soon,
};
use rollcall_bus::{BatchHandler, BatchSpec, Bus, ConsumerSpec, Delivery, HandleError};
use rollcall_schemas::{
    header::{self, HeaderSource},
    subject::Stream,
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Remembers the batches it was given, and fails as long as there is something that fails in them.
struct Books<F> {
    batches: Mutex<Vec<Vec<usize>>>,
    answer: F,
}

impl<F: Fn(&[usize]) -> Result<(), HandleError> + Send + Sync + 'static> BatchHandler for Books<F> {
    async fn handle(&self, deliveries: Vec<Delivery>) -> Result<(), HandleError> {
        let numbers: Vec<usize> = deliveries.iter().map(number).collect();
        (self.answer)(&numbers)?;
        self.batches.lock().unwrap().push(numbers);
        Ok(())
    }
}

async fn consume<F>(bus: &Bus, messages: usize, answer: F) -> Vec<Vec<usize>>
where
    F: Fn(&[usize]) -> Result<(), HandleError> + Send + Sync + 'static,
{
    publish_scans(bus, 0..messages).await;
    let books = Arc::new(Books { batches: Mutex::default(), answer });
    let stop = CancellationToken::new();
    let consumer = ConsumerSpec { max_in_flight: 32, ack_wait: Duration::from_millis(300), ..spec() };
    let task = tokio::spawn({
        let (bus, books, stop) = (bus.clone(), books.clone(), stop.clone());
        let spec = BatchSpec { consumer, fill: Duration::from_millis(50) };
        async move { bus.consume_batch(spec, books, stop).await }
    });
    settled(bus, messages as u64).await;
    stop.cancel();
    soon("stopping", task).await.unwrap().unwrap();
    books.batches.lock().unwrap().clone()
}

#[tokio::test]
async fn batches_are_full_in_order_and_complete() {
    let server = Server::start();
    let bus = server.bus().await;
    let batches = consume(&bus, 100, |_| Ok(())).await;
    assert_eq!(batches.concat(), (0..100).collect::<Vec<_>>());
    assert_eq!(batches.iter().map(Vec::len).max(), Some(32), "{batches:?}");
}

#[tokio::test]
async fn one_bad_message_does_not_take_its_batch_with_it() {
    let server = Server::start();
    let bus = server.bus().await;
    let batches = consume(&bus, 50, |numbers| {
        if numbers.contains(&7) {
            return Err(HandleError::retry("seven"));
        }
        if numbers.contains(&40) {
            return Err(HandleError::reject("forty"));
        }
        Ok(())
    })
    .await;
    let mut handled = batches.concat();
    handled.sort_unstable();
    assert_eq!(handled, (0..50).filter(|number| ![7, 40].contains(number)).collect::<Vec<_>>());
    assert_eq!(bus.stream(Stream::Dead).await.unwrap().messages, 2);
    let mut reasons = Vec::new();
    for sequence in 1..=2 {
        let dead = bus.get(Stream::Dead, sequence).await.unwrap().unwrap();
        reasons.push((number(&dead), dead.header(header::DEAD_REASON).unwrap().to_owned()));
    }
    reasons.sort();
    assert_eq!(reasons, vec![(7, "seven".to_owned()), (40, "forty".to_owned())]);
}

#[tokio::test]
async fn a_batch_waits_for_its_dependency_and_stays_whole() {
    let server = Server::start();
    let bus = server.bus().await;
    let tries = AtomicUsize::new(0);
    // Away for longer than the broker waits without a sign of life.
    let batches = consume(&bus, 20, move |_| {
        if tries.fetch_add(1, Ordering::SeqCst) < 10 {
            return Err(HandleError::Unavailable {
                after: Duration::from_millis(100),
                reason: "database".into(),
            });
        }
        Ok(())
    })
    .await;
    assert_eq!(batches.concat(), (0..20).collect::<Vec<_>>(), "handled once each: signs of life were given");
    assert_eq!(bus.stream(Stream::Dead).await.unwrap().messages, 0);
}
