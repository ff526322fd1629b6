//! When API keys were last used, to the minute: collected here, told now and then, never written call by call.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use parking_lot::Mutex;
use rollcall_schemas::{id::ApiKeyId, request::KeyUse};
use std::collections::HashMap;

/// The last minute of each key that was used since the last [`KeyUses::take`]. Only keys that were good get here, so
/// callers cannot make it grow.
#[derive(Debug, Default)]
pub(super) struct KeyUses(Mutex<HashMap<ApiKeyId, DateTime<Utc>>>);

impl KeyUses {
    pub(super) fn note(&self, key: ApiKeyId, at: DateTime<Utc>) {
        let minute = at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(at);
        self.0.lock().insert(key, minute);
    }

    pub(super) fn take(&self) -> Vec<KeyUse> {
        let uses = std::mem::take(&mut *self.0.lock());
        uses.into_iter().map(|(key_id, used_at)| KeyUse { key_id, used_at }).collect()
    }
}
