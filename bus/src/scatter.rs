//! Questions to everybody who is there, and their answers. On plain NATS, like gossip: nobody keeps them, and whoever is
//! away is not waited for.

use crate::{Bus, BusError};
use futures::StreamExt;
use rollcall_schemas::subject::Subject;
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

impl Bus {
    /// Asks everybody who answers questions on `subject`, and gives what comes back `within` a time: how many they are is
    /// not known, so it always takes that long, unless nobody is there.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn ask_everybody<A: DeserializeOwned>(
        &self,
        subject: &Subject,
        question: &impl Serialize,
        within: Duration,
    ) -> Result<Vec<A>, BusError> {
        let operation = || format!("asking everybody on {subject}");
        if !self.is_connected() {
            return Err(BusError::Broker { operation: operation(), source: "not connected".into() });
        }
        let end = Instant::now() + within;
        let inbox = self.client.new_inbox();
        let mut coming = self.client.subscribe(inbox.clone()).await.map_err(BusError::broker(operation()))?;
        let payload = serde_json::to_vec(question).expect("a question is plain data");
        let asked = self.client.publish_with_reply(self.wire(subject), inbox, payload.into()).await;
        asked.map_err(BusError::broker(operation()))?;
        let mut answers = Vec::new();
        // A status instead of an answer says that nobody is there.
        while let Ok(Some(message)) = timeout_at(end, coming.next()).await
            && message.status.is_none()
        {
            match serde_json::from_slice(&message.payload) {
                Ok(answer) => answers.push(answer),
                // Another version of Rollcall may have other words.
                Err(error) => tracing::debug!(%subject, %error, "an answer that cannot be read"),
            }
        }
        Ok(answers)
    }

    /// Answers the questions on `subject`, without end. One that cannot be read is not answered.
    ///
    /// # Errors
    /// When the subject cannot be listened to.
    pub async fn answer_everybody<Q: DeserializeOwned, A: Serialize>(
        &self,
        subject: &Subject,
        answer: impl Fn(Q) -> A,
    ) -> Result<(), BusError> {
        let operation = format!("listening to {subject}");
        let asked = self.client.subscribe(self.wire(subject)).await;
        let mut questions = asked.map_err(BusError::broker(operation.clone()))?;
        while let Some(message) = questions.next().await {
            let (Some(asker), Ok(question)) = (message.reply, serde_json::from_slice(&message.payload))
            else {
                continue;
            };
            let payload = serde_json::to_vec(&answer(question)).expect("an answer is plain data");
            if let Err(error) = self.client.publish(asker, payload.into()).await {
                tracing::debug!(%subject, %error, "an answer that cannot be sent");
            }
        }
        Err(BusError::Broker { operation, source: "the connection is closed".into() })
    }
}
