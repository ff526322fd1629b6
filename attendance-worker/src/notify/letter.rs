//! What people read: sentences in their language, with names for ids and the clocks of their place. Templates are in
//! `texts`, by language; what stands in HTML is escaped.

use super::{channel::Failure, place::Place};
use crate::Deps;
use chrono::{DateTime, Utc};
use minijinja::{Environment, Value as TemplateValue, context};
use rollcall_schemas::{
    fact::{Fact, FactEvent},
    id::{UserId, WebhookId},
    notification::{Language, Topic},
};
use rollcall_store::{
    PgConnection, StoreError,
    audiences::{self, Address, Named, Names},
    deliveries::{Leased, Recipient},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The topic of a delivery that holds several.
pub(super) const DIGEST: &str = "digest";

const TEXTS: [(&str, &str); 8] = [
    ("en/sentence.txt", include_str!("texts/en/sentence.txt")),
    ("en/subject.txt", include_str!("texts/en/subject.txt")),
    ("en/mail.txt", include_str!("texts/en/mail.txt")),
    ("en/mail.html", include_str!("texts/en/mail.html")),
    ("de/sentence.txt", include_str!("texts/de/sentence.txt")),
    ("de/subject.txt", include_str!("texts/de/subject.txt")),
    ("de/mail.txt", include_str!("texts/de/mail.txt")),
    ("de/mail.html", include_str!("texts/de/mail.html")),
];

/// The most sentences of one letter: whoever has more to read looks into the product itself.
const MAX_SENTENCES: usize = 100;

/// One thing that is told; a digest is a list of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) topic: String,
    pub(super) fact: Fact,
}

/// A notification, ready to be read.
#[derive(Clone)]
pub(super) struct Letter {
    pub(super) to: Address,
    pub(super) language: Language,
    pub(super) subject: String,
    /// One for each thing that is told.
    pub(super) sentences: Vec<String>,
    pub(super) text: String,
    pub(super) html: String,
}

/// Writes letters.
pub(super) struct Writer {
    deps: Deps,
    texts: Environment<'static>,
}

impl Writer {
    pub(super) fn new(deps: &Deps) -> Self {
        let mut texts = Environment::new();
        for (name, text) in TEXTS {
            texts.add_template(name, text).expect("a test renders every template");
        }
        Self { deps: deps.clone(), texts }
    }

    /// The letter of a delivery, with names and address as they are now.
    pub(super) async fn write(&self, delivery: &Leased) -> Result<Letter, Failure> {
        let mut db = self.deps.pool.acquire().await.map_err(StoreError::from)?;
        let to = audiences::address(&mut db, delivery.recipient).await?;
        let to = to.ok_or(Failure::Nobody("the person is gone"))?;
        let place = Place::read(&mut db).await?;
        let told = contents(delivery).map_err(|_| Failure::never("what is told cannot be read"))?;
        let mut named = Vec::with_capacity(told.len().min(MAX_SENTENCES));
        for told in told.iter().take(MAX_SENTENCES) {
            named.push((told, names(&mut db, &told.fact).await?));
        }
        drop(db);
        Page { texts: &self.texts, place: &place, recipient: delivery.recipient, to }
            .write((&delivery.topic, told.len()), &named)
            .map_err(|error| {
                tracing::error!(%error, delivery = %delivery.id, "a notification cannot be written");
                Failure::never("it cannot be written")
            })
    }
}

/// What a delivery tells of; nothing of what cannot be read.
pub(super) fn topics(delivery: &Leased) -> BTreeSet<Topic> {
    let told = contents(delivery).unwrap_or_default();
    told.iter().filter_map(|told| Topic::parse(&told.topic)).collect()
}

fn contents(delivery: &Leased) -> Result<Vec<Told>, serde_json::Error> {
    if delivery.topic == DIGEST {
        return serde_json::from_value(delivery.content.clone());
    }
    let fact = serde_json::from_value(delivery.content.clone())?;
    Ok(vec![Told { topic: delivery.topic.clone(), fact }])
}

async fn names(db: &mut PgConnection, fact: &Fact) -> Result<Names, StoreError> {
    let webhook = match fact.event {
        FactEvent::WebhookDisabled { webhook_id, .. } => Some(webhook_id),
        _ => None::<WebhookId>,
    };
    let named = Named {
        student: fact.event.user_id(),
        class: fact.scope.class_id,
        session: fact.scope.session_id,
        webhook,
    };
    audiences::names(db, named).await
}

/// What a letter is written with.
struct Page<'a> {
    texts: &'a Environment<'static>,
    place: &'a Place,
    recipient: Recipient,
    to: Address,
}

impl Page<'_> {
    /// `count` is how much there was to tell, of which `told` are the first.
    fn write(
        self,
        (topic, count): (&str, usize),
        told: &[(&Told, Names)],
    ) -> Result<Letter, minijinja::Error> {
        let language = self.to.language.unwrap_or(self.place.language);
        let render = |file: &str, context: &TemplateValue| {
            self.texts.get_template(&format!("{language}/{file}"))?.render(context)
        };
        let contexts: Vec<_> = told.iter().map(|(told, names)| self.context(told, names, language)).collect();
        let sentences: Vec<String> = contexts
            .iter()
            .map(|context| Ok(one_line(&render("sentence.txt", context)?)))
            .collect::<Result<_, minijinja::Error>>()?;
        let subject = match contexts.as_slice() {
            [context] if topic != DIGEST => render("subject.txt", context)?,
            _ => render("subject.txt", &context! { topic => DIGEST, count })?,
        };
        let whole = context! {
            name => self.to.full_name,
            organisation => self.place.name,
            subject => one_line(&subject),
            sentences => sentences,
            more => count.saturating_sub(told.len()),
        };
        let (text, html) = (render("mail.txt", &whole)?, render("mail.html", &whole)?);
        Ok(Letter { to: self.to, language, subject: one_line(&subject), sentences, text, html })
    }

    fn context(&self, told: &Told, names: &Names, language: Language) -> TemplateValue {
        let time = |at: DateTime<Utc>| {
            let local = at.with_timezone(&self.place.zone);
            let form = match language {
                Language::English => "%-d %B %Y at %H:%M",
                Language::German => "%d.%m.%Y um %H:%M Uhr",
            };
            local.format(form).to_string()
        };
        let own: Option<UserId> = match self.recipient {
            Recipient::User(user) => Some(user),
            Recipient::Guardian(_) | Recipient::Webhook(_) => None,
        };
        let event = &told.fact.event;
        let data = serde_json::to_value(event).map(|event| event["data"].clone()).unwrap_or_default();
        context! {
            topic => told.topic,
            is_own => own.is_some() && own == event.user_id(),
            student => names.student,
            class => names.class,
            webhook => names.webhook,
            starts_at => time(names.starts_at.unwrap_or(told.fact.at)),
            at => time(told.fact.at),
            ..TemplateValue::from_serialize(data)
        }
    }
}

/// Names come from anywhere: a line break in one must not begin a header or a paragraph.
fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests;
