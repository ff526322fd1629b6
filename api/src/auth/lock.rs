//! When failed sign-ins lock, and whom.
//!
//! Failures are counted by account, for addresses without an account by address (so that a lock tells nobody which
//! accounts there are), and by device where the account has been used from it. So whoever fails on purpose locks the
//! account for strangers only, and for as long as they keep at it; devices that its owner has used are counted apart.
//! A lock is not prolonged by tries while it holds.
//!
//! An attempt counts as failed from its beginning, so that a burst of guesses is no more than the rule allows. Attempts on
//! one account take turns, so that a burst of right passwords does not look like one.

use super::{cookies, token::OpaqueToken};
use crate::{error::ApiError, state::Api};
use axum_extra::extract::CookieJar;
use chrono::TimeDelta;
use rollcall_schemas::{code::Code, id::UserId};
use rollcall_service::http::Problem;
use rollcall_store::{
    PgConnection,
    sign_in_failures::{self, LockRule},
    users::SignIn,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, MutexGuard};

/// More would hardly make two accounts wait for each other less often.
const QUEUES: usize = 256;

/// Where attempts wait for those before them. Two accounts may share a queue by chance.
pub(crate) struct Turns(Box<[Mutex<()>]>);

impl Default for Turns {
    fn default() -> Self {
        Self((0..QUEUES).map(|_| Mutex::default()).collect())
    }
}

/// What the failures of an attempt are counted under.
pub(super) struct Counter([u8; 32]);

impl Counter {
    /// By account or address, unless the person has signed in from this device.
    pub(super) async fn of(
        db: &mut PgConnection,
        email: &str,
        account: Option<&SignIn>,
        jar: &CookieJar,
    ) -> Result<Self, ApiError> {
        let Some(account) = account else {
            return Ok(Self::new(&[b"address", email.to_lowercase().as_bytes()]));
        };
        let user = account.user.id;
        let device = cookies::device(jar).map(|device: OpaqueToken| device.sha256());
        if let Some(device) = device
            && sign_in_failures::is_known_device(db, user, &device).await?
        {
            return Ok(Self::new(&[b"device", user.0.as_bytes(), &device]));
        }
        Ok(Self::of_account(user))
    }

    pub(super) fn of_account(user: UserId) -> Self {
        Self::new(&[b"account", user.0.as_bytes()])
    }

    fn new(parts: &[&[u8]]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }

    /// Waits until the attempts before this one have ended.
    pub(super) async fn turn<'a>(&self, turns: &'a Turns) -> MutexGuard<'a, ()> {
        turns.0[usize::from(self.0[0]) % QUEUES].lock().await
    }

    /// Counts an attempt as failed until [`Counter::clear`] says otherwise.
    ///
    /// # Errors
    /// `423` while a lock holds.
    pub(super) async fn count(&self, api: &Api, db: &mut PgConnection) -> Result<(), ApiError> {
        let now = api.clock().now();
        let settings = api.settings().now();
        let lock = TimeDelta::seconds(settings.lock_seconds.into());
        let rule = LockRule {
            failures: settings.lock_after_failures.into(),
            locked_until: now + lock,
            forget_before: now - lock,
        };
        match sign_in_failures::count(db, &self.0, now, rule).await? {
            None => Ok(()),
            Some(until) => Err(Problem::new(
                Code::AuthAccountLocked,
                "too many failed sign-ins; the account is locked for a while",
            )
            .with_details(json!({ "until": until }))
            .into()),
        }
    }

    /// The attempt succeeded: the failures before it are forgotten.
    pub(super) async fn clear(&self, db: &mut PgConnection) -> Result<(), ApiError> {
        Ok(sign_in_failures::clear(db, &self.0).await?)
    }
}
