//! The camera's time: how it is read, and how far from receipt it may be. Decisions go by it, so a wrong one must not
//! get in.

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::to_micros;

/// How far before and after receipt a frame may have been captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureWindow {
    /// How far ahead a camera's clock may be.
    pub max_ahead: TimeDelta,
    /// How long a camera may store a frame before it sends it.
    pub max_age: TimeDelta,
}

/// Why a capture time is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapturedAtRefusal {
    /// It is no time.
    #[error("not an RFC 3339 time with its zone, such as 2026-11-20T09:00:00.250Z")]
    Unreadable,
    /// It is in the future.
    #[error("{ahead_s} s in the future, and at most {max_ahead_s} s are taken: set the camera's clock")]
    Ahead {
        /// How far ahead of receipt.
        ahead_s: i64,
        /// The limit.
        max_ahead_s: i64,
    },
    /// It is too long ago.
    #[error(
        "{age_s} s ago, and at most {max_age_s} s are taken: set the camera's clock, or use `rollcall replay`"
    )]
    TooOld {
        /// How long before receipt.
        age_s: i64,
        /// The limit.
        max_age_s: i64,
    },
}

impl CaptureWindow {
    /// Reads a capture time and compares it with the time of receipt.
    ///
    /// # Errors
    /// When it cannot be read or is outside the window.
    pub fn read(&self, text: &str, received_at: DateTime<Utc>) -> Result<DateTime<Utc>, CapturedAtRefusal> {
        let captured_at =
            DateTime::parse_from_rfc3339(text.trim()).map_err(|_| CapturedAtRefusal::Unreadable)?;
        let captured_at = to_micros(captured_at.to_utc());
        let age = received_at - captured_at;
        if -age > self.max_ahead {
            return Err(CapturedAtRefusal::Ahead {
                ahead_s: -age.num_seconds(),
                max_ahead_s: self.max_ahead.num_seconds(),
            });
        }
        if age > self.max_age {
            return Err(CapturedAtRefusal::TooOld {
                age_s: age.num_seconds(),
                max_age_s: self.max_age.num_seconds(),
            });
        }
        Ok(captured_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: CaptureWindow =
        CaptureWindow { max_ahead: TimeDelta::seconds(120), max_age: TimeDelta::seconds(7 * 86_400) };

    fn read(text: &str) -> Result<DateTime<Utc>, CapturedAtRefusal> {
        WINDOW.read(text, "2026-11-20T09:00:00Z".parse().unwrap())
    }

    #[test]
    fn the_window_is_closed_at_both_ends() {
        for good in ["2026-11-20T09:02:00Z", "2026-11-13T09:00:00Z", "2026-11-20T12:00:00+03:00"] {
            assert!(read(good).is_ok(), "{good}");
        }
        assert_eq!(
            read("2026-11-20T09:02:01Z"),
            Err(CapturedAtRefusal::Ahead { ahead_s: 121, max_ahead_s: 120 })
        );
        assert_eq!(
            read("2026-11-13T08:59:59Z"),
            Err(CapturedAtRefusal::TooOld { age_s: 604_801, max_age_s: 604_800 })
        );
    }

    #[test]
    fn times_are_cut_to_microseconds() {
        let time = read("2026-11-20T09:00:00.123456789Z").unwrap();
        assert_eq!(time.timestamp_subsec_nanos(), 123_456_000);
    }

    #[test]
    fn what_has_no_zone_or_is_no_time_is_refused() {
        for bad in ["", "yesterday", "2026-11-20T09:00:00", "1700000000", "2026-13-01T00:00:00Z"] {
            assert_eq!(read(bad), Err(CapturedAtRefusal::Unreadable), "{bad}");
        }
    }
}
