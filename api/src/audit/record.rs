//! What a handler records.

use crate::{error::ApiError, extract::Caller, idempotency::REPLAYED, state::Api};
use axum::{RequestExt, extract::FromRequestParts, response::Response};
use http::request::Parts;
use rollcall_schemas::{
    access::Rule,
    id::UserId,
    request::{Refusal, Refused},
};
use rollcall_service::{
    auth::Principal,
    clock::{Clock, Entropy},
    http::{ClientIp, Problem, RequestId},
    telemetry::current_trace_id,
};
use rollcall_store::{
    PgConnection,
    audit::{self, Actor, Details, Entry, Outcome, Target},
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::{
    fmt::Display,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Something that was done: a noun and a verb, and what they are about.
pub(crate) struct Act {
    action: &'static str,
    target: Option<String>,
    before: Value,
    after: Value,
}

impl Act {
    /// An act on one thing of the noun that `action` begins with: `camera.created` on a camera's id.
    pub(crate) fn of(action: &'static str, target: impl Display) -> Self {
        Self { action, target: Some(target.to_string()), before: Value::Null, after: Value::Null }
    }

    /// An act on all things of the noun, or on the only one.
    pub(crate) fn on_all(action: &'static str) -> Self {
        Self { action, target: None, before: Value::Null, after: Value::Null }
    }

    /// How it was. Bodies of answers only: they hold no secret.
    pub(crate) fn before(mut self, state: &impl Serialize) -> Self {
        self.before = json!(state);
        self
    }

    /// How it is now.
    pub(crate) fn after(mut self, state: &impl Serialize) -> Self {
        self.after = json!(state);
        self
    }

    /// Says that the password is another; what it is, is nobody's to see.
    pub(crate) fn with_new_password(mut self, is_new: bool) -> Self {
        if is_new && let Some(after) = self.after.as_object_mut() {
            after.insert("passwordChanged".into(), true.into());
        }
        self
    }

    /// The fields that differ, where both sides are known.
    fn differences(self) -> (Value, Value) {
        match (self.before, self.after) {
            (Value::Object(before), Value::Object(after)) => {
                let differs = |one: &Map<String, Value>, other: &Map<String, Value>| {
                    let fields = one.iter().filter(|(name, value)| other.get(*name) != Some(*value));
                    fields.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>()
                };
                (differs(&before, &after).into(), differs(&after, &before).into())
            }
            sides => sides,
        }
    }
}

/// Who is calling and from where: what every line of a call says.
#[derive(Clone)]
pub(crate) struct Audit {
    actor: Actor,
    address: Option<IpAddr>,
    request_id: Option<RequestId>,
    clock: Clock,
    entropy: Entropy,
    /// Whether the call has left its lines.
    has_recorded: Arc<AtomicBool>,
}

impl Audit {
    /// Of a call, which is in the hands of whoever comes next.
    pub(crate) async fn begin(
        api: &Api,
        principal: Option<&Principal>,
        request: &mut axum::extract::Request,
    ) -> Self {
        let actor = match principal {
            Some(Principal::User(user)) => Actor::User(user.user_id),
            Some(Principal::Camera(camera)) => Actor::ApiKey(camera.key_id),
            Some(Principal::Integration(key)) => Actor::ApiKey(key.key_id),
            None => Actor::Anonymous,
        };
        let Ok(ClientIp(address)) = request.extract_parts::<ClientIp>().await;
        let audit = Self {
            request_id: request.extensions().get::<RequestId>().cloned(),
            ..Self::new(api, actor, address)
        };
        request.extensions_mut().insert(audit.clone());
        audit
    }

    /// Of something that a caller asks for over a connection that is open already.
    pub(crate) fn of_connection(api: &Api, caller: &Caller, address: Option<IpAddr>) -> Self {
        let actor = match caller {
            Caller::User(user) => Actor::User(user.user_id),
            Caller::Integration(key) => Actor::ApiKey(key.key_id),
        };
        Self::new(api, actor, address)
    }

    fn new(api: &Api, actor: Actor, address: Option<IpAddr>) -> Self {
        Self {
            actor,
            address,
            request_id: None,
            clock: api.clock().clone(),
            entropy: api.entropy().clone(),
            has_recorded: Arc::default(),
        }
    }

    /// The same call in the name of somebody who was recognised meanwhile, as at sign-in.
    pub(crate) fn by(&self, user: UserId) -> Self {
        Self { actor: Actor::User(user), ..self.clone() }
    }

    /// Adds the line of an act to the transaction that does it.
    ///
    /// # Errors
    /// When the database does not take it: then nothing is done that is not on record.
    pub(crate) async fn record(&self, db: &mut PgConnection, act: Act) -> Result<(), ApiError> {
        let action = act.action;
        let (noun, _) = action.split_once('.').expect("an action is a noun and a verb");
        let target = Target { kind: noun.into(), id: act.target.clone() };
        let (before, after) = act.differences();
        let mut details = json!({ "before": before, "after": after });
        details.as_object_mut().expect("an object").retain(|_, side| !side.is_null());
        audit::append(db, &self.entry(action, target, details)).await?;
        self.has_recorded.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// A call on this route, of which there are few, that was refused.
    pub(crate) fn refusal(&self, route: String, path: &str, problem: Option<&Problem>) -> Refusal {
        Refusal {
            at: self.clock.now(),
            caller: match self.actor {
                Actor::User(id) => Refused::User(id),
                Actor::ApiKey(id) => Refused::ApiKey(id),
                Actor::Anonymous | Actor::System | Actor::Cli => Refused::Nobody,
            },
            route,
            path: path.to_owned(),
            reason: problem.map(|problem| problem.message.to_string()),
            occurrences: 1,
            address: self.address,
            request_id: self.request_id.as_ref().map(|id| id.0.to_string()),
            trace_id: current_trace_id(),
        }
    }

    /// A call that could have changed something and did not, such as a trial run, leaves nothing.
    pub(crate) fn changed_nothing(&self) {
        self.has_recorded.store(true, Ordering::Relaxed);
    }

    /// Says so when a call that must leave a line has left none: that is a handler of ours that forgot it.
    pub(crate) fn check(&self, rule: &Rule, answer: &Response) {
        let is_on_record = self.has_recorded.load(Ordering::Relaxed);
        // A repeated call is answered as the first was, and the first is on record.
        let is_first = !answer.headers().contains_key(REPLAYED);
        let must_be = rule.audited.leaves_a_line() && answer.status().is_success() && is_first;
        let is_missing = must_be && !is_on_record;
        debug_assert!(!is_missing, "{} {} left nothing in the audit", rule.method, rule.path);
        if is_missing {
            tracing::error!(method = rule.method, route = rule.path, "a call left nothing in the audit");
        }
    }

    fn entry(&self, action: &'static str, target: Target, mut details: Value) -> Entry {
        if let Some(address) = self.address {
            details["address"] = json!(address);
        }
        Entry {
            at: self.clock.now(),
            actor: self.actor,
            action: action.into(),
            outcome: Outcome::Done,
            target,
            occurrences: 1,
            request_id: self.request_id.as_ref().map(|id| id.0.to_string()),
            trace_id: current_trace_id(),
            details: Some(Details::new(self.entropy.bytes(), &details)),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Audit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let audit = parts.extensions.get::<Audit>().cloned();
        audit.ok_or_else(|| Problem::internal("a route without a rule asked for its audit"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_kept() {
        let act = Act::of("camera.updated", 1)
            .before(&json!({ "name": "Door", "enabled": true }))
            .after(&json!({ "name": "Door", "enabled": false }));
        assert_eq!(act.differences(), (json!({ "enabled": true }), json!({ "enabled": false })));
    }
}
