//! The ways a notification goes, behind one trait, and how it may fail to arrive.

use chrono::TimeDelta;
use futures::future::BoxFuture;
use rollcall_store::{StoreError, deliveries::Leased};
use std::borrow::Cow;

/// A way that notifications go.
pub(super) trait Channel: Send + Sync {
    /// Sends one. Trying again sends the same under the same id, by which its receiver knows it.
    fn send<'a>(&'a self, delivery: &'a Leased) -> BoxFuture<'a, Result<Receipt, Failure>>;
}

/// What the receiver answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Receipt {
    /// HTTP status or SMTP reply code, where it is known.
    pub(super) code: Option<u16>,
}

/// Why a notification did not arrive.
#[derive(Debug)]
pub(super) enum Failure {
    /// Another try may help.
    Later {
        /// What the receiver answered, if it did.
        code: Option<u16>,
        /// Why, without addresses, secrets or what was sent.
        reason: Cow<'static, str>,
        /// How long the receiver asked us to wait.
        after: Option<TimeDelta>,
    },
    /// No other try will help.
    Never {
        /// What the receiver answered, if it did.
        code: Option<u16>,
        /// Why, without addresses, secrets or what was sent.
        reason: Cow<'static, str>,
    },
    /// There is nobody any more to send it to.
    Nobody(&'static str),
    /// The database could not be asked: this was no attempt.
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    pub(super) fn later(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Later { code: None, reason: reason.into(), after: None }
    }

    pub(super) fn never(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Never { code: None, reason: reason.into() }
    }
}
