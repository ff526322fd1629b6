//! Timetables as iCalendar files (RFC 5545): [`calendar`] writes lessons, [`read()`] makes a timetable of a file.

mod event;
mod read;
mod rule;

pub use read::{Import, LineError, ReadEvent, read};

use chrono::{DateTime, Utc};
use icalendar::{Calendar, Component, Event, EventLike, EventStatus, Property};

/// A lesson as a calendar shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The same for the same lesson, wherever it is moved to.
    pub uid: String,
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// When it ends.
    pub ends_at: DateTime<Utc>,
    /// What it is.
    pub summary: String,
    /// Where it is.
    pub location: Option<String>,
    /// Whether it was given up: it stays in the file, or calendars that know it would not forget it.
    pub is_cancelled: bool,
}

/// A text without what the library lets through and readers may take for the end of a line. It escapes line feeds.
fn clean(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() && letter != '\n' { ' ' } else { letter }).collect()
}

/// A calendar file of lessons, each at its instant: no reader needs to know about time zones to show it rightly.
pub fn calendar(name: &str, entries: &[Entry], written_at: DateTime<Utc>) -> String {
    let mut calendar = Calendar::new();
    calendar.append_property(Property::new("X-WR-CALNAME", clean(name)));
    for entry in entries {
        let mut event = Event::new();
        event.uid(&entry.uid).timestamp(written_at).starts(entry.starts_at).ends(entry.ends_at);
        event.summary(&clean(&entry.summary));
        if let Some(room) = &entry.location {
            event.location(&clean(room));
        }
        if entry.is_cancelled {
            event.status(EventStatus::Cancelled);
        }
        calendar.push(event.done());
    }
    calendar.done().to_string()
}
