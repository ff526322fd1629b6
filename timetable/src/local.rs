//! What a clock on the wall shows, as an instant.
//!
//! Where the clocks go forward, a time that no clock shows is taken with the offset of before the gap; where they go back,
//! a time that they show twice is the first of the two (RFC 5545, section 3.3.5). So a lesson at 02:30 begins at 03:30 in
//! the night in which 02:00 to 03:00 is left out, and every other lesson begins when the clock says so.

use chrono::{
    DateTime, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Utc,
};
use chrono_tz::{GapInfo, Tz};
use std::ops::Range;

/// When a clock in `zone` shows `local`.
pub fn instant(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => at.to_utc(),
        MappedLocalTime::None => {
            let before = GapInfo::new(&local, &zone).and_then(|gap| gap.begin);
            before.map_or_else(|| local.and_utc(), |(_, offset)| (local - offset.fix()).and_utc())
        }
    }
}

/// From the one to the other, by the clock of a day without a gap: past midnight if the end is before the beginning.
pub fn length(times: &Range<NaiveTime>) -> TimeDelta {
    let on_one_day = times.end - times.start;
    if on_one_day > TimeDelta::zero() { on_one_day } else { on_one_day + TimeDelta::days(1) }
}

/// When something begins on `date`, and ends. What begins in a gap lasts as long as it would on another day, if by the clock
/// it were over before it had begun.
pub fn span(zone: Tz, date: NaiveDate, times: Range<NaiveTime>) -> (DateTime<Utc>, DateTime<Utc>) {
    let (starts, length) = (date.and_time(times.start), length(&times));
    let (starts_at, ends_at) = (instant(zone, starts), instant(zone, starts + length));
    if ends_at > starts_at { (starts_at, ends_at) } else { (starts_at, starts_at + length) }
}

/// What a clock in `zone` shows then.
pub fn shown(zone: Tz, at: DateTime<Utc>) -> NaiveDateTime {
    at.with_timezone(&zone).naive_local()
}
