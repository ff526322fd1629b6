//! Which key signs access tokens, and what everybody who verifies is told of keys.
//!
//! A new key is published as soon as it is found in the file, and signs a while later, when every verifier has long known
//! it. The key before it then signs no more, and is taken until the last token that it signed has ended. All of it is in
//! the AUTH feed, so every replica decides alike.

use crate::{
    config::ApiConfig,
    error::ApiError,
    keys,
    state::{Api, ApiDeps, StartError},
};
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::RwLock;
use rollcall_bus::Feed;
use rollcall_schemas::feed::{AuthEntry, AuthFact};
use rollcall_service::auth::TokenSigner;
use rollcall_store::outbox::{self, OutboxMessage};
use std::{sync::Arc, time::Duration};

/// From when a new key is known until it signs: far longer than the log takes to tell everybody.
const LEAD: TimeDelta = TimeDelta::seconds(60);
/// Clocks of our machines may be this far apart.
const SKEW: TimeDelta = TimeDelta::seconds(60);
/// How often the file is read again.
const EVERY: Duration = Duration::from_secs(10);
/// How long to wait before keys are published again after it failed.
const RETRY: Duration = Duration::from_secs(1);

/// The keys of this process, the newest last.
pub(crate) struct Signing(RwLock<Vec<Arc<TokenSigner>>>);

/// What the feed says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    signs_from: Option<DateTime<Utc>>,
    retires_at: Option<DateTime<Utc>>,
}

impl Signing {
    pub(crate) fn load(config: &ApiConfig, deps: &ApiDeps) -> Result<Self, StartError> {
        let signing = Self(RwLock::default());
        let keys = keys::load_or_create(config.signing_key_file.as_deref(), &deps.entropy)?;
        signing.set(deps, &keys)?;
        Ok(signing)
    }

    /// Reads the file again. One that cannot be read changes nothing.
    fn reload(&self, config: &ApiConfig, deps: &ApiDeps) {
        let Some(file) = &config.signing_key_file else { return };
        let reloaded = keys::load(file).map_err(StartError::from).and_then(|keys| self.set(deps, &keys));
        if let Err(error) = reloaded {
            tracing::warn!(%error, "the file of signing keys cannot be read; the keys stay as they are");
        }
    }

    fn set(&self, deps: &ApiDeps, keys: &[rollcall_service::config::Secret]) -> Result<(), StartError> {
        let signer =
            |key| TokenSigner::new(key, deps.token.clone(), deps.clock.clone(), deps.entropy.clone());
        let signers = keys.iter().map(signer).collect::<Result<Vec<_>, _>>()?;
        if signers.is_empty() {
            return Err(StartError::NoKey);
        }
        *self.0.write() = signers.into_iter().map(Arc::new).collect();
        Ok(())
    }

    /// The newest key that everybody has known for long enough, else the oldest.
    pub(crate) fn current(&self, feed: &Feed<AuthEntry>, now: DateTime<Utc>) -> Arc<TokenSigner> {
        let signers = self.0.read();
        let signs = |signer: &&Arc<TokenSigner>| {
            known(feed, signer.kid()).is_some_and(|known| known.signs_from.is_none_or(|from| from <= now))
        };
        let current = signers.iter().rev().find(signs).or(signers.first());
        current.expect("a file without a key is refused").clone()
    }

    /// Reads and publishes, for as long as the process lives.
    pub(crate) async fn follow(api: Api) {
        loop {
            api.signing().reload(api.config(), api.deps());
            Self::publish(&api).await;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Tells everybody what is not yet known of the keys, however long it takes.
    pub(crate) async fn publish(api: &Api) {
        api.keys().ready().await;
        while let Err(error) = publish(api).await {
            tracing::warn!(%error, "the signing keys cannot be published yet");
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn publish(api: &Api) -> Result<(), ApiError> {
    let keys: Vec<_> = {
        let signers = api.signing().0.read();
        let of = |signer: &Arc<TokenSigner>| {
            (signer.kid().to_owned(), signer.public_key().to_owned(), known(api.keys(), signer.kid()))
        };
        signers.iter().map(of).collect()
    };
    let lifetime = TimeDelta::seconds(api.longest_token_lifetime_s().into());
    let before: Vec<_> = keys.iter().map(|(_, _, known)| known.clone()).collect();
    let after = plan(&before, api.clock().now(), lifetime);
    let news = keys.into_iter().zip(after).filter(|((_, _, known), planned)| known.as_ref() != Some(planned));
    let messages: Vec<_> = news
        .map(|((kid, public_key, _), Known { signs_from, retires_at })| {
            tracing::info!(kid, ?signs_from, ?retires_at, "a signing key is published");
            let fact = AuthFact::SigningKey { kid, public_key, signs_from, retires_at };
            OutboxMessage::feed(&AuthEntry { revision: api.revision_now(), fact })
        })
        .collect();
    if messages.is_empty() {
        return Ok(());
    }
    let mut tx = api.begin().await?;
    for message in &messages {
        outbox::forget_feed_entries(&mut tx, &message.subject).await?;
    }
    api.commit(tx, messages).await
}

/// What is to be said of each key, from what is known of them, the oldest first.
fn plan(keys: &[Option<Known>], now: DateTime<Utc>, lifetime: TimeDelta) -> Vec<Known> {
    let mut planned: Vec<Known> = Vec::with_capacity(keys.len());
    for (place, key) in keys.iter().enumerate() {
        let signs_from = match key {
            Some(known) => known.signs_from,
            None => (place > 0).then(|| now + LEAD),
        };
        if let Some(before) = planned.last_mut() {
            before.retires_at.get_or_insert(signs_from.unwrap_or(now) + lifetime + SKEW);
        }
        planned.push(Known { signs_from, retires_at: key.as_ref().and_then(|known| known.retires_at) });
    }
    // A newest key that was to retire is one that an older copy of the file brought back.
    if let Some(newest) = planned.last_mut() {
        newest.retires_at = None;
    }
    planned
}

fn known(feed: &Feed<AuthEntry>, kid: &str) -> Option<Known> {
    match &feed.get(&format!("signing-key/{kid}"))?.fact {
        AuthFact::SigningKey { signs_from, retires_at, .. } => {
            Some(Known { signs_from: *signs_from, retires_at: *retires_at })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PASSWORD, SOON, TestApi};
    use rollcall_service::clock::Entropy;
    use rollcall_test_support::{eventually, monday_morning};
    use serde_json::json;

    const DAY: TimeDelta = TimeDelta::hours(24);

    #[test]
    fn a_new_key_signs_later_and_the_one_before_it_is_taken_until_its_tokens_have_ended() {
        let now = monday_morning();
        let first = Known { signs_from: None, retires_at: None };
        assert_eq!(plan(&[None], now, DAY), std::slice::from_ref(&first));
        assert_eq!(plan(&[Some(first.clone())], now, DAY), std::slice::from_ref(&first));

        let rotated = plan(&[Some(first), None], now, DAY);
        let second = Known { signs_from: Some(now + LEAD), retires_at: None };
        let retiring = Known { signs_from: None, retires_at: Some(now + LEAD + DAY + SKEW) };
        assert_eq!(rotated, [retiring.clone(), second.clone()]);
        // Later nothing changes, and another key is one more step.
        let known: Vec<_> = rotated.iter().cloned().map(Some).collect();
        assert_eq!(plan(&known, now + DAY, DAY), rotated);
        let third = plan(&[known, vec![None]].concat(), now + DAY, DAY);
        assert_eq!(third[0], retiring);
        assert_eq!(third[1].retires_at, Some(now + DAY + LEAD + DAY + SKEW));
        // The first key alone again, from an older copy of the file.
        assert_eq!(plan(&[Some(retiring)], now, DAY)[0].retires_at, None);
    }

    async fn kids(test: &TestApi) -> Vec<String> {
        let request = test.edge.client().request(http::Method::GET, "/.well-known/jwks.json");
        let text = request.send().await.unwrap().text().await.unwrap();
        let set: serde_json::Value = serde_json::from_str(&text).unwrap();
        set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn keys_rotate_and_nobody_is_signed_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.pem");
        let config = ApiConfig { signing_key_file: Some(file.clone()), ..ApiConfig::default() };
        let test = TestApi::start_with(config).await;
        let old = test.api.signer().kid().to_owned();
        let sign_in = async || {
            let body = json!({ "email": "admin@school.example", "password": PASSWORD });
            let answer = test.edge.client().post("/api/v1/auth/login", &body).await;
            test.edge.client().with_token(answer.data()["token"].as_str().unwrap())
        };
        let me = "/api/v1/auth/me";
        let before = sign_in().await;

        test.clock.advance(TimeDelta::seconds(1));
        keys::rotate_keys(&file, &Entropy::seeded(99)).unwrap();
        test.api.signing().reload(test.api.config(), test.api.deps());
        publish(&test.api).await.unwrap();
        eventually("both keys are in the set", SOON, || async {
            (kids(&test).await.len() == 2).then_some(())
        })
        .await;
        assert_eq!(test.api.signer().kid(), old, "it is known, and does not sign yet");
        test.clock.advance(LEAD - TimeDelta::microseconds(1));
        let last = sign_in().await;
        test.clock.advance(TimeDelta::microseconds(1));
        assert_ne!(test.api.signer().kid(), old);
        let after = sign_in().await;
        for client in [&before, &last, &after] {
            client.get(me).await.data();
        }
        // Just before the last token of the old key ends, and just after the key has retired.
        test.clock.advance(DAY - TimeDelta::seconds(2));
        last.get(me).await.data();
        test.clock.advance(SKEW + TimeDelta::seconds(2));
        assert_eq!(kids(&test).await, [test.api.signer().kid()]);
        last.get(me).await.refused(401, "AUTH_TOKEN_INVALID");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.pem");
        let config = ApiConfig { signing_key_file: Some(file.clone()), ..ApiConfig::default() };
        let test = TestApi::start_with(config).await;
        let kid = test.api.signer().kid().to_owned();
        for bad in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            std::fs::write(&file, bad).unwrap();
            test.api.signing().reload(test.api.config(), test.api.deps());
            assert_eq!(test.api.signer().kid(), kid);
        }
        test.admin().get("/api/v1/auth/me").await.data();
    }
}
