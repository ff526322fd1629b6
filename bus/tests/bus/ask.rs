//! Ask: an answer in time, or the knowledge that there will be one.

use crate::{eventually, scan, server::Server, soon};
use rollcall_bus::{AskError, Bus, ConsumerSpec, Delivery, HandleError, Handler, Message};
use rollcall_schemas::{
    code::Code,
    header::{self, HeaderSource},
    id::{RequestId, UserId},
    outcome::{Outcome, OutcomeResult, Refusal},
    subject::{self, Stream},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);

fn outcome(request: RequestId, message: &str) -> Outcome {
    Outcome {
        request_id: request,
        caller: UserId(Uuid::nil()),
        decided_at: chrono::DateTime::UNIX_EPOCH,
        result: OutcomeResult::Failed(Refusal {
            code: Code::NotEnrolled,
            message: message.into(),
            details: serde_json::Value::Null,
        }),
    }
}

fn request(number: u128) -> RequestId {
    RequestId(Uuid::from_u128(number))
}

fn question(request: RequestId) -> Message {
    let mut question = scan(0).with_headers(vec![(header::REQUEST_ID, request.to_string())]);
    question.id = request.to_string();
    question
}

async fn publish_outcome(bus: &Bus, outcome: &Outcome) {
    let id = format!("outcome-{}", outcome.request_id);
    let message = Message::json(subject::outcome(outcome.request_id), id, outcome).unwrap();
    bus.publish(message).await.unwrap();
}

/// Answers every scan.
struct Answering {
    bus: Bus,
    handled: AtomicUsize,
}

impl Handler for Answering {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        self.handled.fetch_add(1, Ordering::SeqCst);
        let request = delivery.parsed(header::REQUEST_ID).map_err(HandleError::reject)?;
        publish_outcome(&self.bus, &outcome(request, "no")).await;
        Ok(())
    }
}

fn answer_scans(bus: &Bus) -> Arc<Answering> {
    let answering = Arc::new(Answering { bus: bus.clone(), handled: AtomicUsize::new(0) });
    let (bus, handler) = (bus.clone(), answering.clone());
    let spec = ConsumerSpec { max_in_flight: 16, ..ConsumerSpec::new(Stream::Scans, "answering") };
    tokio::spawn(async move { bus.consume(spec, handler, CancellationToken::new()).await });
    answering
}

#[tokio::test]
async fn a_question_is_answered() {
    let server = Server::start();
    let bus = server.bus().await;
    answer_scans(&bus);
    let questions = (1..=50).map(|number| {
        let bus = bus.clone();
        async move { bus.ask(question(request(number)), request(number), LONG).await }
    });
    for (index, answer) in futures::future::join_all(questions).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), outcome(request(index as u128 + 1), "no"));
    }
}

#[tokio::test]
async fn everybody_who_asks_the_same_is_answered_and_others_are_not_disturbed() {
    let server = Server::start();
    let bus = server.bus().await;
    let ask = |number| bus.ask(question(request(number)), request(number), LONG);
    let answers = async {
        // Given up by whoever asked it first, and asked again.
        let impatient = bus.ask(question(request(1)), request(1), SHORT).await.unwrap_err();
        assert!(matches!(impatient, AskError::TimedOut), "{impatient:?}");
        tokio::join!(ask(1), ask(1), ask(2), async {
            answer_scans(&bus);
        })
    };
    let (one, other, another, ()) = answers.await;
    assert_eq!([one.unwrap(), other.unwrap()], [1, 1].map(|number| outcome(request(number), "no")));
    assert_eq!(another.unwrap(), outcome(request(2), "no"));
}

#[tokio::test]
async fn a_repeated_question_is_answered_from_the_log() {
    let server = Server::start();
    let bus = server.bus().await;
    let answering = answer_scans(&bus);
    let first = bus.ask(question(request(1)), request(1), LONG).await.unwrap();
    let again = bus.ask(question(request(1)), request(1), LONG).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(answering.handled.load(Ordering::SeqCst), 1);
    assert_eq!(bus.stream(Stream::Scans).await.unwrap().messages, 1);
}

#[tokio::test]
async fn an_answer_that_comes_too_late_can_be_read() {
    let server = Server::start();
    let bus = server.bus().await;
    let late = bus.ask(question(request(1)), request(1), SHORT).await.unwrap_err();
    assert!(matches!(late, AskError::TimedOut), "{late:?}");
    assert_eq!(bus.outcome(request(1)).await.unwrap(), None);
    answer_scans(&bus);
    eventually("the late answer", || async { bus.outcome(request(1)).await.unwrap().is_some() }).await;
    assert_eq!(bus.outcome(request(1)).await.unwrap(), Some(outcome(request(1), "no")));
}

#[tokio::test]
async fn an_answer_stored_before_the_question_is_found() {
    let server = Server::start();
    let bus = server.bus().await;
    // The question is new to the log, its answer is not: both were published before the broker's duplicate window.
    publish_outcome(&bus, &outcome(request(1), "long ago")).await;
    let answer = bus.ask(question(request(1)), request(1), LONG).await.unwrap();
    assert_eq!(answer, outcome(request(1), "long ago"));
}

#[tokio::test]
async fn without_answers_the_circuit_opens_and_closes_again() {
    let server = Server::start();
    let bus = server.bus().await;
    for number in 1..=5 {
        let silence = bus.ask(question(request(number)), request(number), SHORT).await.unwrap_err();
        assert!(matches!(silence, AskError::TimedOut), "{silence:?}");
    }
    let refused = bus.ask(question(request(6)), request(6), LONG).await.unwrap_err();
    assert!(matches!(refused, AskError::CircuitOpen), "{refused:?}");
    assert_eq!(bus.stream(Stream::Scans).await.unwrap().messages, 5, "a refused question is not asked");
    publish_outcome(&bus, &outcome(request(1), "stored")).await;
    let stored = bus.ask(question(request(1)), request(1), LONG).await.unwrap();
    assert_eq!(stored, outcome(request(1), "stored"), "what is in the log needs nobody");
    answer_scans(&bus);
    eventually("the circuit to close", || async {
        bus.ask(question(request(7)), request(7), LONG).await.is_ok()
    })
    .await;
    bus.ask(question(request(8)), request(8), LONG).await.unwrap();
}

#[tokio::test]
async fn without_a_broker_there_is_no_question() {
    let mut server = Server::start();
    let bus = server.bus().await;
    server.kill();
    eventually("noticing", || async { !bus.is_connected() }).await;
    let refused = soon("refusal", bus.ask(question(request(1)), request(1), LONG)).await.unwrap_err();
    assert!(matches!(refused, AskError::Unavailable(_)), "{refused:?}");
}
