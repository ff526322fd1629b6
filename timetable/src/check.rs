//! Whether a timetable holds together.

use crate::{Change, Entry, Exception, Place, Timetable, local};
use chrono::{Datelike, NaiveDate, NaiveTime, TimeDelta};
use std::{collections::BTreeSet, ops::RangeInclusive};

/// Whoever means another year has mistyped it.
const YEARS: RangeInclusive<i32> = 1970..=2999;
/// The longest time from one lesson of an entry to the next.
const MAX_WEEKS: u8 = 52;

/// More than a class has in a week, and more than it has exceptions in a life.
pub const MAX_ENTRIES: usize = 100;
/// The same.
pub const MAX_EXCEPTIONS: usize = 1_000;
/// The longest name of a room, in characters.
pub const MAX_ROOM: usize = 100;

/// The longest lesson that goes past midnight: an end that is before the beginning by less is a mistake.
const LONGEST_NIGHT: TimeDelta = TimeDelta::hours(12);
/// What an end must be.
pub(crate) const LASTS_WELL: &str =
    "after the start: on the same day, or past midnight and no more than 12 hours later";

/// Whether a lesson may begin and end so.
pub(crate) fn lasts_well(starts: NaiveTime, ends: NaiveTime) -> bool {
    ends > starts || local::length(&(starts..ends)) <= LONGEST_NIGHT
}

/// Something that is wrong with a timetable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Of which entry or exception, from 0, and which field of it: `entries[0].endTime`.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl Timetable {
    /// Everything that is wrong with it; nothing if it holds together.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = Faults::default();
        for (list, length, most) in [
            ("entries", self.entries.len(), MAX_ENTRIES),
            ("exceptions", self.exceptions.len(), MAX_EXCEPTIONS),
        ] {
            if length > most {
                faults.add(format!("{list}[{most}]"), format!("a timetable has {most} {list} at most"));
            }
        }
        // The rest takes time by how many there are.
        if !faults.0.is_empty() {
            return faults.0;
        }
        for (number, entry) in self.entries.iter().enumerate() {
            faults.of_entry(number, entry);
        }
        for (number, exception) in self.exceptions.iter().enumerate() {
            faults.of_exception(number, exception);
        }
        // What follows counts days and weeks, which must be sound.
        if faults.0.is_empty() {
            faults.of_entries_that_meet(&self.entries);
            faults.of_slots(self);
        }
        faults.0
    }
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, field: String, message: impl Into<String>) {
        self.0.push(Fault { field, message: message.into() });
    }

    fn of_entry(&mut self, number: usize, entry: &Entry) {
        let field = |name: &str| format!("entries[{number}].{name}");
        self.of_room(field("room"), entry.room.as_deref());
        self.of_times(field("endTime"), entry.starts, entry.ends);
        self.of_year(field("from"), entry.from);
        if let Some(until) = entry.until {
            self.of_year(field("until"), until);
            if until < entry.from {
                self.add(field("until"), "must not be before from");
            }
        }
        if !(1..=MAX_WEEKS).contains(&entry.every_weeks) {
            self.add(field("everyWeeks"), format!("must be 1 to {MAX_WEEKS}"));
        }
    }

    fn of_exception(&mut self, number: usize, exception: &Exception) {
        let field = |name: &str| format!("exceptions[{number}].{name}");
        self.of_year(field("date"), exception.slot.date);
        let room = match &exception.change {
            Change::Cancelled => None,
            Change::Moved(Place { room, .. }) | Change::Added { room, .. } => room.as_deref(),
        };
        self.of_room(field("room"), room);
        match &exception.change {
            Change::Cancelled => {}
            Change::Moved(place) => {
                self.of_year(field("toDate"), place.date);
                self.of_times(field("toEndTime"), place.starts, place.ends);
            }
            Change::Added { ends, .. } => self.of_times(field("endTime"), exception.slot.starts, *ends),
        }
    }

    fn of_room(&mut self, field: String, room: Option<&str>) {
        if room.is_some_and(|room| room.chars().count() > MAX_ROOM) {
            self.add(field, format!("must be {MAX_ROOM} characters at most"));
        }
    }

    fn of_times(&mut self, field: String, starts: NaiveTime, ends: NaiveTime) {
        if !lasts_well(starts, ends) {
            self.add(field, format!("must be {LASTS_WELL}"));
        }
    }

    fn of_year(&mut self, field: String, date: NaiveDate) {
        if !YEARS.contains(&date.year()) {
            self.add(field, format!("must be in the years {} to {}", YEARS.start(), YEARS.end()));
        }
    }

    /// A class is not in two places.
    fn of_entries_that_meet(&mut self, entries: &[Entry]) {
        for (number, entry) in entries.iter().enumerate() {
            let met =
                entries[..number].iter().enumerate().find_map(|(other, it)| Some((other, meet(entry, it)?)));
            if let Some((other, date)) = met {
                let message = format!("is at the same time as entries[{other}] on {date}");
                self.add(format!("entries[{number}].startTime"), message);
            }
        }
    }

    /// Every exception is about a lesson that there is, or adds one that there is not, once.
    fn of_slots(&mut self, timetable: &Timetable) {
        let mut known = BTreeSet::new();
        for (number, Exception { slot, change }) in timetable.exceptions.iter().enumerate() {
            let field = format!("exceptions[{number}].date");
            let is_scheduled = timetable.has(*slot);
            if !known.insert(*slot) {
                self.add(field, "this lesson has an exception already");
            } else if matches!(change, Change::Added { .. }) == is_scheduled {
                let message = match change {
                    Change::Added { .. } => "the schedule has a lesson then already",
                    Change::Cancelled | Change::Moved(_) => "the schedule has no lesson then",
                };
                self.add(field, message);
            }
        }
    }
}

/// The first day of the one on which both are at the same time. What goes past midnight may meet a lesson of the next day.
fn meet(one: &Entry, other: &Entry) -> Option<NaiveDate> {
    (-1..=1).filter_map(|days| meet_after(one, other, TimeDelta::days(days))).min()
}

/// The first day of the one on which a lesson of the other, so many days later, is at the same time.
fn meet_after(one: &Entry, other: &Entry, later: TimeDelta) -> Option<NaiveDate> {
    let times = |entry: &Entry| {
        let starts = entry.starts - NaiveTime::MIN;
        starts..starts + local::length(&(entry.starts..entry.ends))
    };
    let (of_one, of_other) = (times(one), times(other));
    if of_one.start >= of_other.end + later || of_other.start + later >= of_one.end {
        return None;
    }
    let from = one.from.max(other.from.checked_sub_signed(later)?);
    // After so many lessons of the one, all that can happen has happened.
    let cycle = usize::from(other.every_weeks);
    let is_on = |date: &NaiveDate| date.checked_add_signed(later).is_some_and(|date| other.is_on(date));
    one.days(from..=NaiveDate::MAX).take(cycle).find(is_on)
}
