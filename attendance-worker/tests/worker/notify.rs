//! What people and other systems are told, as it arrives at a real mail server and a real receiver of webhooks, checked by
//! the official verifiers.
#![allow(clippy::unwrap_used, reason = "the lint knows tests by their attribute, and not their helpers")]

mod calls;
mod email;
mod push;
mod receiver;

use crate::harness::{SOON, School, at};
use anyhow::Result;
use rollcall_attendance_worker::{AttendanceConfig, NotifyConfig, consumer};
use rollcall_bus::Message;
use rollcall_schemas::{
    id::{GuardianId, RequestId, UserId, WebhookId},
    notification::{Language, Preferences, Topic},
    outcome::Outcome,
    request::{SessionCommand, SessionPlan, WebhookCommand, WebhookRequest},
    subject::{self, RequestKind, Stream},
};
use rollcall_service::{lifecycle::Lifecycle, seal::Sealer};
use rollcall_store::{
    deliveries::{self, DeliveryView},
    guardians::{self, Guardian},
    pages::Page,
    preferences,
    webhooks::{self, Webhook},
};
use rollcall_test_support::eventually;

const RECEIVERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/receivers");
const ALL: Page = Page { limit: 100, offset: 0 };
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const SECRET_TEXT: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

impl School {
    /// Starts a worker that sends.
    fn notify(&self, notify: NotifyConfig) -> Lifecycle {
        let config = AttendanceConfig { timer_interval_ms: 20, notify, ..AttendanceConfig::default() };
        self.work_with(config)
    }

    /// A webhook of everything that is told from the beginning of the log.
    async fn webhook(&self, url: String, events: &[&str]) -> Result<Webhook> {
        let id: WebhookId = self.entropy.uuid_v4().into();
        let now = self.clock.now();
        let webhook = Webhook {
            id,
            url,
            description: "Student register".into(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            secret: Sealer::default().seal(id.0.as_bytes(), SECRET, &self.entropy),
            previous: None,
            after_sequence: 0,
            enabled_at: Some(now),
            failing_since: None,
            disabled_at: None,
            created_at: now,
            updated_at: now,
        };
        webhooks::create(&mut *self.pool.acquire().await?, &webhook).await?;
        Ok(webhook)
    }

    async fn log(&self, webhook: &Webhook) -> Result<Vec<DeliveryView>> {
        self.log_of(webhook.id).await
    }

    /// What is sent to a recipient of any kind.
    async fn log_of(&self, recipient: WebhookId) -> Result<Vec<DeliveryView>> {
        let mut db = self.pool.acquire().await?;
        Ok(deliveries::of_webhook(&mut db, recipient, ALL).await?.rows)
    }

    /// Waits until a delivery of this webhook stands so after that many attempts.
    async fn stands(&self, webhook: &Webhook, state: &str, attempts: usize) -> DeliveryView {
        self.recipient_stands(webhook.id, state, attempts).await
    }

    /// The same of what a person is told.
    async fn told(&self, person: UserId, state: &str, attempts: usize) -> DeliveryView {
        self.recipient_stands(WebhookId(person.0), state, attempts).await
    }

    async fn recipient_stands(&self, recipient: WebhookId, state: &str, attempts: usize) -> DeliveryView {
        let recorded = |delivery: &DeliveryView| delivery.log.as_array().map_or(0, Vec::len);
        eventually(&format!("{state} after {attempts}"), SOON, || async {
            let log = self.log_of(recipient).await.unwrap();
            log.into_iter().find(|delivery| delivery.state == state && recorded(delivery) == attempts)
        })
        .await
    }

    async fn ask_webhook(&self, webhook: &Webhook, command: WebhookCommand) -> Result<Outcome> {
        let request_id: RequestId = self.entropy.uuid_v4().into();
        let request = WebhookRequest {
            request_id,
            requested_by: self.teacher,
            requested_at: self.clock.now(),
            webhook_id: webhook.id,
            command,
        };
        let message = Message::json(subject::request(RequestKind::Webhook), request_id, &request)?;
        Ok(self.bus.ask(message, request_id, SOON).await?)
    }

    async fn wish(&self, preferences: &Preferences) -> Result<()> {
        let mut db = self.pool.acquire().await?;
        preferences::set(&mut db, self.students[0], preferences, self.clock.now()).await?;
        Ok(())
    }

    async fn guardian(&self, email: &str, topics: &[Topic]) -> Result<Guardian> {
        let guardian = Guardian {
            id: GuardianId(self.entropy.uuid_v4()),
            student_id: self.students[0],
            full_name: "Robin Müller".into(),
            email: email.into(),
            language: Some(Language::German),
            topics: topics.to_vec(),
            created_at: self.clock.now(),
            updated_at: self.clock.now(),
        };
        guardians::create(&mut *self.pool.acquire().await?, &guardian).await?;
        Ok(guardian)
    }

    /// A lesson that every student misses.
    async fn missed_lesson(&self) -> Result<()> {
        self.missed_lesson_from(0).await
    }

    async fn missed_lesson_from(&self, seconds: i64) -> Result<()> {
        let plan = SessionPlan::between(at(seconds), at(seconds + 3_600));
        let create = SessionCommand::Create { class_id: self.class, plan };
        let session_id = self.command(seconds - 600, create).await?.session_id;
        self.command(seconds, SessionCommand::Start { session_id }).await?;
        self.end(session_id, seconds + 3_600).await?;
        self.settled(Stream::Facts, consumer::NOTIFIER).await;
        Ok(())
    }
}
