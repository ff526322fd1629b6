//! Who waits for which answer. One subscription hears every outcome for the whole connection: one of its own for each
//! question would cost the broker and the client more than the question itself.

use crate::{Bus, PublishError};
use async_nats::{Message, Subscriber};
use futures::StreamExt;
use parking_lot::Mutex;
use rollcall_schemas::{id::RequestId, outcome::Outcome, subject::Stream};
use std::{collections::HashMap, sync::Arc};
use tokio::{
    sync::{OnceCell, oneshot},
    task::JoinHandle,
};

/// The questions of this connection that wait for an answer.
#[derive(Default)]
pub(crate) struct Answers {
    waiting: Arc<Waiting>,
    /// Begun with the first question: whoever never asks hears nothing.
    listener: OnceCell<Listener>,
}

/// The same request may be asked twice at a time, by a caller who tries again.
type Waiting = Mutex<HashMap<RequestId, Vec<oneshot::Sender<Outcome>>>>;

/// Ends with the connection it listens on.
struct Listener(JoinHandle<()>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer that may come. Dropped, it is no longer waited for.
pub(crate) struct Expected {
    request: RequestId,
    answer: oneshot::Receiver<Outcome>,
    waiting: Arc<Waiting>,
}

impl Bus {
    /// Waits for the outcome of `request` from now on. What is published on this connection afterwards cannot be answered
    /// before that.
    pub(crate) async fn expect(&self, request: RequestId) -> Result<Expected, PublishError> {
        let Answers { waiting, listener } = self.answers();
        listener.get_or_try_init(|| self.listen(waiting.clone())).await?;
        let (sender, answer) = oneshot::channel();
        waiting.lock().entry(request).or_default().push(sender);
        Ok(Expected { request, answer, waiting: waiting.clone() })
    }

    async fn listen(&self, waiting: Arc<Waiting>) -> Result<Listener, PublishError> {
        let outcomes = self.client.subscribe(self.wire(&Stream::Outcomes.subjects())).await;
        let outcomes = outcomes.map_err(|error| PublishError::Unavailable { reason: error.to_string() })?;
        Ok(Listener(tokio::spawn(tell(outcomes, waiting))))
    }
}

impl Expected {
    /// The answer, when it comes.
    pub(crate) async fn live(&mut self) -> Outcome {
        match (&mut self.answer).await {
            Ok(outcome) => outcome,
            // Nobody listens any more.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.answer.close();
        let mut waiting = self.waiting.lock();
        if let Some(askers) = waiting.get_mut(&self.request) {
            askers.retain(|asker| !asker.is_closed());
            if askers.is_empty() {
                waiting.remove(&self.request);
            }
        }
    }
}

/// Gives every outcome to those who wait for it.
async fn tell(mut outcomes: Subscriber, waiting: Arc<Waiting>) {
    while let Some(message) = outcomes.next().await {
        let Some(request) = request_of(&message) else { continue };
        let Some(askers) = waiting.lock().remove(&request) else { continue };
        match serde_json::from_slice::<Outcome>(&message.payload) {
            Ok(outcome) => askers.into_iter().for_each(|asker| {
                // Whoever stopped waiting reads it later.
                let _ = asker.send(outcome.clone());
            }),
            Err(error) => tracing::debug!(%error, %request, "an outcome that cannot be read"),
        }
    }
}

/// The last token of an outcome's subject.
fn request_of(message: &Message) -> Option<RequestId> {
    message.subject.rsplit('.').next()?.parse().ok()
}
