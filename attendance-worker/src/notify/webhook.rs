//! Webhooks, in the format of Standard Webhooks (https://www.standardwebhooks.com), version 1: HMAC-SHA256 over id, time
//! and body, in three headers.

use super::{
    channel::{Channel, Failure, Receipt},
    config::WebhookConfig,
    http,
    reach::{Reach, Unreachable},
};
use crate::Deps;
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use reqwest::{Certificate, Client, Url, header::CONTENT_TYPE};
use ring::hmac;
use rollcall_store::{
    deliveries::{Leased, Recipient},
    webhooks::{self, Webhook},
};
use serde_json::{Map, Value, json};
use std::fs;

/// Sends to webhooks.
pub(super) struct WebhookChannel {
    deps: Deps,
    /// For addresses under TLS.
    tls: Target,
    /// For addresses in the open: networks of one's own only.
    open: Target,
}

/// A client, and where it may go.
struct Target {
    reach: Reach,
    client: Client,
}

impl Target {
    fn new(config: &WebhookConfig, is_tls: bool) -> Result<Self, String> {
        let reach = Reach::new(&config.private_networks, is_tls);
        let client = http::client(config.timeout()).dns_resolver(reach.clone());
        let client = client.tls_certs_merge(own_certificates(config)?).build();
        Ok(Self { reach, client: client.map_err(|error| error.to_string())? })
    }
}

/// What is trusted beside the certificates of the system.
fn own_certificates(config: &WebhookConfig) -> Result<Vec<Certificate>, String> {
    let Some(file) = &config.ca_file else { return Ok(Vec::new()) };
    let found = fs::read(file).ok().and_then(|pem| Certificate::from_pem_bundle(&pem).ok());
    found.filter(|found| !found.is_empty()).ok_or_else(|| {
        format!("`attendance.notify.webhooks.ca_file`: {} holds no certificates", file.display())
    })
}

impl WebhookChannel {
    /// # Errors
    /// What is wrong with the settings, or with the system's certificates.
    pub(super) fn new(deps: &Deps, config: &WebhookConfig) -> Result<Self, String> {
        let (tls, open) = (Target::new(config, true)?, Target::new(config, false)?);
        Ok(Self { deps: deps.clone(), tls, open })
    }

    async fn post(&self, delivery: &Leased) -> Result<Receipt, Failure> {
        let Recipient::Webhook(id) = delivery.recipient else {
            return Err(Failure::Nobody("no webhook is a person"));
        };
        let mut db = self.deps.pool.acquire().await.map_err(rollcall_store::StoreError::from)?;
        let webhook = webhooks::find(&mut db, id).await?;
        drop(db);
        let webhook = webhook.ok_or(Failure::Nobody("the webhook is deleted"))?;
        if !webhook.is_on() {
            return Err(Failure::Nobody("the webhook is switched off"));
        }
        let (url, target) = self.target(&webhook).map_err(|error| Failure::later(error.to_string()))?;
        let now = self.deps.clock.now();
        let body = body(&delivery.content, delivery.sequence).to_string();
        let signed = Signed { id: &delivery.id.to_string(), timestamp: now.timestamp(), body: &body };
        let signatures = self.signatures(&webhook, &signed, now)?;
        let call = target.client.post(url);
        let call = call
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", signed.id)
            .header("webhook-timestamp", signed.timestamp)
            .header("webhook-signature", signatures);
        http::judge(call.body(body.clone()).send().await)
    }

    fn target(&self, webhook: &Webhook) -> Result<(Url, &Target), Unreachable> {
        let url: Url = webhook.url.parse().map_err(|_| Unreachable::NotHttp)?;
        let target = match url.scheme() {
            "https" => &self.tls,
            "http" => &self.open,
            _ => return Err(Unreachable::NotHttp),
        };
        target.reach.check_url(&url)?;
        Ok((url, target))
    }

    /// One signature for each secret that is good: while a secret is being replaced, receivers know one of two.
    fn signatures(
        &self,
        webhook: &Webhook,
        signed: &Signed<'_>,
        now: DateTime<Utc>,
    ) -> Result<String, Failure> {
        let previous = webhook.previous.as_ref().filter(|(_, until)| *until > now).map(|(secret, _)| secret);
        let sign = |sealed: &Vec<u8>| {
            let secret = self.deps.sealer.open(webhook.id.0.as_bytes(), sealed);
            secret.map(|secret| signed.signature(&secret))
        };
        let signatures: Result<Vec<_>, _> =
            std::iter::once(&webhook.secret).chain(previous).map(sign).collect();
        Ok(signatures.map_err(|error| Failure::later(error.to_string()))?.join(" "))
    }
}

impl Channel for WebhookChannel {
    fn send<'a>(&'a self, delivery: &'a Leased) -> BoxFuture<'a, Result<Receipt, Failure>> {
        Box::pin(self.post(delivery))
    }
}

/// What a signature is of.
struct Signed<'a> {
    id: &'a str,
    timestamp: i64,
    body: &'a str,
}

impl Signed<'_> {
    fn signature(&self, secret: &[u8]) -> String {
        let Self { id, timestamp, body } = self;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(tag))
    }
}

/// The body: the type, the time, and as data what the fact says and what it is about.
fn body(content: &Value, sequence: Option<u64>) -> Value {
    let mut data = content["data"].as_object().cloned().unwrap_or_default();
    let rest = content.as_object().cloned().unwrap_or_else(Map::new);
    data.extend(rest.into_iter().filter(|(name, _)| !matches!(name.as_str(), "type" | "at" | "data")));
    data.extend(sequence.map(|sequence| ("sequence".to_owned(), json!(sequence))));
    json!({ "type": content["type"], "timestamp": content["at"], "data": data })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        let secret = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = Signed {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp: 1_614_265_330,
            body: r#"{"test": 2432232314}"#,
        };
        assert_eq!(signed.signature(&secret), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn the_body_says_what_the_fact_says() {
        let fact = json!({
            "factId": "f", "at": "2026-03-02T09:00:00Z", "classId": "c", "type": "session.started",
            "data": { "startedAt": "2026-03-02T09:00:00Z" },
        });
        assert_eq!(
            body(&fact, Some(7)),
            json!({
                "type": "session.started", "timestamp": "2026-03-02T09:00:00Z",
                "data": { "factId": "f", "classId": "c", "startedAt": "2026-03-02T09:00:00Z", "sequence": 7 },
            })
        );
    }
}
