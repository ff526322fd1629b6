//! One `VEVENT`, read as a lesson by the clocks of one time zone.

use super::rule::Rule;
use crate::{
    Slot,
    check::{LASTS_WELL, lasts_well},
    local,
};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use chrono_tz::Tz;
use icalendar::parser::{Component, Property};

/// What an event says of lessons.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) uid: String,
    pub(super) summary: String,
    pub(super) slot: Slot,
    pub(super) ends: NaiveTime,
    pub(super) room: Option<String>,
    pub(super) rule: Option<Rule>,
    pub(super) excluded: Vec<Slot>,
    pub(super) added: Vec<Slot>,
    /// Of which lesson it is another version.
    pub(super) instead_of: Option<Slot>,
    pub(super) is_cancelled: bool,
}

impl Event {
    /// Reads a component by the clocks of `zone`, or says what is wrong with it.
    pub(super) fn read(component: &Component<'_>, zone: Tz) -> Result<Self, String> {
        let text = |name: &str| {
            let value = component.find_prop(name).map(|property| property.val.clone().unescape_text());
            value.map(|value| value.as_str().trim().to_owned()).filter(|value| !value.is_empty())
        };
        let rule = text("RRULE").map(|rule| Rule::read(&rule)).transpose()?;
        let start = component.find_prop("DTSTART").ok_or("there is no DTSTART")?;
        if rule.is_some() && !is_by_the_clocks_of(start, zone) {
            return Err(format!("a lesson that comes again must be by the clocks of {zone}"));
        }
        let starts = one_time(start, zone)?;
        let ends = match (component.find_prop("DTEND"), text("DURATION")) {
            (Some(end), _) => one_time(end, zone)?,
            (None, Some(length)) => {
                starts + duration(&length).ok_or_else(|| format!("{length} is no duration"))?
            }
            (None, None) => return Err("there is neither DTEND nor DURATION".into()),
        };
        let is_short = ends.date() == starts.date() || ends - starts < TimeDelta::days(1);
        if ends <= starts || !is_short || !lasts_well(starts.time(), ends.time()) {
            return Err(format!("a lesson ends {LASTS_WELL}"));
        }
        let instead_of = component.find_prop("RECURRENCE-ID");
        if instead_of.is_some_and(|property| property.params.iter().any(|it| it.key == "RANGE")) {
            return Err(
                "RANGE is not for weekly schedules: end the event, and add one that follows it".into()
            );
        }
        Ok(Self {
            uid: text("UID").unwrap_or_default(),
            summary: text("SUMMARY").unwrap_or_default(),
            slot: slot(starts),
            ends: ends.time(),
            room: text("LOCATION"),
            rule,
            excluded: slots(component, "EXDATE", zone)?,
            added: slots(component, "RDATE", zone)?,
            instead_of: instead_of.map(|property| one_time(property, zone)).transpose()?.map(slot),
            is_cancelled: text("STATUS").is_some_and(|status| status.eq_ignore_ascii_case("CANCELLED")),
        })
    }
}

fn slot(at: NaiveDateTime) -> Slot {
    Slot { date: at.date(), starts: at.time() }
}

fn slots(component: &Component<'_>, name: &str, zone: Tz) -> Result<Vec<Slot>, String> {
    let mut slots = Vec::new();
    for property in component.properties.iter().filter(|property| property.name == name) {
        slots.extend(times(property, zone)?.into_iter().map(slot));
    }
    Ok(slots)
}

fn one_time(property: &Property<'_>, zone: Tz) -> Result<NaiveDateTime, String> {
    match times(property, zone)?[..] {
        [time] => Ok(time),
        _ => Err(format!("{} is not one time", property.name.as_str())),
    }
}

/// The times of a property, by the clocks of `zone`.
fn times(property: &Property<'_>, zone: Tz) -> Result<Vec<NaiveDateTime>, String> {
    let of_property = of_property(property)?;
    property.val.as_str().split(',').map(|value| time(value.trim(), of_property, zone)).collect()
}

/// The time zone that a property names; none where it names none.
fn of_property(property: &Property<'_>) -> Result<Option<Tz>, String> {
    let named = property.params.iter().find(|parameter| parameter.key == "TZID");
    let Some(name) = named.and_then(|parameter| parameter.val.as_ref()) else { return Ok(None) };
    let name = name.as_str().trim_matches('"');
    let unknown = || format!("the time zone {name:?} is not one of the IANA database");
    name.parse().map(Some).map_err(|_| unknown())
}

fn time(value: &str, of_property: Option<Tz>, zone: Tz) -> Result<NaiveDateTime, String> {
    if NaiveDate::parse_from_str(value, "%Y%m%d").is_ok() {
        return Err(format!("{value} is a whole day: holidays are not lessons"));
    }
    let read = |value| NaiveDateTime::parse_from_str(value, "%Y%m%dT%H%M%S");
    let no_time = |_| format!("{value:?} is no time");
    match (value.strip_suffix('Z'), of_property) {
        (Some(utc), _) => read(utc).map(|at| local::shown(zone, at.and_utc())),
        (None, Some(other)) if other != zone => {
            read(value).map(|at| local::shown(zone, local::instant(other, at)))
        }
        (None, _) => read(value),
    }
    .map_err(no_time)
}

/// Whether what comes again comes again at the same time by the clocks of `zone`.
fn is_by_the_clocks_of(start: &Property<'_>, zone: Tz) -> bool {
    match (start.val.as_str().ends_with('Z'), of_property(start)) {
        (true, _) => zone == Tz::UTC,
        (false, Ok(Some(other))) => other == zone,
        (false, _) => true,
    }
}

/// A duration of RFC 5545, section 3.3.6, such as `PT1H30M`.
fn duration(text: &str) -> Option<TimeDelta> {
    let rest = text.strip_prefix('+').unwrap_or(text).strip_prefix('P')?;
    let mut seconds = 0_i64;
    let mut digits = String::new();
    for letter in rest.chars() {
        let unit = match letter {
            'T' if digits.is_empty() => continue,
            '0'..='9' => {
                digits.push(letter);
                continue;
            }
            'W' => 604_800,
            'D' => 86_400,
            'H' => 3_600,
            'M' => 60,
            'S' => 1,
            _ => return None,
        };
        seconds = seconds.checked_add(digits.parse::<i64>().ok()?.checked_mul(unit)?)?;
        digits.clear();
    }
    (digits.is_empty() && (1..=86_400).contains(&seconds)).then(|| TimeDelta::seconds(seconds))
}
