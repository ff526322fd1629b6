//! The broker is killed in the middle of things.

use crate::{
    Recorder,
    consume::{run, settled, spec},
    eventually, scan,
    server::Server,
};
use rollcall_bus::{Bus, ConsumerSpec};
use rollcall_schemas::subject::Stream;
use std::time::Duration;

/// Publishes as a client does: the same message again until the broker has it.
async fn publish_surely(bus: &Bus, number: usize) {
    eventually("publishing", || async { bus.publish(scan(number)).await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_broker_is_killed_mid_stream() {
    let mut server = Server::start();
    let bus = server.bus().await;
    let handler = Recorder::new(|_| Ok(()));
    let running = run(&bus, ConsumerSpec { ack_wait: Duration::from_secs(1), ..spec() }, &handler);
    let publishing = tokio::spawn({
        let bus = bus.clone();
        async move {
            for number in 0..600 {
                publish_surely(&bus, number).await;
            }
        }
    });
    for kills in 1..=3 {
        eventually("some progress", || async { handler.seen().len() >= kills * 100 }).await;
        server.kill();
        server.restart();
    }
    publishing.await.unwrap();
    eventually("everything", || async { handler.seen().len() == 600 }).await;
    settled(&bus, 600).await;
    running.stop().await;
    assert_eq!(bus.stream(Stream::Scans).await.unwrap().messages, 600, "no message was stored twice");
    assert_eq!(bus.stream(Stream::Dead).await.unwrap().messages, 0);
}

#[tokio::test]
async fn an_idle_consumer_wakes_up_after_a_restart() {
    let mut server = Server::start();
    let bus = server.bus().await;
    let handler = Recorder::new(|_| Ok(()));
    let running = run(&bus, spec(), &handler);
    publish_surely(&bus, 0).await;
    settled(&bus, 1).await;
    server.kill();
    server.restart();
    publish_surely(&bus, 1).await;
    eventually("the message after the restart", || async { handler.seen() == vec![0, 1] }).await;
    running.stop().await;
}

#[tokio::test]
async fn a_consumer_that_was_deleted_is_made_again() {
    let server = Server::start();
    let bus = server.bus().await;
    let handler = Recorder::new(|_| Ok(()));
    let running = run(&bus, spec(), &handler);
    publish_surely(&bus, 0).await;
    settled(&bus, 1).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let context = async_nats::jetstream::new(client);
    context.delete_consumer_from_stream("worker", "SCANS").await.unwrap();
    publish_surely(&bus, 1).await;
    eventually("the message after the deletion", || async { handler.seen() == vec![0, 1] }).await;
    running.stop().await;
}

#[tokio::test]
async fn stopping_works_while_the_broker_is_away() {
    let mut server = Server::start();
    let bus = server.bus().await;
    let handler = Recorder::new(|_| Ok(()));
    let running = run(&bus, spec(), &handler);
    publish_surely(&bus, 0).await;
    settled(&bus, 1).await;
    server.kill();
    eventually("noticing", || async { !bus.is_connected() }).await;
    running.stop().await;
}
