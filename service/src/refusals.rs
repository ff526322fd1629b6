//! Refusals of authority, on their way to the audit: each is told, and a flood of them as a count.
//!
//! The first of a caller on a route is told at once. More within the same minute are counted, and the count is told when the
//! minute is over. Callers are known here, so accounts and routes bound what is kept. Who writes it down is not known here.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use parking_lot::Mutex;
use rollcall_schemas::request::{Refusal, Refused};
use std::{collections::HashMap, time::Duration};

/// How often counts of past minutes should be taken.
pub const TAKE_EVERY: Duration = Duration::from_secs(10);

/// The refusals of the present minute.
#[derive(Default)]
pub struct RefusalCounts(Mutex<HashMap<(Refused, String), Minute>>);

struct Minute {
    began: DateTime<Utc>,
    /// The last of those that are counted and not told.
    last: Option<Refusal>,
    untold: u32,
}

impl RefusalCounts {
    /// Takes a refusal, and gives what is to be told now.
    pub fn add(&self, refusal: Refusal) -> Vec<Refusal> {
        let (began, key) = (minute(refusal.at), (refusal.caller, refusal.route.clone()));
        let mut minutes = self.0.lock();
        if let Some(same) = minutes.get_mut(&key).filter(|minute| minute.began == began) {
            same.untold += 1;
            same.last = Some(refusal);
            return vec![];
        }
        let before = minutes.insert(key, Minute { began, last: None, untold: 0 });
        before.and_then(Minute::into_count).into_iter().chain([refusal]).collect()
    }

    /// Takes the counts of minutes that were over at `now`.
    pub fn take_over(&self, now: DateTime<Utc>) -> Vec<Refusal> {
        let present = minute(now);
        let over = self.0.lock().extract_if(|_, minute| minute.began != present).collect::<Vec<_>>();
        over.into_iter().filter_map(|(_, minute)| minute.into_count()).collect()
    }

    /// Takes every count, at the end of the process.
    pub fn take_all(&self) -> Vec<Refusal> {
        self.0.lock().drain().filter_map(|(_, minute)| minute.into_count()).collect()
    }
}

impl Minute {
    fn into_count(self) -> Option<Refusal> {
        self.last.map(|last| Refusal { occurrences: self.untold, ..last })
    }
}

fn minute(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_schemas::id::UserId;
    use uuid::Uuid;

    fn refusal(second: i64, route: &str) -> Refusal {
        Refusal {
            at: DateTime::from_timestamp(1_700_000_040 + second, 0).unwrap(),
            caller: Refused::User(UserId(Uuid::nil())),
            route: route.into(),
            path: "/a".into(),
            reason: None,
            occurrences: 1,
            address: None,
            request_id: None,
            trace_id: None,
        }
    }

    fn counts(refusals: &[Refusal]) -> Vec<u32> {
        refusals.iter().map(|refusal| refusal.occurrences).collect()
    }

    #[test]
    fn a_flood_is_told_twice_a_minute() {
        let refusals = RefusalCounts::default();
        assert_eq!(counts(&refusals.add(refusal(0, "GET /a"))), [1]);
        for second in 1..50 {
            assert!(refusals.add(refusal(second, "GET /a")).is_empty());
        }
        assert_eq!(counts(&refusals.add(refusal(3, "GET /b"))), [1], "another route");
        assert!(refusals.take_over(refusal(59, "").at).is_empty());
        assert_eq!(counts(&refusals.take_over(refusal(60, "").at)), [49]);
        assert!(refusals.0.lock().is_empty(), "what is over is forgotten");
    }

    #[test]
    fn the_next_minute_begins_with_what_the_last_one_left() {
        let refusals = RefusalCounts::default();
        for second in [0, 1, 2] {
            refusals.add(refusal(second, "GET /a"));
        }
        assert_eq!(counts(&refusals.add(refusal(61, "GET /a"))), [2, 1]);
        refusals.add(refusal(62, "GET /a"));
        assert_eq!(counts(&refusals.take_all()), [1]);
    }
}
