//! Ask: a durable question, and the wait for its durable answer. The log is the truth, the wait a courtesy: a question
//! whose wait ran out is still answered, and the answer can be read later.

use crate::{Bus, BusError, Message, PublishError, answers::Expected};
use rollcall_schemas::{
    id::RequestId,
    outcome::Outcome,
    subject::{self, Stream},
};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout_at};

/// How often the stored answer is looked for while waiting. The live answer comes in microseconds; this is for the one
/// that was given before the question was repeated, or while the connection was lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// There is no answer yet.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody answered in time. The question is in the log and will be answered: read [`Bus::outcome`] later.
    #[error("no answer in time; it will be stored when it comes")]
    TimedOut,
    /// The question could not be stored, so nobody will answer it.
    #[error("the question was not stored")]
    Unavailable(#[from] PublishError),
    /// Nobody has answered such questions for a while; this one was not asked. One that must not be lost, such as a
    /// scan, can still be published: it will be answered later.
    #[error("nobody answers such questions at present")]
    CircuitOpen,
}

impl AskError {
    fn result(&self) -> &'static str {
        match self {
            AskError::TimedOut => "timed_out",
            AskError::Unavailable(_) => "unavailable",
            AskError::CircuitOpen => "circuit_open",
        }
    }
}

impl Bus {
    /// Stores `question` and waits until `deadline` from now for the outcome of `request`. A question that the log has
    /// already seen gets the outcome that is stored.
    ///
    /// # Errors
    /// When nobody answers in time, the question cannot be stored, or nobody has answered its kind for a while.
    pub async fn ask(
        &self,
        question: Message,
        request: RequestId,
        deadline: Duration,
    ) -> Result<Outcome, AskError> {
        let kind = question.subject.as_str().to_owned();
        let started = Instant::now();
        let result = self.ask_uncounted(question, request, started + deadline).await;
        let label = result.as_ref().map_or_else(AskError::result, |_| "answered");
        metrics::counter!("rollcall_bus_asked_total", "subject" => kind.clone(), "result" => label)
            .increment(1);
        metrics::histogram!("rollcall_bus_ask_seconds", "subject" => kind)
            .record(started.elapsed().as_secs_f64());
        result
    }

    /// The stored outcome of a request, or `None` when there is none (yet, or any more).
    ///
    /// # Errors
    /// When the broker does not answer, or the stored outcome is not readable.
    pub async fn outcome(&self, request: RequestId) -> Result<Option<Outcome>, BusError> {
        let Some(stored) = self.last(Stream::Outcomes, &subject::outcome(request)).await? else {
            return Ok(None);
        };
        let unreadable = |source| BusError::Unreadable {
            stream: Stream::Outcomes.name(),
            sequence: stored.sequence,
            source,
        };
        serde_json::from_slice(&stored.payload).map(Some).map_err(unreadable)
    }

    async fn ask_uncounted(
        &self,
        question: Message,
        request: RequestId,
        until: Instant,
    ) -> Result<Outcome, AskError> {
        let Some(leave) = self.breakers().enter(question.subject.as_str()) else {
            // Whoever repeats an answered question needs nobody to answer it.
            return self.stored(request).await.ok_or(AskError::CircuitOpen);
        };
        // Expected before it is asked: the answer may come before the acknowledgement.
        let expected = self.expect(request).await?;
        let published = self.publish(question).await?;
        if published.duplicate
            && let Some(outcome) = self.stored(request).await
        {
            return Ok(outcome);
        }
        match timeout_at(until, self.answer(expected, request)).await {
            Ok(outcome) => {
                leave.answered();
                Ok(outcome)
            }
            Err(_) => {
                leave.silent();
                Err(AskError::TimedOut)
            }
        }
    }

    /// Waits for the answer, live or stored.
    async fn answer(&self, mut expected: Expected, request: RequestId) -> Outcome {
        let mut looks = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let look = async {
            loop {
                looks.tick().await;
                if let Some(outcome) = self.stored(request).await {
                    return outcome;
                }
            }
        };
        tokio::select! {
            outcome = expected.live() => outcome,
            outcome = look => outcome,
        }
    }

    /// The stored outcome; trouble with reading it is as good as none.
    async fn stored(&self, request: RequestId) -> Option<Outcome> {
        self.outcome(request)
            .await
            .inspect_err(|error| tracing::debug!(%error, %request, "no stored outcome"))
            .ok()?
    }
}
