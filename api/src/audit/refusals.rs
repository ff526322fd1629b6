//! Refusals of authority: each on record, and a flood of them as a count.
//!
//! The first of a caller on a route is written at once, in a transaction of its own. More within the same minute are
//! counted, and the count is written as one line when the minute is over. Callers are known here, so accounts and routes
//! bound what is kept.

use crate::state::Api;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use parking_lot::Mutex;
use rollcall_store::audit::{self, Actor, Entry};
use std::{collections::HashMap, time::Duration};

/// How often counts of past minutes are written.
const WRITE_EVERY: Duration = Duration::from_secs(10);

/// The refusals of the present minute.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<HashMap<(Actor, Option<String>), Minute>>);

struct Minute {
    began: DateTime<Utc>,
    /// The last of those that are counted and not written.
    last: Option<Entry>,
    unwritten: u32,
}

impl Refusals {
    /// Takes a refusal, and gives the lines to be written now.
    fn take(&self, entry: Entry) -> Vec<Entry> {
        let (began, key) = (minute(entry.at), (entry.actor, entry.target.id.clone()));
        let mut minutes = self.0.lock();
        if let Some(same) = minutes.get_mut(&key).filter(|minute| minute.began == began) {
            same.unwritten += 1;
            same.last = Some(entry);
            return vec![];
        }
        let before = minutes.insert(key, Minute { began, last: None, unwritten: 0 });
        before.and_then(Minute::into_line).into_iter().chain([entry]).collect()
    }

    /// The counts of minutes that were over at `now`.
    fn over(&self, now: DateTime<Utc>) -> Vec<Entry> {
        let present = minute(now);
        let over = self.0.lock().extract_if(|_, minute| minute.began != present).collect::<Vec<_>>();
        over.into_iter().filter_map(|(_, minute)| minute.into_line()).collect()
    }

    /// Every count, at the end of the process.
    fn all(&self) -> Vec<Entry> {
        self.0.lock().drain().filter_map(|(_, minute)| minute.into_line()).collect()
    }
}

impl Minute {
    fn into_line(self) -> Option<Entry> {
        self.last.map(|last| Entry { occurrences: self.unwritten, ..last })
    }
}

fn minute(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(at)
}

impl Api {
    /// Puts a refusal on record. The call is refused whether or not that succeeds.
    pub(crate) async fn record_refusal(&self, entry: Entry) {
        self.write_refusals(self.refusals().take(entry)).await;
    }

    /// Writes the counts of past minutes until `stop`, and then what is left.
    pub(crate) async fn write_refusals_until(&self, stop: tokio_util::sync::CancellationToken) {
        let mut ticks = tokio::time::interval(WRITE_EVERY);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.write_refusals(self.refusals().over(self.clock().now())).await;
        }
        self.write_refusals(self.refusals().all()).await;
    }

    async fn write_refusals(&self, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        let written = async {
            let mut tx = self.begin().await?;
            for entry in &entries {
                audit::append(&mut tx, entry).await?;
            }
            self.commit(tx, vec![]).await
        };
        if let Err(error) = written.await {
            let refusals: u32 = entries.iter().map(|entry| entry.occurrences).sum();
            tracing::error!(%error, refusals, "refusals could not be put on record");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_schemas::id::UserId;
    use rollcall_store::audit::{Outcome, Target};
    use uuid::Uuid;

    fn refusal(second: i64, route: &str) -> Entry {
        Entry {
            at: DateTime::from_timestamp(1_700_000_040 + second, 0).unwrap(),
            actor: Actor::User(UserId(Uuid::nil())),
            action: "access.refused".into(),
            outcome: Outcome::Refused,
            target: Target { kind: "route".into(), id: Some(route.into()) },
            occurrences: 1,
            request_id: None,
            trace_id: None,
            details: None,
        }
    }

    fn counts(entries: &[Entry]) -> Vec<u32> {
        entries.iter().map(|entry| entry.occurrences).collect()
    }

    #[test]
    fn a_flood_is_two_lines_a_minute() {
        let refusals = Refusals::default();
        assert_eq!(counts(&refusals.take(refusal(0, "GET /a"))), [1]);
        for second in 1..50 {
            assert!(refusals.take(refusal(second, "GET /a")).is_empty());
        }
        assert_eq!(counts(&refusals.take(refusal(3, "GET /b"))), [1], "another route");
        assert!(refusals.over(refusal(59, "").at).is_empty());
        assert_eq!(counts(&refusals.over(refusal(60, "").at)), [49]);
        assert!(refusals.0.lock().is_empty(), "what is over is forgotten");
    }

    #[test]
    fn the_next_minute_begins_with_what_the_last_one_left() {
        let refusals = Refusals::default();
        for second in [0, 1, 2] {
            refusals.take(refusal(second, "GET /a"));
        }
        assert_eq!(counts(&refusals.take(refusal(61, "GET /a"))), [2, 1]);
        refusals.take(refusal(62, "GET /a"));
        assert_eq!(counts(&refusals.all()), [1]);
    }
}
