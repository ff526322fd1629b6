//! Push notifications, by a relay of the deployment's own choice that knows people's devices. It is configured by whoever
//! runs the deployment, so it may be in any network.

use super::{
    channel::{Channel, Failure, Receipt},
    config::PushConfig,
    http,
    letter::Writer,
};
use futures::future::BoxFuture;
use reqwest::{Client, Url};
use rollcall_store::deliveries::Leased;
use serde_json::json;
use std::sync::Arc;

/// Sends to the relay.
pub(super) struct PushChannel {
    url: Url,
    token: String,
    client: Client,
    writer: Arc<Writer>,
}

impl PushChannel {
    /// Nothing when none is configured.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub(super) fn new(config: &PushConfig, writer: Arc<Writer>) -> Result<Option<Self>, String> {
        if config.url.is_empty() {
            return Ok(None);
        }
        let url = config.url.parse().map_err(|_| "`attendance.notify.push.url` is no address".to_owned())?;
        let client = http::client(config.timeout()).build().map_err(|error| error.to_string())?;
        Ok(Some(Self { url, token: config.token.reveal().to_owned(), client, writer }))
    }

    async fn post(&self, delivery: &Leased) -> Result<Receipt, Failure> {
        let letter = self.writer.write(delivery).await?;
        let body = json!({
            "id": delivery.id,
            "to": delivery.recipient.id(),
            "title": letter.subject,
            "message": letter.sentences.join("\n"),
        });
        let mut call = self.client.post(self.url.clone()).json(&body);
        if !self.token.is_empty() {
            call = call.bearer_auth(&self.token);
        }
        http::judge(call.send().await)
    }
}

impl Channel for PushChannel {
    fn send<'a>(&'a self, delivery: &'a Leased) -> BoxFuture<'a, Result<Receipt, Failure>> {
        Box::pin(self.post(delivery))
    }
}
