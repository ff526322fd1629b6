//! Scenarios as tables, and what holds for every timetable.

mod files;

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

pub(crate) fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

pub(crate) fn time(text: &str) -> NaiveTime {
    NaiveTime::parse_from_str(text, "%H:%M").unwrap()
}

/// `Mon 09:00-09:45 from 2026-01-05`, perhaps with `until`, `every` and `in`.
pub(crate) fn entry(text: &str) -> Entry {
    let words: Vec<_> = text.split(' ').collect();
    let after = |word: &str| words.iter().position(|it| *it == word).map(|place| words[place + 1]);
    let (starts, ends) = words[1].split_once('-').unwrap();
    Entry {
        weekday: words[0].parse().unwrap(),
        starts: time(starts),
        ends: time(ends),
        room: after("in").map(str::to_owned),
        from: date(after("from").unwrap()),
        until: after("until").map(date),
        every_weeks: after("every").map_or(1, |weeks| weeks.parse().unwrap()),
    }
}

fn slot(text: &str) -> Slot {
    let (day, clock) = text.split_once(' ').unwrap();
    Slot { date: date(day), starts: time(clock) }
}

/// `cancel 2026-01-05 09:00`, `add 2026-01-05 09:00-10:00` or `move 2026-01-05 09:00 to 2026-01-06 10:00-11:00`.
fn exception(text: &str) -> Exception {
    let (verb, rest) = text.split_once(' ').unwrap();
    let times = |text: &str| {
        let (starts, ends) = text.split_once('-').unwrap();
        (time(starts), time(ends))
    };
    match (verb, rest.split_once(" to ")) {
        ("cancel", None) => Exception { slot: slot(rest), change: Change::Cancelled },
        ("add", None) => {
            let (day, clock) = rest.split_once(' ').unwrap();
            let (starts, ends) = times(clock);
            let slot = Slot { date: date(day), starts };
            Exception { slot, change: Change::Added { ends, room: None } }
        }
        ("move", Some((from, to))) => {
            let (day, clock) = to.split_once(' ').unwrap();
            let (starts, ends) = times(clock);
            let place = Place { date: date(day), starts, ends, room: None };
            Exception { slot: slot(from), change: Change::Moved(place) }
        }
        _ => panic!("{text}"),
    }
}

fn holiday(text: &str) -> Holiday {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    Holiday { from: date(from), to: date(to) }
}

/// One night of the clocks, one year's end, one holiday.
struct Scenario {
    name: &'static str,
    zone: Tz,
    entries: &'static [&'static str],
    exceptions: &'static [&'static str],
    holidays: &'static [&'static str],
    days: (&'static str, &'static str),
    /// From when to when, in UTC.
    lessons: &'static [&'static str],
}

const NONE: Scenario = Scenario {
    name: "",
    zone: Tz::Europe__Vienna,
    entries: &[],
    exceptions: &[],
    holidays: &[],
    days: ("2026-01-01", "2026-12-31"),
    lessons: &[],
};

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "nine o'clock stays nine o'clock when the clocks go forward",
        entries: &["Mon 09:00-09:45 from 2026-03-23", "Sun 09:00-09:45 from 2026-03-23"],
        days: ("2026-03-23", "2026-03-30"),
        lessons: &["2026-03-23 08:00-08:45", "2026-03-29 07:00-07:45", "2026-03-30 07:00-07:45"],
        ..NONE
    },
    Scenario {
        name: "and when they go back",
        entries: &["Sun 09:00-09:45 from 2026-10-18 until 2026-10-25"],
        lessons: &["2026-10-18 07:00-07:45", "2026-10-25 08:00-08:45"],
        ..NONE
    },
    Scenario {
        name: "a time that no clock shows is taken with the offset of before",
        entries: &["Sun 02:30-03:30 from 2026-03-22 until 2026-04-05"],
        lessons: &["2026-03-22 01:30-02:30", "2026-03-29 01:30-02:30", "2026-04-05 00:30-01:30"],
        ..NONE
    },
    Scenario {
        name: "a lesson over the gap is shorter",
        entries: &["Sun 01:30-03:30 from 2026-03-29 until 2026-03-29"],
        lessons: &["2026-03-29 00:30-01:30"],
        ..NONE
    },
    Scenario {
        name: "a lesson within the gap is as long as ever",
        entries: &["Sun 02:00-02:45 from 2026-03-29 until 2026-03-29"],
        lessons: &["2026-03-29 01:00-01:45"],
        ..NONE
    },
    Scenario {
        name: "a time that the clocks show twice is the first of the two",
        entries: &["Sun 02:30-02:50 from 2026-10-25 until 2026-10-25"],
        lessons: &["2026-10-25 00:30-00:50"],
        ..NONE
    },
    Scenario {
        name: "a lesson into the second three o'clock is longer",
        entries: &["Sun 02:30-03:30 from 2026-10-25 until 2026-10-25"],
        lessons: &["2026-10-25 00:30-02:30"],
        ..NONE
    },
    Scenario {
        name: "a lesson until midnight, and one past it",
        entries: &[
            "Mon 22:00-00:00 from 2026-06-01 until 2026-06-01",
            "Tue 22:00-06:00 from 2026-06-02 until 2026-06-02",
        ],
        lessons: &["2026-06-01 20:00-22:00", "2026-06-02 20:00-04:00"],
        ..NONE
    },
    Scenario {
        name: "the short night and the long one end when the clock says so",
        entries: &[
            "Sat 22:00-06:00 from 2026-03-28 until 2026-03-28",
            "Sat 22:00-06:00 from 2026-10-24 until 2026-10-24",
        ],
        lessons: &["2026-03-28 21:00-04:00", "2026-10-24 20:00-05:00"],
        ..NONE
    },
    Scenario {
        name: "a night is of the day on which it begins, for holidays too",
        entries: &["Mon 22:00-06:00 from 2026-06-01 until 2026-06-08"],
        holidays: &["2026-06-02", "2026-06-08"],
        exceptions: &["move 2026-06-08 22:00 to 2026-06-10 23:00-02:00"],
        lessons: &["2026-06-01 20:00-04:00", "2026-06-10 21:00-00:00"],
        ..NONE
    },
    Scenario {
        name: "the south goes the other way",
        zone: Tz::Australia__Sydney,
        entries: &["Mon 09:00-10:00 from 2026-03-30 until 2026-04-06"],
        lessons: &["2026-03-29 22:00-23:00", "2026-04-05 23:00-00:00"],
        ..NONE
    },
    Scenario {
        name: "half an hour of summer",
        zone: Tz::Australia__Lord_Howe,
        entries: &["Sun 09:00-10:00 from 2026-03-29 until 2026-04-05"],
        lessons: &["2026-03-28 22:00-23:00", "2026-04-04 22:30-23:30"],
        ..NONE
    },
    Scenario {
        name: "a midnight that does not exist",
        zone: Tz::Africa__Cairo,
        entries: &["Fri 00:00-01:30 from 2026-04-24 until 2026-04-24"],
        lessons: &["2026-04-23 22:00-22:30"],
        ..NONE
    },
    Scenario {
        name: "a day that does not exist",
        zone: Tz::Pacific__Apia,
        entries: &["Fri 09:00-10:00 from 2011-12-30 until 2012-01-06"],
        days: ("2011-12-30", "2012-01-06"),
        lessons: &["2011-12-30 19:00-20:00", "2012-01-05 19:00-20:00"],
        ..NONE
    },
    Scenario {
        name: "no summer at all",
        zone: Tz::Asia__Kolkata,
        entries: &["Mon 09:00-10:00 from 2026-03-23 until 2026-03-30"],
        lessons: &["2026-03-23 03:30-04:30", "2026-03-30 03:30-04:30"],
        ..NONE
    },
    Scenario {
        name: "a leap day",
        entries: &["Thu 09:00-10:00 from 2024-02-22 until 2024-03-07"],
        days: ("2024-02-01", "2024-03-31"),
        lessons: &["2024-02-22 08:00-09:00", "2024-02-29 08:00-09:00", "2024-03-07 08:00-09:00"],
        ..NONE
    },
    Scenario {
        name: "every second week over a leap day",
        entries: &["Thu 09:00-10:00 from 2024-02-15 until 2024-03-20 every 2"],
        days: ("2024-02-01", "2024-03-31"),
        lessons: &["2024-02-15 08:00-09:00", "2024-02-29 08:00-09:00", "2024-03-14 08:00-09:00"],
        ..NONE
    },
    Scenario {
        name: "the year's end",
        entries: &["Thu 09:00-10:00 from 2026-12-24 until 2027-01-07"],
        days: ("2026-12-24", "2027-01-07"),
        lessons: &["2026-12-24 08:00-09:00", "2026-12-31 08:00-09:00", "2027-01-07 08:00-09:00"],
        ..NONE
    },
    Scenario {
        // 2026 has 53 weeks: whoever counts by the number of the week goes wrong here.
        name: "every second week over the end of a year with 53 weeks",
        entries: &["Mon 09:00-10:00 from 2026-12-14 until 2027-01-25 every 2"],
        days: ("2026-12-01", "2027-01-31"),
        lessons: &[
            "2026-12-14 08:00-09:00",
            "2026-12-28 08:00-09:00",
            "2027-01-11 08:00-09:00",
            "2027-01-25 08:00-09:00",
        ],
        ..NONE
    },
    Scenario {
        name: "every second week from a Wednesday on: its Monday is in the week after next",
        entries: &["Mon 09:00-10:00 from 2026-06-03 until 2026-06-30 every 2"],
        lessons: &["2026-06-15 07:00-08:00", "2026-06-29 07:00-08:00"],
        ..NONE
    },
    Scenario {
        name: "every third week, seen from the middle",
        entries: &["Fri 09:00-10:00 from 2026-06-05 every 3"],
        days: ("2026-06-20", "2026-07-31"),
        lessons: &["2026-06-26 07:00-08:00", "2026-07-17 07:00-08:00"],
        ..NONE
    },
    Scenario {
        name: "a holiday on a lesson",
        entries: &["Mon 09:00-10:00 from 2026-06-01 until 2026-06-15"],
        holidays: &["2026-06-08"],
        lessons: &["2026-06-01 07:00-08:00", "2026-06-15 07:00-08:00"],
        ..NONE
    },
    Scenario {
        name: "holidays that last, to the day",
        entries: &["Mon 09:00-10:00 from 2026-06-01 until 2026-06-29"],
        holidays: &["2026-06-08..2026-06-22"],
        lessons: &["2026-06-01 07:00-08:00", "2026-06-29 07:00-08:00"],
        ..NONE
    },
    Scenario {
        name: "a lesson is cancelled",
        entries: &["Mon 09:00-10:00 from 2026-06-01 until 2026-06-08"],
        exceptions: &["cancel 2026-06-01 09:00"],
        lessons: &["2026-06-08 07:00-08:00"],
        ..NONE
    },
    Scenario {
        name: "a lesson is moved to another day",
        entries: &["Mon 09:00-10:00 from 2026-06-01 until 2026-06-08"],
        exceptions: &["move 2026-06-01 09:00 to 2026-06-03 14:00-15:30"],
        lessons: &["2026-06-03 12:00-13:30", "2026-06-08 07:00-08:00"],
        ..NONE
    },
    Scenario {
        name: "a lesson is moved over the night of the clocks",
        entries: &["Sat 09:00-10:00 from 2026-03-28 until 2026-03-28"],
        exceptions: &["move 2026-03-28 09:00 to 2026-03-29 09:00-10:00"],
        lessons: &["2026-03-29 07:00-08:00"],
        ..NONE
    },
    Scenario {
        name: "a lesson is moved into the days that are looked at",
        entries: &["Mon 09:00-10:00 from 2026-06-01 until 2026-06-01"],
        exceptions: &["move 2026-06-01 09:00 to 2026-06-10 09:00-10:00"],
        days: ("2026-06-08", "2026-06-14"),
        lessons: &["2026-06-10 07:00-08:00"],
        ..NONE
    },
    Scenario {
        name: "and out of them",
        entries: &["Mon 09:00-10:00 from 2026-06-01 until 2026-06-01"],
        exceptions: &["move 2026-06-01 09:00 to 2026-06-10 09:00-10:00"],
        days: ("2026-06-01", "2026-06-07"),
        ..NONE
    },
    Scenario {
        name: "a lesson of a holiday is moved to another day, and one is moved onto the holiday",
        entries: &["Mon 09:00-10:00 from 2026-06-01 until 2026-06-08"],
        exceptions: &[
            "move 2026-06-08 09:00 to 2026-06-09 09:00-10:00",
            "move 2026-06-01 09:00 to 2026-06-08 11:00-12:00",
        ],
        holidays: &["2026-06-08"],
        lessons: &["2026-06-08 09:00-10:00", "2026-06-09 07:00-08:00"],
        ..NONE
    },
    Scenario {
        name: "a lesson is added, on a holiday",
        exceptions: &["add 2026-06-08 18:00-19:00"],
        holidays: &["2026-06-08"],
        lessons: &["2026-06-08 16:00-17:00"],
        ..NONE
    },
    Scenario {
        name: "an exception for a lesson that the schedule no longer has is nothing",
        entries: &["Mon 10:00-11:00 from 2026-06-01 until 2026-06-01"],
        exceptions: &["cancel 2026-06-01 09:00", "move 2026-06-02 09:00 to 2026-06-03 09:00-10:00"],
        lessons: &["2026-06-01 08:00-09:00"],
        ..NONE
    },
    Scenario {
        name: "the first and the last day count",
        entries: &["Mon 09:00-10:00 from 2026-06-01 until 2026-06-15"],
        days: ("2026-06-01", "2026-06-15"),
        lessons: &["2026-06-01 07:00-08:00", "2026-06-08 07:00-08:00", "2026-06-15 07:00-08:00"],
        ..NONE
    },
    Scenario {
        name: "an entry that ends before its first day has none",
        entries: &["Fri 09:00-10:00 from 2026-06-01 until 2026-06-03"],
        ..NONE
    },
];

impl Scenario {
    fn timetable(&self) -> Timetable {
        Timetable {
            entries: self.entries.iter().map(|text| entry(text)).collect(),
            exceptions: self.exceptions.iter().map(|text| exception(text)).collect(),
        }
    }
}

#[test]
fn every_scenario_has_its_lessons() {
    for scenario in SCENARIOS {
        let holidays: Vec<_> = scenario.holidays.iter().map(|text| holiday(text)).collect();
        let days = date(scenario.days.0)..=date(scenario.days.1);
        let lessons = scenario.timetable().lessons(&holidays, scenario.zone, days);
        let told: Vec<_> = lessons
            .iter()
            .map(|lesson| {
                format!("{}-{}", lesson.starts_at.format("%F %H:%M"), lesson.ends_at.format("%H:%M"))
            })
            .collect();
        assert_eq!(told, scenario.lessons, "{}", scenario.name);
    }
}

#[test]
fn what_does_not_hold_together_is_named() {
    let table: &[(&[&str], &[&str], &[&str])] = &[
        (&["Mon 09:00-09:00 from 2026-06-01"], &[], &["entries[0].endTime"]),
        (&["Mon 22:00-10:01 from 2026-06-01"], &[], &["entries[0].endTime"]),
        (&["Mon 14:00-13:45 from 2026-06-01"], &[], &["entries[0].endTime"]),
        (&["Mon 22:00-10:00 from 2026-06-01"], &[], &[]),
        (
            &["Tue 05:59-07:00 from 2026-06-02", "Mon 22:00-06:00 from 2026-06-01"],
            &[],
            &["entries[1].startTime"],
        ),
        (
            &["Sun 22:00-06:00 from 2026-06-01", "Mon 05:00-07:00 from 2026-06-01 until 2026-06-08"],
            &[],
            &["entries[1].startTime"],
        ),
        // The night before the first Monday is no night of theirs.
        (&["Sun 22:00-06:00 from 2026-06-01", "Mon 05:00-07:00 from 2026-06-01 until 2026-06-01"], &[], &[]),
        (&["Tue 06:00-07:00 from 2026-06-02", "Mon 22:00-06:00 from 2026-06-01"], &[], &[]),
        (&["Mon 09:00-10:00 from 2026-06-01 until 2026-05-31"], &[], &["entries[0].until"]),
        (&["Mon 09:00-10:00 from 2026-06-01 every 0"], &[], &["entries[0].everyWeeks"]),
        (&["Mon 09:00-10:00 from 2026-06-01 every 53"], &[], &["entries[0].everyWeeks"]),
        (&["Mon 09:00-10:00 from 0926-06-01"], &[], &["entries[0].from"]),
        (
            &["Mon 09:00-10:00 from 2026-06-01", "Mon 09:30-10:30 from 2026-06-01"],
            &[],
            &["entries[1].startTime"],
        ),
        // One after the other, on other days, in other weeks, at other times of the year: that is no clash.
        (&["Mon 09:00-10:00 from 2026-06-01", "Mon 10:00-11:00 from 2026-06-01"], &[], &[]),
        (&["Mon 09:00-10:00 from 2026-06-01", "Tue 09:00-10:00 from 2026-06-01"], &[], &[]),
        (&["Mon 09:00-10:00 from 2026-06-01 every 2", "Mon 09:00-10:00 from 2026-06-08 every 2"], &[], &[]),
        (&["Mon 09:00-10:00 from 2026-06-01 until 2026-06-30", "Mon 09:00-10:00 from 2026-07-01"], &[], &[]),
        (
            &["Mon 09:00-10:00 from 2026-06-01 every 2", "Mon 09:00-10:00 from 2026-06-08 every 3"],
            &[],
            &["entries[1].startTime"],
        ),
        (&["Mon 09:00-10:00 from 2026-06-01"], &["cancel 2026-06-02 09:00"], &["exceptions[0].date"]),
        (&["Mon 09:00-10:00 from 2026-06-01"], &["cancel 2026-06-01 09:30"], &["exceptions[0].date"]),
        (&["Mon 09:00-10:00 from 2026-06-01"], &["add 2026-06-01 09:00-11:00"], &["exceptions[0].date"]),
        (&["Mon 09:00-10:00 from 2026-06-01"], &["add 2026-06-01 12:00-11:00"], &["exceptions[0].endTime"]),
        (&["Mon 09:00-10:00 from 2026-06-01"], &["add 2026-06-01 20:00-00:00"], &[]),
        (
            &["Mon 09:00-10:00 from 2026-06-01"],
            &["move 2026-06-01 09:00 to 2026-06-02 12:00-11:00"],
            &["exceptions[0].toEndTime"],
        ),
        (
            &["Mon 09:00-10:00 from 2026-06-01"],
            &["cancel 2026-06-01 09:00", "move 2026-06-01 09:00 to 2026-06-02 09:00-10:00"],
            &["exceptions[1].date"],
        ),
    ];
    for (entries, exceptions, fields) in table {
        let scenario = Scenario { entries, exceptions, ..NONE };
        let faults: Vec<_> = scenario.timetable().check().into_iter().map(|fault| fault.field).collect();
        assert_eq!(&faults, fields, "{entries:?} {exceptions:?}");
    }
}

fn zones() -> impl Strategy<Value = Tz> {
    proptest::sample::select(chrono_tz::TZ_VARIANTS.to_vec())
}

fn dates() -> impl Strategy<Value = NaiveDate> {
    (0..20_000_u64).prop_map(|days| date("2000-01-01") + chrono::Days::new(days))
}

fn entries() -> impl Strategy<Value = Entry> {
    let lengths = prop_oneof![1..40_u32, 1..720_u32];
    (0..7_u8, 0..1_440_u32, lengths, dates(), 0..800_u64, 1..6_u8).prop_map(
        |(weekday, start, length, from, span, every_weeks)| {
            let at =
                |minute: u32| NaiveTime::from_num_seconds_from_midnight_opt(minute % 1_440 * 60, 0).unwrap();
            Entry {
                weekday: Weekday::try_from(weekday).unwrap(),
                starts: at(start),
                ends: at(start + length),
                room: None,
                from,
                until: Some(from + chrono::Days::new(span)),
                every_weeks,
            }
        },
    )
}

proptest! {
    /// The clock on the wall shows what the schedule says, unless no clock shows that time on that day.
    #[test]
    fn a_lesson_is_when_the_clock_says_so(entry in entries(), zone in zones()) {
        let days = entry.from..=entry.until.unwrap();
        let timetable = Timetable { entries: vec![entry.clone()], exceptions: vec![] };
        for lesson in timetable.lessons(&[], zone, days) {
            let local = lesson.place.date.and_time(entry.starts);
            let is_shown = local::shown(zone, lesson.starts_at) == local;
            prop_assert!(is_shown || chrono_tz::GapInfo::new(&local, &zone).is_some());
            prop_assert!(lesson.ends_at > lesson.starts_at);
            let length = local::length(&(entry.starts..entry.ends));
            let local = local + length;
            let is_shown = local::shown(zone, lesson.ends_at) == local;
            prop_assert!(is_shown || chrono_tz::GapInfo::new(&local, &zone).is_some() || lesson.ends_at - lesson.starts_at == length);
        }
    }

    /// The days are those that a loop over all of them finds.
    #[test]
    fn days_are_found_as_by_looking_at_each(entry in entries(), skip in 0..100_u64, length in 0..400_u64) {
        let days = entry.from + chrono::Days::new(skip)..=entry.from + chrono::Days::new(skip + length);
        let monday = entry.from.week(Weekday::Mon).first_day();
        let looked: Vec<_> = days.start().iter_days().take_while(|day| day <= days.end())
            .filter(|day| day.weekday() == entry.weekday && Some(*day) <= entry.until)
            .filter(|day| (*day - monday).num_weeks() % i64::from(entry.every_weeks) == 0)
            .collect();
        let timetable = Timetable { entries: vec![entry], exceptions: vec![] };
        let found: Vec<_> = timetable.lessons(&[], Tz::UTC, days).iter().map(|lesson| lesson.place.date).collect();
        prop_assert_eq!(found, looked);
    }

    /// Looking at two spans of days one after the other is looking at both at once.
    #[test]
    fn spans_of_days_add_up(entry in entries(), first in 0..300_u64, second in 1..300_u64, zone in zones()) {
        let from = entry.from;
        let (middle, to) = (from + chrono::Days::new(first), from + chrono::Days::new(first + second));
        let timetable = Timetable { entries: vec![entry], exceptions: vec![] };
        let mut parts = timetable.lessons(&[], zone, from..=middle);
        parts.extend(timetable.lessons(&[], zone, middle.succ_opt().unwrap()..=to));
        prop_assert_eq!(parts, timetable.lessons(&[], zone, from..=to));
    }

    /// A timetable that holds together never has two lessons of one slot, and no two regular ones at once.
    #[test]
    fn what_holds_together_does_not_clash(list in proptest::collection::vec(entries(), 1..4)) {
        let timetable = Timetable { entries: list, exceptions: vec![] };
        let from = timetable.entries.iter().map(|entry| entry.from).min().unwrap();
        let to = timetable.entries.iter().filter_map(|entry| entry.until).max().unwrap();
        let lessons = timetable.lessons(&[], Tz::UTC, from..=to);
        let clashes = lessons.windows(2).any(|pair| pair[1].starts_at < pair[0].ends_at);
        prop_assert_eq!(timetable.check().is_empty(), !clashes);
        let slots: BTreeSet<_> = lessons.iter().map(|lesson| lesson.slot).collect();
        prop_assert!(clashes || slots.len() == lessons.len());
    }
}
