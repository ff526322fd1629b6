//! Tails: in order, without loss or repetition, across restarts of the broker.

use crate::{eventually, number, scan, server::Server, soon};
use futures::{Stream as FutureStream, StreamExt};
use rollcall_bus::{Bus, Delivery, TailStart};
use rollcall_schemas::subject::Stream;

async fn take(tail: &mut (impl FutureStream<Item = Delivery> + Unpin), count: usize) -> Vec<usize> {
    soon("the messages", tail.take(count).map(|delivery| number(&delivery)).collect()).await
}

async fn publish(bus: &Bus, numbers: std::ops::Range<usize>) {
    for number in numbers {
        eventually("publishing", || async { bus.publish(scan(number)).await.is_ok() }).await;
    }
}

#[tokio::test]
async fn a_tail_begins_where_it_is_told() {
    let server = Server::start();
    let bus = server.bus().await;
    publish(&bus, 1..6).await;
    let third = bus.get(Stream::Scans, 3).await.unwrap().unwrap();
    let mut all = bus.tail(Stream::Scans, TailStart::Sequence(0), None).await.unwrap();
    let mut from_four = bus.tail(Stream::Scans, TailStart::Sequence(4), None).await.unwrap();
    let mut from_third = bus.tail(Stream::Scans, TailStart::Time(third.published_at), None).await.unwrap();
    let mut new = bus.tail(Stream::Scans, TailStart::New, None).await.unwrap();
    publish(&bus, 6..8).await;
    assert_eq!(take(&mut all, 7).await, vec![1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(take(&mut from_four, 4).await, vec![4, 5, 6, 7]);
    assert_eq!(take(&mut from_third, 5).await, vec![3, 4, 5, 6, 7]);
    assert_eq!(take(&mut new, 2).await, vec![6, 7]);
}

#[tokio::test]
async fn a_tail_goes_on_after_kills_without_loss_or_repetition() {
    let mut server = Server::start();
    let bus = server.bus().await;
    let mut tail = bus.tail(Stream::Scans, TailStart::New, None).await.unwrap();
    for kill in 0..3 {
        publish(&bus, kill * 10..kill * 10 + 10).await;
        assert_eq!(take(&mut tail, 5).await, (kill * 10..kill * 10 + 5).collect::<Vec<_>>());
        server.kill();
        server.restart();
        assert_eq!(take(&mut tail, 5).await, (kill * 10 + 5..kill * 10 + 10).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_tail_that_has_seen_nothing_does_not_go_back_after_a_kill() {
    let mut server = Server::start();
    let bus = server.bus().await;
    publish(&bus, 0..5).await;
    let mut tail = bus.tail(Stream::Scans, TailStart::New, None).await.unwrap();
    server.kill();
    server.restart();
    publish(&bus, 5..7).await;
    assert_eq!(take(&mut tail, 2).await, vec![5, 6]);
}

#[tokio::test]
async fn a_tail_of_no_stream_is_refused() {
    let server = Server::start();
    let bus = Bus::connect(&server.config(), "test").await.unwrap();
    assert!(bus.tail(Stream::Scans, TailStart::New, None).await.is_err());
}
