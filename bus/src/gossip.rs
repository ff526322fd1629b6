//! Gossip: what processes tell each other and nobody keeps. On plain NATS, not JetStream: what is lost is not missed, and
//! nothing waits for it.

use crate::{Bus, BusError};
use futures::StreamExt;
use rollcall_schemas::subject::Subject;
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

impl Bus {
    /// Asks `tell` for news every so often and sends them, and gives `hear` what others send, without end. What this
    /// process sends is heard by it too. While the broker is away news are told to nobody.
    ///
    /// # Errors
    /// When the subject cannot be listened to.
    pub async fn gossip<T: Serialize + DeserializeOwned>(
        &self,
        subject: &Subject,
        every: Duration,
        mut tell: impl FnMut() -> Option<T>,
        mut hear: impl FnMut(T),
    ) -> Result<(), BusError> {
        let wire = self.wire(subject);
        let listening = self.client.subscribe(wire.clone()).await;
        let mut heard = listening.map_err(BusError::broker(format!("listening to {subject}")))?;
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => if let Some(news) = tell() {
                    self.spread(&wire, &news).await;
                },
                message = heard.next() => match message.map(|message| serde_json::from_slice(&message.payload)) {
                    Some(Ok(news)) => hear(news),
                    // Another version of Rollcall may have other words.
                    Some(Err(error)) => tracing::debug!(%subject, %error, "gossip that cannot be read"),
                    None => return Err(BusError::Broker {
                        operation: format!("listening to {subject}"),
                        source: "the connection is closed".into(),
                    }),
                },
            }
        }
    }

    async fn spread(&self, wire: &str, news: &impl Serialize) {
        // The client would keep it for later, and old news are none.
        if !self.is_connected() {
            return;
        }
        let payload = serde_json::to_vec(news).expect("news are plain data");
        if let Err(error) = self.client.publish(wire.to_owned(), payload.into()).await {
            tracing::debug!(%error, "gossip that cannot be sent");
        }
    }
}
