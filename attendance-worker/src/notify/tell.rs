//! FACTS: what is to be told of each, to whom, by which channel and when.

use super::{config::NotifyConfig, place::Place};
use crate::{
    Deps,
    error::WorkError,
    policy::notify::{Circle, Circumstances, Timing, happened_at, notify, topic},
};
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_bus::{BatchHandler, Delivery, HandleError};
use rollcall_schemas::{
    fact::Fact,
    id::{ClassId, UserId},
    notification::{Channel, Topic},
};
use rollcall_store::{
    PgConnection, StoreError,
    audiences::{self, Listener},
    deliveries::{self, Known, NewDelivery, Recipient},
    webhooks::{self, Webhook},
};
use serde_json::Value;

/// Handles FACTS.
pub(super) struct Tell {
    pub(super) deps: Deps,
    /// The channels to people.
    pub(super) offered: Vec<Channel>,
    pub(super) config: NotifyConfig,
}

/// A fact, as it came.
pub(super) struct Told {
    pub(super) fact: Fact,
    pub(super) content: Value,
    pub(super) sequence: u64,
    published_at: DateTime<Utc>,
}

impl Told {
    /// # Errors
    /// When it is no fact.
    pub(super) fn read(delivery: &Delivery) -> Result<Self, serde_json::Error> {
        let content: Value = serde_json::from_slice(&delivery.payload)?;
        Ok(Self {
            fact: serde_json::from_value(content.clone())?,
            content,
            sequence: delivery.sequence,
            published_at: delivery.published_at,
        })
    }

    /// What a webhook is told of it.
    pub(super) fn to_webhook(&self, webhook: &Webhook, due_at: DateTime<Utc>) -> NewDelivery {
        self.delivery(Channel::Webhook, Recipient::Webhook(webhook.id), due_at)
    }

    fn delivery(&self, channel: Channel, recipient: Recipient, due_at: DateTime<Utc>) -> NewDelivery {
        NewDelivery {
            cause: self.fact.fact_id.0,
            channel,
            recipient,
            topic: self.fact.event.name().to_owned(),
            content: self.content.clone(),
            sequence: Some(self.sequence),
            is_gathered: false,
            due_at,
        }
    }
}

/// Whether a webhook wants a type of fact.
pub(super) fn wants(webhook: &Webhook, event: &str) -> bool {
    webhook.events.is_empty() || webhook.events.iter().any(|wanted| wanted == event)
}

impl BatchHandler for Tell {
    async fn handle(&self, deliveries: Vec<Delivery>) -> Result<(), HandleError> {
        let told: Result<Vec<_>, _> = deliveries.iter().map(Told::read).collect();
        Ok(self.tell(&told.map_err(HandleError::reject)?).await?)
    }
}

impl Tell {
    async fn tell(&self, told: &[Told]) -> Result<(), WorkError> {
        let now = self.deps.clock.now();
        let mut tx = self.deps.begin().await?;
        let mut new = self.to_webhooks(&webhooks::listening(&mut tx).await?, told, now);
        new.extend(self.to_people(&mut tx, told, now).await?);
        let added = deliveries::add(&mut tx, &new, Known::Stays, now).await?;
        tx.commit().await.map_err(StoreError::from)?;
        metrics::counter!("rollcall_notify_decided_total").increment(added);
        Ok(())
    }

    fn to_webhooks(&self, webhooks: &[Webhook], told: &[Told], now: DateTime<Utc>) -> Vec<NewDelivery> {
        // A log that is read anew brings back what is no longer on record as sent.
        let kept = TimeDelta::days(self.config.kept_days.into());
        let is_new = |told: &&Told| now - told.published_at < kept;
        let of_one = |told: &Told| -> Vec<NewDelivery> {
            let is_for = |webhook: &&Webhook| {
                told.sequence > webhook.after_sequence && wants(webhook, told.fact.event.name())
            };
            webhooks.iter().filter(is_for).map(|webhook| told.to_webhook(webhook, now)).collect()
        };
        told.iter().filter(is_new).flat_map(of_one).collect()
    }

    async fn to_people(
        &self,
        db: &mut PgConnection,
        told: &[Told],
        now: DateTime<Utc>,
    ) -> Result<Vec<NewDelivery>, WorkError> {
        let concerning: Vec<(&Told, Topic, Circle)> = told
            .iter()
            .filter_map(|told| topic(&told.fact).map(|(topic, circle)| (told, topic, circle)))
            .collect();
        if concerning.is_empty() || self.offered.is_empty() {
            return Ok(Vec::new());
        }
        let place = Place::read(db).await?;
        let circumstances = Circumstances {
            now,
            zone: place.zone,
            offered: &self.offered,
            told_within: TimeDelta::hours(self.config.told_within_hours.into()),
        };
        let audience = Audience::of(db, concerning.iter().map(|(_, _, circle)| *circle)).await?;
        let mut new = Vec::new();
        for (told, topic, circle) in concerning {
            let at = happened_at(topic, &told.fact, told.published_at);
            for listener in audience.listeners(circle) {
                let ways = notify((topic, at), &listener.wishes, circumstances);
                new.extend(ways.into_iter().map(|(channel, timing)| {
                    let (is_gathered, due_at) = match timing {
                        Timing::At(at) => (false, at),
                        Timing::InDigest(at) => (true, at),
                    };
                    let delivery = told.delivery(channel, listener.recipient, due_at);
                    NewDelivery { topic: topic.to_string(), is_gathered, ..delivery }
                }));
            }
        }
        Ok(new)
    }
}

/// Everybody whom a batch of facts concerns.
#[derive(Default)]
struct Audience {
    families: Vec<(UserId, Listener)>,
    teachers: Vec<(ClassId, Listener)>,
    administrators: Vec<Listener>,
}

impl Audience {
    async fn of(db: &mut PgConnection, circles: impl Iterator<Item = Circle>) -> Result<Self, StoreError> {
        let (mut students, mut classes, mut administrators) = (Vec::new(), Vec::new(), false);
        for circle in circles {
            match circle {
                Circle::Family(student) => students.push(student),
                Circle::Teacher(class) => classes.push(class),
                Circle::Administrators => administrators = true,
            }
        }
        let mut audience = Self::default();
        if !students.is_empty() {
            audience.families = audiences::of_students(db, &students).await?;
        }
        if !classes.is_empty() {
            audience.teachers = audiences::teachers_of(db, &classes).await?;
        }
        if administrators {
            audience.administrators = audiences::administrators(db).await?;
        }
        Ok(audience)
    }

    fn listeners(&self, circle: Circle) -> Vec<&Listener> {
        match circle {
            Circle::Family(student) => of(&self.families, student),
            Circle::Teacher(class) => of(&self.teachers, class),
            Circle::Administrators => self.administrators.iter().collect(),
        }
    }
}

fn of<T: PartialEq>(listeners: &[(T, Listener)], whom: T) -> Vec<&Listener> {
    listeners.iter().filter(|(about, _)| *about == whom).map(|(_, listener)| listener).collect()
}
