//! Questions to everybody who is there.

use crate::{eventually, server::Server};
use rollcall_bus::Bus;
use rollcall_schemas::subject;
use std::time::{Duration, Instant};

const WITHIN: Duration = Duration::from_millis(300);

/// What everybody answers, in order; nothing while the broker is away.
async fn ask(bus: &Bus) -> Vec<String> {
    let answers = bus.ask_everybody(&subject::processes(), &"who", WITHIN).await;
    let mut answers: Vec<String> = answers.unwrap_or_default();
    answers.sort_unstable();
    answers
}

fn answer_as(bus: &Bus, name: &'static str) {
    let bus = bus.clone();
    tokio::spawn(async move {
        bus.answer_everybody(&subject::processes(), |question: String| format!("{question}? {name}")).await
    });
}

#[tokio::test]
async fn everybody_who_is_there_answers_and_nobody_else_is_waited_for() {
    let mut server = Server::start();
    let (one, other) = (server.bus().await, server.bus().await);
    let asked = Instant::now();
    assert!(ask(&one).await.is_empty());
    assert!(asked.elapsed() < WITHIN, "nobody is there, and the broker says so");

    answer_as(&one, "one");
    answer_as(&other, "other");
    let both = async || ask(&one).await == ["who? one", "who? other"];
    eventually("both answer", both).await;
    server.kill();
    server.restart();
    eventually("both answer again", both).await;
}
