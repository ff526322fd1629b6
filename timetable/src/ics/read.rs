//! A calendar file, read event by event: what cannot be a lesson is reported with its line, and spoils nothing else.

use super::event::Event;
use crate::{Change, Exception, MAX_ENTRIES, MAX_EXCEPTIONS, Place, Slot, Timetable, local};
use chrono_tz::Tz;
use icalendar::parser::{read_components, unfold};
use std::collections::{BTreeMap, BTreeSet};

/// As many as make a timetable if each becomes one thing in it.
const MAX_EVENTS: usize = MAX_ENTRIES + MAX_EXCEPTIONS;
/// Components within components: an alarm within an event, and no more than a few.
const MAX_DEPTH: usize = 4;

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// What became of it.
    pub timetable: Timetable,
    /// Each event that was read.
    pub events: Vec<ReadEvent>,
    /// What could not be read, or does not hold together.
    pub errors: Vec<LineError>,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadEvent {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// What it is called.
    pub summary: String,
    /// How many entries of the schedule it became.
    pub entries: usize,
    /// How many exceptions.
    pub exceptions: usize,
}

/// What is wrong with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// Makes a timetable of a calendar file, by the clocks of `zone`: weekly rules become entries, single events and what
/// differs from the rules become exceptions. Times with other zones, and those in UTC, are taken over as the instants that
/// they are; what comes again must be by the clocks of `zone`.
pub fn read(text: &str, zone: Tz) -> Import {
    let mut import = Reading { zone, ..Reading::default() };
    let mut events = Vec::new();
    for (line, chunk) in chunks(text) {
        if events.len() + import.errors.len() >= MAX_EVENTS {
            let message = format!("a timetable is made of {MAX_EVENTS} events at most");
            import.errors.push(LineError { line, message });
            break;
        }
        match chunk.and_then(|chunk| event(&chunk, zone)) {
            Ok(event) => events.push((line, event)),
            Err(message) => import.errors.push(LineError { line, message }),
        }
    }
    if events.is_empty() && import.errors.is_empty() {
        let message = "the file holds no event (BEGIN:VEVENT)".into();
        import.errors.push(LineError { line: 1, message });
    }
    // What comes again first: other events say what is otherwise about it.
    let (changed, regular): (Vec<_>, Vec<_>) =
        events.into_iter().partition(|(_, event)| event.instead_of.is_some());
    for (line, event) in regular.iter().chain(&changed) {
        if import.is_full() {
            let message =
                format!("a timetable has {MAX_ENTRIES} entries and {MAX_EXCEPTIONS} exceptions at most");
            import.errors.push(LineError { line: *line, message });
            break;
        }
        import.take(*line, event);
    }
    import.finish()
}

/// Each event of a file as it stands there, with its line.
fn chunks(text: &str) -> Vec<(usize, Result<String, String>)> {
    let mut chunks = Vec::new();
    let mut open: Option<(usize, String, usize)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let word = line.trim_end().to_ascii_uppercase();
        match &mut open {
            None if word == "BEGIN:VEVENT" => open = Some((number, String::new(), 0)),
            None => continue,
            Some((_, _, depth)) => *depth += usize::from(word.starts_with("BEGIN:")),
        }
        let Some((first, chunk, depth)) = &mut open else { continue };
        chunk.push_str(line.trim_end_matches('\r'));
        chunk.push_str("\r\n");
        if word == "END:VEVENT" {
            let is_deep = *depth > MAX_DEPTH;
            let chunk = std::mem::take(chunk);
            let chunk = if is_deep { Err("the event holds too much else".into()) } else { Ok(chunk) };
            chunks.push((*first, chunk));
            open = None;
        }
    }
    chunks.extend(open.map(|(first, ..)| (first, Err("the event has no end (END:VEVENT)".into()))));
    chunks
}

fn event(chunk: &str, zone: Tz) -> Result<Event, String> {
    let unfolded = unfold(chunk);
    let unreadable = || "the event is not as RFC 5545 has it".to_owned();
    let components = read_components(&unfolded).map_err(|_| unreadable())?;
    Event::read(components.first().ok_or_else(unreadable)?, zone)
}

#[derive(Default)]
struct Reading {
    zone: Tz,
    timetable: Timetable,
    /// Where each entry and each exception came from.
    entry_lines: Vec<usize>,
    exception_lines: Vec<usize>,
    /// The lessons that come again, by the uid of their event.
    known: BTreeSet<String>,
    events: BTreeMap<usize, ReadEvent>,
    errors: Vec<LineError>,
}

impl Reading {
    /// Whether there is more already than a timetable may have.
    fn is_full(&self) -> bool {
        self.entry_lines.len() > MAX_ENTRIES || self.exception_lines.len() > MAX_EXCEPTIONS
    }

    fn take(&mut self, line: usize, event: &Event) {
        let before = (self.entry_lines.len(), self.exception_lines.len());
        if let Err(message) = self.add(line, event) {
            self.errors.push(LineError { line, message });
            return;
        }
        let read = ReadEvent {
            line,
            summary: event.summary.clone(),
            entries: self.entry_lines.len() - before.0,
            exceptions: self.exception_lines.len() - before.1,
        };
        self.events.insert(line, read);
    }

    fn add(&mut self, line: usize, event: &Event) -> Result<(), String> {
        match (event.instead_of, &event.rule) {
            (Some(slot), _) if self.known.contains(&event.uid) => {
                self.except(line, slot, if event.is_cancelled { Change::Cancelled } else { moved(event) });
            }
            (Some(_), _) => return Err("no event that comes again has this UID".into()),
            // Nothing of it takes place.
            (None, _) if event.is_cancelled => {}
            (None, Some(rule)) => {
                let zone = self.zone;
                let shown = |utc: chrono::NaiveDateTime| local::shown(zone, utc.and_utc());
                let entries = rule.entries(event.slot, (event.ends, event.room.as_deref()), shown);
                self.entry_lines.extend(entries.iter().map(|_| line));
                self.timetable.entries.extend(entries);
                self.known.insert(event.uid.clone());
                for slot in &event.excluded {
                    self.except(line, *slot, Change::Cancelled);
                }
                self.add_single(line, event, &event.added);
            }
            (None, None) => {
                let slots: Vec<_> = std::iter::once(&event.slot).chain(&event.added).copied().collect();
                let kept = slots.into_iter().filter(|slot| !event.excluded.contains(slot));
                self.add_single(line, event, &kept.collect::<Vec<_>>());
            }
        }
        Ok(())
    }

    /// Lessons of their own, each as long as the event.
    fn add_single(&mut self, line: usize, event: &Event, slots: &[Slot]) {
        let length = event.ends - event.slot.starts;
        for slot in slots {
            let ends = slot.starts.overflowing_add_signed(length).0;
            self.except(line, *slot, Change::Added { ends, room: event.room.clone() });
        }
    }

    fn except(&mut self, line: usize, slot: Slot, change: Change) {
        self.exception_lines.push(line);
        self.timetable.exceptions.push(Exception { slot, change });
    }

    fn finish(mut self) -> Import {
        for fault in self.timetable.check() {
            let number = fault.field.split(['[', ']']).nth(1).and_then(|number| number.parse::<usize>().ok());
            let lines =
                if fault.field.starts_with("entries") { &self.entry_lines } else { &self.exception_lines };
            let line = number.and_then(|number| lines.get(number)).copied().unwrap_or(1);
            self.errors.push(LineError { line, message: fault.message });
        }
        self.errors.sort_by_key(|error| error.line);
        Import { timetable: self.timetable, events: self.events.into_values().collect(), errors: self.errors }
    }
}

fn moved(event: &Event) -> Change {
    let Slot { date, starts } = event.slot;
    Change::Moved(Place { date, starts, ends: event.ends, room: event.room.clone() })
}
