//! The `[attendance]` section.

use crate::notify::NotifyConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How the attendance worker works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AttendanceConfig {
    /// How many scans are worked on at once. They are decided and committed together, so more of them cost little.
    pub scans_in_flight: usize,
    /// How many sightings are worked on at once, each on a database connection of its own.
    pub sightings_in_flight: usize,
    /// How often due codes and sessions are looked for, in milliseconds; what is left behind or old, less often.
    pub timer_interval_ms: u64,
    /// How many days ahead sessions are made of the lessons of timetables.
    pub timetable_ahead_days: u32,
    /// How long published messages are kept, in days: longer than a camera may keep frames to itself, so that a late
    /// frame does not tell again who was seen.
    pub outbox_kept_days: u32,
    /// How long handled messages are recognised, in days: longer than any stream keeps them.
    pub handled_kept_days: u32,
    /// Who is told what happens, and how. See docs/NOTIFICATIONS.md.
    pub notify: NotifyConfig,
}

impl Default for AttendanceConfig {
    fn default() -> Self {
        Self {
            scans_in_flight: 256,
            sightings_in_flight: 8,
            timer_interval_ms: 500,
            timetable_ahead_days: 14,
            outbox_kept_days: 8,
            handled_kept_days: 35,
            notify: NotifyConfig::default(),
        }
    }
}

impl AttendanceConfig {
    /// How many database connections the worker uses at most: one for each sighting, one each for scans being decided and
    /// marked, photographs, erasures, sessions, the ledger and dead letters, two for the timers, and four for notifications:
    /// to decide on them, to ask for them, to send them, and to gather digests.
    pub fn connections(&self) -> u32 {
        u32::try_from(self.sightings_in_flight).unwrap_or(u32::MAX).saturating_add(13)
    }

    pub(crate) fn timer_interval(&self) -> Duration {
        Duration::from_millis(self.timer_interval_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_refused_and_absent_ones_have_defaults() {
        let config: AttendanceConfig = serde_json::from_str(r#"{"sightings_in_flight": 2}"#).unwrap();
        assert_eq!(config.connections(), 15);
        assert_eq!(config.timer_interval(), Duration::from_millis(500));
        assert!(serde_json::from_str::<AttendanceConfig>(r#"{"sightings": 2}"#).is_err());
    }
}
