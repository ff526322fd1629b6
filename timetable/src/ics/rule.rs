//! `RRULE` as far as a weekly schedule can say it.

use crate::{Entry, Slot};
use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, Weekday};

/// More lessons than a school has in a life.
const MAX_COUNT: usize = 2_000;

/// A weekly rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    every_weeks: u8,
    weekdays: Vec<Weekday>,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Never,
    After(usize),
    On(NaiveDate),
    At(Until),
}

/// An end with a time, in UTC or by the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    Utc(NaiveDateTime),
    Local(NaiveDateTime),
}

impl Rule {
    /// Reads the value of an `RRULE`, or says what of it a weekly schedule cannot hold.
    pub(super) fn read(value: &str) -> Result<Self, String> {
        let mut rule = Self { every_weeks: 1, weekdays: vec![], end: End::Never };
        let mut is_weekly = false;
        let mut begins_on_monday = true;
        for part in value.split(';').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| format!("{part:?} has no value"))?;
            match name.to_ascii_uppercase().as_str() {
                "FREQ" => is_weekly = value.eq_ignore_ascii_case("WEEKLY"),
                "INTERVAL" => rule.every_weeks = number(name, value, 52)?,
                "COUNT" => rule.end = End::After(number(name, value, MAX_COUNT)?),
                "UNTIL" => rule.end = until(value)?,
                "BYDAY" => rule.weekdays = value.split(',').map(weekday).collect::<Result<_, _>>()?,
                "WKST" => begins_on_monday = value.eq_ignore_ascii_case("MO"),
                other => return Err(format!("{other} is not for weekly schedules")),
            }
        }
        if !is_weekly {
            return Err("only FREQ=WEEKLY is for weekly schedules".into());
        }
        if !begins_on_monday && rule.every_weeks > 1 {
            return Err("weeks begin on Monday here: WKST must be MO".into());
        }
        Ok(rule)
    }

    /// The entries of a lesson that begins at `first` and comes again by this rule. `shown` says what a clock shows at a
    /// time in UTC.
    pub(super) fn entries(
        &self,
        first: Slot,
        (ends, room): (NaiveTime, Option<&str>),
        shown: impl Fn(NaiveDateTime) -> NaiveDateTime,
    ) -> Vec<Entry> {
        let mut weekdays = self.weekdays.clone();
        if weekdays.is_empty() {
            weekdays.push(chrono::Datelike::weekday(&first.date));
        }
        weekdays.sort_by_key(Weekday::num_days_from_monday);
        weekdays.dedup();
        let mut entries: Vec<_> = weekdays
            .into_iter()
            .map(|weekday| Entry {
                weekday,
                starts: first.starts,
                ends,
                room: room.map(str::to_owned),
                from: first.date,
                until: None,
                every_weeks: self.every_weeks,
            })
            .collect();
        let until = match self.end {
            End::Never => None,
            End::After(count) => nth_day(&entries, first.date, count),
            End::On(date) => Some(date),
            End::At(Until::Utc(at)) => last_day(shown(at), first.starts),
            End::At(Until::Local(at)) => last_day(at, first.starts),
        };
        for entry in &mut entries {
            entry.until = until;
        }
        // A rule may end before one of its weekdays has come.
        entries.retain(|entry| entry.first_from(entry.from).is_some());
        entries
    }
}

fn number<T: TryFrom<usize>>(name: &str, value: &str, most: usize) -> Result<T, String> {
    let number = value.parse().ok().filter(|number| (1..=most).contains(number));
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| format!("{name} must be 1 to {most}"))
}

fn until(value: &str) -> Result<End, String> {
    if let Ok(date) = NaiveDate::parse_from_str(value, "%Y%m%d") {
        return Ok(End::On(date));
    }
    let at = |value| NaiveDateTime::parse_from_str(value, "%Y%m%dT%H%M%S");
    match value.strip_suffix('Z') {
        Some(utc) => at(utc).map(Until::Utc),
        None => at(value).map(Until::Local),
    }
    .map(End::At)
    .map_err(|_| format!("UNTIL={value} is no date"))
}

fn weekday(code: &str) -> Result<Weekday, String> {
    match code.to_ascii_uppercase().as_str() {
        "MO" => Ok(Weekday::Mon),
        "TU" => Ok(Weekday::Tue),
        "WE" => Ok(Weekday::Wed),
        "TH" => Ok(Weekday::Thu),
        "FR" => Ok(Weekday::Fri),
        "SA" => Ok(Weekday::Sat),
        "SU" => Ok(Weekday::Sun),
        _ => Err(format!("BYDAY={code} is no day of a week")),
    }
}

/// The last day on which a lesson that begins at `starts` does so at `until` or before.
fn last_day(until: NaiveDateTime, starts: NaiveTime) -> Option<NaiveDate> {
    if starts <= until.time() { Some(until.date()) } else { until.date().pred_opt() }
}

/// The day of the lesson of that number, from 1.
fn nth_day(entries: &[Entry], from: NaiveDate, count: usize) -> Option<NaiveDate> {
    let weeks = entries.first().map_or(1, |entry| u64::from(entry.every_weeks)) * (count as u64 + 1);
    let last = from.checked_add_days(Days::new(7 * weeks))?;
    let mut days: Vec<_> = entries.iter().flat_map(|entry| entry.days(from..=last)).collect();
    days.sort_unstable();
    days.get(count - 1).copied()
}
