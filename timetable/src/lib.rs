//! The calendar of a class: a weekly schedule, what differs from it on single days, holidays, and the lessons that follow.
//! Pure: no clock, no database, no network.
//!
//! A schedule speaks of days and of what a clock on the wall shows. A lesson is known by the day and the time at which
//! the schedule has it ([`Slot`]), wherever it is moved to, as RFC 5545 knows an instance by its `RECURRENCE-ID`. What
//! clock times mean as instants is in [`local`], and calendar files are in [`ics`].

mod check;
pub mod ics;
pub mod local;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};
use std::{collections::BTreeMap, ops::RangeInclusive};

pub use check::{Fault, MAX_ENTRIES, MAX_EXCEPTIONS, MAX_ROOM};
pub use chrono_tz::Tz;

/// The schedule of a class, and what differs from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timetable {
    /// What comes again every week or every few.
    pub entries: Vec<Entry>,
    /// What is otherwise on single days.
    pub exceptions: Vec<Exception>,
}

/// A lesson that comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// On this day of the week.
    pub weekday: Weekday,
    /// From then on, by the clock.
    pub starts: NaiveTime,
    /// Until then, by the clock; on the next day if it is before the beginning.
    pub ends: NaiveTime,
    /// Where, if it is said.
    pub room: Option<String>,
    /// From this day on.
    pub from: NaiveDate,
    /// Until this day, which is included; for good when absent.
    pub until: Option<NaiveDate>,
    /// Every so many weeks, counted from the week of `from`, which begins on Monday (ISO 8601).
    pub every_weeks: u8,
}

/// What a lesson is known by: the day and the time at which the schedule has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The day.
    pub date: NaiveDate,
    /// When it begins, by the clock.
    pub starts: NaiveTime,
}

/// Where and when a lesson takes place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The day.
    pub date: NaiveDate,
    /// From then on, by the clock.
    pub starts: NaiveTime,
    /// Until then, by the clock; on the next day if it is before the beginning.
    pub ends: NaiveTime,
    /// Where, if it is said.
    pub room: Option<String>,
}

/// What is otherwise about one lesson.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Which.
    pub slot: Slot,
    /// How.
    pub change: Change,
}

/// How a lesson differs from the schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It does not take place.
    Cancelled,
    /// It takes place elsewhere or at another time, on a holiday too: somebody said so.
    Moved(Place),
    /// It takes place although the schedule does not have it, on a holiday too.
    Added {
        /// Until then, by the clock; on the next day if it is before the beginning.
        ends: NaiveTime,
        /// Where, if it is said.
        room: Option<String>,
    },
}

/// Days on which nothing of a schedule takes place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holiday {
    /// The first.
    pub from: NaiveDate,
    /// The last.
    pub to: NaiveDate,
}

/// Why a lesson takes place where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The schedule has it there.
    Regular,
    /// It was moved there.
    Moved,
    /// It was added.
    Added,
}

/// One lesson.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lesson {
    /// What it is known by.
    pub slot: Slot,
    /// Where and when it takes place, by the clock.
    pub place: Place,
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// When it ends: always later.
    pub ends_at: DateTime<Utc>,
    /// Why there.
    pub origin: Origin,
}

impl Lesson {
    fn new(slot: Slot, place: Place, origin: Origin, zone: Tz) -> Self {
        let (starts_at, ends_at) = local::span(zone, place.date, place.starts..place.ends);
        Self { slot, place, starts_at, ends_at, origin }
    }
}

impl Entry {
    /// Whether the schedule has it on that day.
    pub fn is_on(&self, date: NaiveDate) -> bool {
        self.first_from(date) == Some(date)
    }

    /// The first day from `day` on at which the schedule has it.
    fn first_from(&self, day: NaiveDate) -> Option<NaiveDate> {
        let day = day.max(self.from);
        let ahead = self.weekday.days_since(day.weekday());
        let next = day.checked_add_signed(TimeDelta::days(ahead.into()))?;
        let every = i64::from(self.every_weeks.max(1));
        let past = weeks_between(self.from, next).rem_euclid(every);
        let wait = if past == 0 { 0 } else { every - past };
        let next = next.checked_add_signed(TimeDelta::weeks(wait))?;
        self.until.is_none_or(|until| next <= until).then_some(next)
    }

    /// The days of `days` on which the schedule has it, in order.
    fn days(&self, days: RangeInclusive<NaiveDate>) -> impl Iterator<Item = NaiveDate> {
        let after = |date: NaiveDate| self.first_from(date.succ_opt()?);
        let first = self.first_from(*days.start());
        std::iter::successors(first, move |date| after(*date)).take_while(move |date| date <= days.end())
    }

    fn slot(&self, date: NaiveDate) -> Slot {
        Slot { date, starts: self.starts }
    }
}

/// From the week of one day to the week of another.
fn weeks_between(one: NaiveDate, other: NaiveDate) -> i64 {
    let monday = |date: NaiveDate| {
        i64::from(date.num_days_from_ce()) - i64::from(date.weekday().num_days_from_monday())
    };
    (monday(other) - monday(one)) / 7
}

impl Timetable {
    /// The lessons that take place on `days`, in order.
    pub fn lessons(&self, holidays: &[Holiday], zone: Tz, days: RangeInclusive<NaiveDate>) -> Vec<Lesson> {
        let changes: BTreeMap<Slot, &Change> =
            self.exceptions.iter().map(|exception| (exception.slot, &exception.change)).collect();
        let is_free = |date: NaiveDate| holidays.iter().any(|it| (it.from..=it.to).contains(&date));
        let mut lessons = Vec::new();
        for entry in &self.entries {
            let regular = entry
                .days(days.clone())
                .filter(|date| !is_free(*date) && !changes.contains_key(&entry.slot(*date)));
            lessons.extend(regular.map(|date| {
                let Entry { starts, ends, room, .. } = entry.clone();
                Lesson::new(entry.slot(date), Place { date, starts, ends, room }, Origin::Regular, zone)
            }));
        }
        for (slot, change) in changes {
            let (place, origin) = match change {
                Change::Moved(place) if self.has(slot) => (place.clone(), Origin::Moved),
                Change::Added { ends, room } => {
                    let Slot { date, starts } = slot;
                    (Place { date, starts, ends: *ends, room: room.clone() }, Origin::Added)
                }
                Change::Cancelled | Change::Moved(_) => continue,
            };
            if days.contains(&place.date) {
                lessons.push(Lesson::new(slot, place, origin, zone));
            }
        }
        lessons.sort_by_key(|lesson| (lesson.starts_at, lesson.slot));
        lessons
    }

    /// Whether the weekly schedule has a lesson there.
    pub fn has(&self, slot: Slot) -> bool {
        self.entries.iter().any(|entry| entry.starts == slot.starts && entry.is_on(slot.date))
    }
}

#[cfg(test)]
mod tests;
