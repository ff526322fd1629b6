//! Calendar files as other programs write them.

use super::{date, entry, time};
use crate::{
    Change, Exception, Place, Slot, Timetable, Tz,
    ics::{self, read},
};
use chrono::DateTime;

const VIENNA: Tz = Tz::Europe__Vienna;

fn file(events: &[&str]) -> String {
    let events: Vec<_> =
        events.iter().map(|event| format!("BEGIN:VEVENT\nUID:u1\n{event}\nEND:VEVENT")).collect();
    format!("BEGIN:VCALENDAR\nVERSION:2.0\n{}\nEND:VCALENDAR\n", events.join("\n"))
}

fn slot(day: &str, clock: &str) -> Slot {
    Slot { date: date(day), starts: time(clock) }
}

const NINE: &str = "DTSTART;TZID=Europe/Vienna:20260601T090000\nDTEND;TZID=Europe/Vienna:20260601T094500";

#[test]
fn weekly_rules_become_entries() {
    let table: &[(&str, &[&str])] = &[
        ("RRULE:FREQ=WEEKLY", &["Mon 09:00-09:45 from 2026-06-01"]),
        ("RRULE:FREQ=WEEKLY;INTERVAL=2;WKST=MO", &["Mon 09:00-09:45 from 2026-06-01 every 2"]),
        (
            "RRULE:FREQ=WEEKLY;BYDAY=FR,MO",
            &["Mon 09:00-09:45 from 2026-06-01", "Fri 09:00-09:45 from 2026-06-01"],
        ),
        ("RRULE:FREQ=WEEKLY;COUNT=3", &["Mon 09:00-09:45 from 2026-06-01 until 2026-06-15"]),
        // Monday, Friday, Monday.
        (
            "RRULE:FREQ=WEEKLY;COUNT=3;BYDAY=MO,FR",
            &[
                "Mon 09:00-09:45 from 2026-06-01 until 2026-06-08",
                "Fri 09:00-09:45 from 2026-06-01 until 2026-06-08",
            ],
        ),
        (
            "RRULE:FREQ=WEEKLY;COUNT=2;INTERVAL=3",
            &["Mon 09:00-09:45 from 2026-06-01 until 2026-06-22 every 3"],
        ),
        ("RRULE:FREQ=WEEKLY;UNTIL=20260615", &["Mon 09:00-09:45 from 2026-06-01 until 2026-06-15"]),
        // Seven in the morning in UTC is nine in Vienna: a second earlier, and the lesson is no longer in it.
        ("RRULE:FREQ=WEEKLY;UNTIL=20260615T070000Z", &["Mon 09:00-09:45 from 2026-06-01 until 2026-06-15"]),
        ("RRULE:FREQ=WEEKLY;UNTIL=20260615T065959Z", &["Mon 09:00-09:45 from 2026-06-01 until 2026-06-14"]),
        ("RRULE:FREQ=WEEKLY;UNTIL=20260615T090000", &["Mon 09:00-09:45 from 2026-06-01 until 2026-06-15"]),
        ("RRULE:FREQ=WEEKLY\nLOCATION:Lab\\, 2", &["Mon 09:00-09:45 from 2026-06-01 in Lab,_2"]),
    ];
    for (rule, entries) in table {
        let import = read(&file(&[&format!("{NINE}\n{rule}")]), VIENNA);
        let mut wanted: Vec<_> = entries.iter().map(|text| entry(text)).collect();
        for entry in &mut wanted {
            entry.room = entry.room.take().map(|room| room.replace('_', " "));
        }
        assert_eq!((&import.timetable.entries, &import.errors), (&wanted, &vec![]), "{rule}");
    }
}

#[test]
fn what_differs_becomes_an_exception() {
    let weekly =
        format!("{NINE}\nRRULE:FREQ=WEEKLY\nEXDATE;TZID=Europe/Vienna:20260608T090000,20260615T090000");
    let moved = "RECURRENCE-ID;TZID=Europe/Vienna:20260622T090000\nDTSTART;TZID=Europe/Vienna:20260623T100000\nDURATION:PT1H30M\nLOCATION:Hall";
    let cancelled =
        "RECURRENCE-ID:20260629T070000Z\nDTSTART:20260629T070000Z\nDTEND:20260629T074500Z\nSTATUS:CANCELLED";
    let import = read(&file(&[cancelled, moved, &weekly]), VIENNA);
    assert_eq!(import.errors, []);
    assert_eq!(import.timetable.entries, [entry("Mon 09:00-09:45 from 2026-06-01")]);
    let to = Place {
        date: date("2026-06-23"),
        starts: time("10:00"),
        ends: time("11:30"),
        room: Some("Hall".into()),
    };
    let wanted = [
        (slot("2026-06-08", "09:00"), Change::Cancelled),
        (slot("2026-06-15", "09:00"), Change::Cancelled),
        (slot("2026-06-29", "09:00"), Change::Cancelled),
        (slot("2026-06-22", "09:00"), Change::Moved(to)),
    ];
    let wanted: Vec<_> = wanted.into_iter().map(|(slot, change)| Exception { slot, change }).collect();
    assert_eq!(import.timetable.exceptions, wanted);
    let told: Vec<_> =
        import.events.iter().map(|event| (event.line, event.entries, event.exceptions)).collect();
    assert_eq!(told, [(3, 0, 1), (10, 0, 1), (17, 1, 2)]);
}

#[test]
fn single_events_are_taken_over_as_the_instants_they_are() {
    for times in [
        "DTSTART:20260601T070000Z\nDTEND:20260601T074500Z",
        "DTSTART;TZID=America/New_York:20260601T030000\nDTEND;TZID=America/New_York:20260601T034500",
        "DTSTART:20260601T090000\nDURATION:PT45M",
        NINE,
    ] {
        let import = read(&file(&[times]), VIENNA);
        let change = Change::Added { ends: time("09:45"), room: None };
        let wanted = vec![Exception { slot: slot("2026-06-01", "09:00"), change }];
        assert_eq!((import.timetable.exceptions, import.errors), (wanted, vec![]), "{times}");
    }
}

#[test]
fn a_name_begins_no_line_of_its_own() {
    let entry = ics::Entry {
        uid: "1".into(),
        starts_at: DateTime::UNIX_EPOCH,
        ends_at: DateTime::UNIX_EPOCH,
        summary: "a\rBEGIN:VALARM".into(),
        location: Some("b\u{85}c".into()),
        is_cancelled: false,
    };
    let text = ics::calendar("X; Y, Z\r\nBEGIN:VEVENT", &[entry], DateTime::UNIX_EPOCH);
    assert!(text.contains("X-WR-CALNAME:X\\; Y\\, Z \\nBEGIN:VEVENT\r\n"), "{text}");
    assert_eq!(text.split("\r\n").filter(|line| line.starts_with("BEGIN:")).count(), 2, "{text}");
    let only_ends = text.replace("\r\n", "");
    assert!(!only_ends.contains(['\r', '\n', '\u{85}']), "{text}");
}

#[test]
fn more_than_a_timetable_holds_is_refused_before_it_takes_time() {
    let weekly =
        "DTSTART:20260601T090000\nDURATION:PT1M\nRRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;COUNT=2000";
    let single = "DTSTART:20260601T090000\nDURATION:PT1M";
    for (event, count, wanted) in [
        (weekly, 20, "a timetable has 100 entries and 1000 exceptions at most"),
        (single, 1_101, "a timetable is made of 1100 events at most"),
        (single, 1_001, "a timetable has 1000 exceptions at most"),
    ] {
        let import = read(&file(&vec![event; count]), VIENNA);
        assert!(
            import.errors.iter().any(|error| error.message == wanted),
            "{wanted}: {:?}",
            import.errors.first()
        );
    }
    let long = format!("{single}\nLOCATION:{}", "x".repeat(101));
    assert_eq!(read(&file(&[&long]), VIENNA).errors[0].message, "must be 100 characters at most");
}

#[test]
fn a_night_is_read_as_it_is_written() {
    let rule = "DTSTART:20260601T220000\nDTEND:20260602T060000\nRRULE:FREQ=WEEKLY;COUNT=2";
    let single = "DTSTART:20260604T230000\nDURATION:PT3H\nRDATE:20260605T200000";
    let import = read(&file(&[rule, single]), VIENNA);
    assert_eq!(import.errors, []);
    let days = date("2026-06-01")..=date("2026-06-30");
    let lessons = import.timetable.lessons(&[], VIENNA, days);
    let told: Vec<_> = lessons
        .iter()
        .map(|lesson| {
            format!("{}-{}", lesson.starts_at.format("%d %H:%M"), lesson.ends_at.format("%d %H:%M"))
        })
        .collect();
    let wanted = ["01 20:00-02 04:00", "04 21:00-05 00:00", "05 18:00-05 21:00", "08 20:00-09 04:00"];
    assert_eq!(told, wanted);
}

#[test]
fn what_cannot_be_a_lesson_is_reported_with_its_line_and_the_rest_is_read() {
    let table = [
        ("DTEND:20260601T100000", "DTSTART"),
        ("DTSTART:20260601T090000", "DTEND"),
        ("DTSTART;VALUE=DATE:20260601\nDTEND;VALUE=DATE:20260602", "whole day"),
        ("DTSTART:20260601T090000\nDTEND:20260601T090000", "after the start"),
        ("DTSTART:20260601T230000\nDTEND:20260602T120000", "past midnight"),
        ("DTSTART:20260601T230000\nDTEND:20260603T010000", "past midnight"),
        ("DTSTART:20260601T090000\nDTEND:20260602T090000", "past midnight"),
        ("DTSTART:20260601T090000\nDURATION:PT", "no duration"),
        ("DTSTART:20260601T090000\nDURATION:PT99999999999999999999H", "no duration"),
        ("DTSTART:tomorrow\nDTEND:later", "no time"),
        ("DTSTART;TZID=Wonderland:20260601T090000\nDURATION:PT1H", "Wonderland"),
        ("DTSTART:20260601T070000Z\nDURATION:PT1H\nRRULE:FREQ=WEEKLY", "by the clocks of"),
        ("DTSTART;TZID=Asia/Tokyo:20260601T090000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY", "by the clocks of"),
        ("DTSTART:20260601T090000\nDURATION:PT1H\nRRULE:FREQ=MONTHLY", "FREQ=WEEKLY"),
        ("DTSTART:20260601T090000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;BYDAY=1MO", "BYDAY"),
        ("DTSTART:20260601T090000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;BYSETPOS=1", "BYSETPOS"),
        ("DTSTART:20260601T090000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;INTERVAL=0", "INTERVAL"),
        ("DTSTART:20260601T090000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;COUNT=99999999", "COUNT"),
        ("DTSTART:20260601T090000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;INTERVAL=2;WKST=SU", "WKST"),
        (
            "UID:1\nRECURRENCE-ID;RANGE=THISANDFUTURE:20260601T090000\nDTSTART:20260601T100000\nDURATION:PT1H",
            "RANGE",
        ),
        ("RECURRENCE-ID:20260601T090000\nDTSTART:20260601T090000\nDURATION:PT1H", "UID"),
        ("this is no property", "RFC 5545"),
    ];
    let good = "DTSTART:20260603T090000\nDURATION:PT1H";
    for (bad, reason) in table {
        let import = read(&file(&[bad, good]), VIENNA);
        let [error] = &import.errors[..] else { panic!("{bad}: {:?}", import.errors) };
        assert!(error.line == 3 && error.message.contains(reason), "{bad}: {error:?}");
        assert_eq!((import.events.len(), import.timetable.exceptions.len()), (1, 1), "{bad}");
    }
}

#[test]
fn what_does_not_hold_together_is_reported_with_its_line() {
    let weekly = format!("{NINE}\nRRULE:FREQ=WEEKLY");
    let import = read(&file(&[&weekly, &weekly]), VIENNA);
    assert_eq!(import.errors.iter().map(|error| error.line).collect::<Vec<_>>(), [9]);
    let stray = format!("{weekly}\nEXDATE:20260602T090000");
    let import = read(&file(&[&stray]), VIENNA);
    assert_eq!(import.errors.iter().map(|error| error.line).collect::<Vec<_>>(), [3]);
}

#[test]
fn what_is_no_calendar_is_an_error_and_never_a_crash() {
    let deep = format!("BEGIN:VEVENT\n{}END:VEVENT\n", "BEGIN:X\n".repeat(100_000));
    for text in ["", "hello", "BEGIN:VEVENT", "BEGIN:VEVENT\nBEGIN:VEVENT\nEND:VEVENT", &deep] {
        let import = read(text, VIENNA);
        assert!(!import.errors.is_empty() && import.timetable == Timetable::default());
    }
}

#[test]
fn a_written_file_reads_as_the_lessons_it_was_written_from() {
    let timetable = Timetable {
        entries: vec![entry("Sun 09:00-09:45 from 2026-03-22 until 2026-04-05 in Lab")],
        exceptions: vec![],
    };
    let days = date("2026-03-01")..=date("2026-04-30");
    let lessons = timetable.lessons(&[], VIENNA, days.clone());
    let entries: Vec<_> = lessons
        .iter()
        .map(|lesson| ics::Entry {
            uid: lesson.slot.date.to_string(),
            starts_at: lesson.starts_at,
            ends_at: lesson.ends_at,
            summary: "Algebra; groups, rings\nand fields".into(),
            location: lesson.place.room.clone(),
            is_cancelled: false,
        })
        .collect();
    let text = ics::calendar("Algebra", &entries, DateTime::UNIX_EPOCH);
    assert!(text.contains("DTSTART:20260329T070000Z") && text.contains("DTSTAMP:19700101T000000Z"), "{text}");
    let import = read(&text, VIENNA);
    assert_eq!((import.errors.len(), &import.events[0].summary), (0, &entries[0].summary));
    let again = import.timetable.lessons(&[], VIENNA, days);
    let spans = |lessons: &[crate::Lesson]| {
        lessons.iter().map(|it| (it.starts_at, it.ends_at, it.place.room.clone())).collect::<Vec<_>>()
    };
    assert_eq!(spans(&again), spans(&lessons));
}
