//! A timetable as it is sent and shown.

use chrono::{NaiveDate, NaiveTime, Weekday};
use garde::Validate;
use rollcall_schemas::id::ClassId;
use rollcall_service::http::Problem;
use rollcall_store::timetables::{Kept, TeacherSettings};
use rollcall_timetable::{
    Change, Entry, Exception, MAX_ENTRIES, MAX_EXCEPTIONS, MAX_ROOM, Place, Slot, Timetable, Tz,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// A time as a clock shows it: `09:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockTime(pub(crate) NaiveTime);

impl Serialize for ClockTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.format("%H:%M"))
    }
}

impl<'de> Deserialize<'de> for ClockTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = (text.len() == 5).then(|| NaiveTime::parse_from_str(&text, "%H:%M").ok()).flatten();
        time.map(Self).ok_or_else(|| de::Error::custom("must be a time of the day, such as 09:00"))
    }
}

impl PartialSchema for ClockTime {
    fn schema() -> RefOr<Schema> {
        let schema =
            ObjectBuilder::new().schema_type(Type::String).pattern(Some("^([01][0-9]|2[0-3]):[0-5][0-9]$"));
        schema.examples(["09:00"]).build().into()
    }
}

impl ToSchema for ClockTime {}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

const DAYS: [(Day, Weekday); 7] = [
    (Day::Monday, Weekday::Mon),
    (Day::Tuesday, Weekday::Tue),
    (Day::Wednesday, Weekday::Wed),
    (Day::Thursday, Weekday::Thu),
    (Day::Friday, Weekday::Fri),
    (Day::Saturday, Weekday::Sat),
    (Day::Sunday, Weekday::Sun),
];

/// A lesson that comes again.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EntryBody {
    #[garde(skip)]
    weekday: Day,
    /// By the clock.
    #[garde(skip)]
    start_time: ClockTime,
    /// By the clock; on the next day if it is before the start, and then no more than 12 hours later. As long after the start
    /// as the teacher's settings say when absent.
    #[garde(skip)]
    end_time: Option<ClockTime>,
    /// Where; the room of the teacher's settings, or else of the class, when absent.
    #[garde(length(chars, min = 1, max = MAX_ROOM))]
    room: Option<String>,
    /// From this day on.
    #[garde(skip)]
    from: NaiveDate,
    /// Until this day, which is included; for good when absent.
    #[garde(skip)]
    until: Option<NaiveDate>,
    /// Every so many weeks, counted from the week of `from`, which begins on Monday.
    #[garde(range(min = 1, max = 52))]
    #[serde(default = "every_week")]
    #[schema(minimum = 1, maximum = 52, default = 1)]
    every_weeks: u8,
}

fn every_week() -> u8 {
    1
}

/// How a lesson differs from the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ChangeKind {
    /// It does not take place.
    Cancelled,
    /// It takes place at `toDate`, `toStartTime`, `toEndTime`, and in `room`.
    Moved,
    /// It takes place although the schedule does not have it, until `endTime`, and in `room`.
    Added,
}

/// What is otherwise on one day.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ExceptionBody {
    /// The day on which the schedule has the lesson, or on which one is added.
    #[garde(skip)]
    date: NaiveDate,
    /// When the lesson begins by the schedule, or the added one does.
    #[garde(skip)]
    start_time: ClockTime,
    #[garde(skip)]
    change: ChangeKind,
    /// Of an added lesson; as long after the start as the teacher's settings say when absent.
    #[garde(skip)]
    end_time: Option<ClockTime>,
    /// Of a moved lesson.
    #[garde(skip)]
    to_date: Option<NaiveDate>,
    /// Of a moved lesson.
    #[garde(skip)]
    to_start_time: Option<ClockTime>,
    /// Of a moved lesson.
    #[garde(skip)]
    to_end_time: Option<ClockTime>,
    /// Where it takes place.
    #[garde(length(chars, min = 1, max = MAX_ROOM))]
    room: Option<String>,
}

/// The timetable of a class, as it is to be.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "entries": [{ "weekday": "monday", "startTime": "09:00", "endTime": "09:45", "room": "Lab 2", "from": "2026-09-07", "until": "2027-06-30", "everyWeeks": 1 }],
    "exceptions": [{ "date": "2026-09-14", "startTime": "09:00", "change": "cancelled" }]
}))]
pub(crate) struct NewTimetable {
    /// What comes again.
    #[garde(length(max = MAX_ENTRIES), dive)]
    #[schema(max_items = 100)]
    pub(super) entries: Vec<EntryBody>,
    /// What is otherwise on single days.
    #[garde(length(max = MAX_EXCEPTIONS), dive)]
    #[serde(default)]
    #[schema(max_items = 1000)]
    pub(super) exceptions: Vec<ExceptionBody>,
    /// By whose clocks, as the IANA database names them; the organisation's when absent.
    #[garde(length(max = 64))]
    pub(super) time_zone: Option<String>,
}

impl NewTimetable {
    /// The timetable, filled up with what its teacher set. `path` is where it stands in the body.
    ///
    /// # Errors
    /// With each field that is missing or does not go with the others.
    pub(super) fn read(&self, defaults: &TeacherSettings, path: &str) -> Result<Timetable, Problem> {
        let mut missing = Missing { defaults, path, fields: Vec::new() };
        if self.time_zone.as_ref().is_some_and(|zone| zone.parse::<Tz>().is_err()) {
            missing.add("timeZone".into(), "must be a time zone, such as Europe/Vienna");
        }
        let entries =
            self.entries.iter().enumerate().map(|(number, entry)| missing.entry(number, entry)).collect();
        let exceptions = self.exceptions.iter().enumerate();
        let exceptions = exceptions.filter_map(|(number, it)| missing.exception(number, it)).collect();
        let timetable = Timetable { entries, exceptions };
        if missing.fields.is_empty() {
            let faults = timetable.check().into_iter();
            missing.fields.extend(faults.map(|fault| (format!("{path}{}", fault.field), fault.message)));
        }
        if missing.fields.is_empty() { Ok(timetable) } else { Err(Problem::validation(missing.fields)) }
    }
}

/// What is needed and not there.
struct Missing<'a> {
    defaults: &'a TeacherSettings,
    path: &'a str,
    fields: Vec<(String, String)>,
}

impl Missing<'_> {
    fn add(&mut self, field: String, message: &str) {
        self.fields.push((format!("{}{field}", self.path), message.to_owned()));
    }

    fn room(&self, room: &Option<String>) -> Option<String> {
        room.clone().or_else(|| self.defaults.default_room.clone())
    }

    fn end(&mut self, field: String, start: ClockTime, end: Option<ClockTime>) -> NaiveTime {
        let minutes = self.defaults.lesson_minutes.unwrap_or_default();
        match end {
            Some(end) => end.0,
            None if minutes > 0 => {
                start.0.overflowing_add_signed(chrono::TimeDelta::minutes(minutes.into())).0
            }
            None => {
                self.add(field, "is needed, or lessonMinutes in the settings");
                start.0
            }
        }
    }

    fn entry(&mut self, number: usize, entry: &EntryBody) -> Entry {
        let weekday = DAYS.into_iter().find(|(day, _)| *day == entry.weekday).map(|(_, weekday)| weekday);
        Entry {
            weekday: weekday.expect("the table has every day"),
            starts: entry.start_time.0,
            ends: self.end(format!("entries[{number}].endTime"), entry.start_time, entry.end_time),
            room: self.room(&entry.room),
            from: entry.from,
            until: entry.until,
            every_weeks: entry.every_weeks,
        }
    }

    fn exception(&mut self, number: usize, body: &ExceptionBody) -> Option<Exception> {
        let field = |name: &str| format!("exceptions[{number}].{name}");
        let change = match body.change {
            ChangeKind::Cancelled => Change::Cancelled,
            ChangeKind::Added => Change::Added {
                ends: self.end(field("endTime"), body.start_time, body.end_time),
                room: self.room(&body.room),
            },
            ChangeKind::Moved => {
                let (Some(date), Some(starts), Some(ends)) =
                    (body.to_date, body.to_start_time, body.to_end_time)
                else {
                    self.add(field("change"), "moved needs toDate, toStartTime and toEndTime");
                    return None;
                };
                Change::Moved(Place { date, starts: starts.0, ends: ends.0, room: self.room(&body.room) })
            }
        };
        Some(Exception { slot: Slot { date: body.date, starts: body.start_time.0 }, change })
    }
}

impl From<&Entry> for EntryBody {
    fn from(entry: &Entry) -> Self {
        let day = DAYS.into_iter().find(|(_, weekday)| *weekday == entry.weekday).map(|(day, _)| day);
        Self {
            weekday: day.expect("the table has every day"),
            start_time: ClockTime(entry.starts),
            end_time: Some(ClockTime(entry.ends)),
            room: entry.room.clone(),
            from: entry.from,
            until: entry.until,
            every_weeks: entry.every_weeks,
        }
    }
}

impl From<&Exception> for ExceptionBody {
    fn from(exception: &Exception) -> Self {
        let mut body = Self {
            date: exception.slot.date,
            start_time: ClockTime(exception.slot.starts),
            change: ChangeKind::Cancelled,
            end_time: None,
            to_date: None,
            to_start_time: None,
            to_end_time: None,
            room: None,
        };
        match &exception.change {
            Change::Cancelled => {}
            Change::Moved(place) => {
                body.change = ChangeKind::Moved;
                (body.to_date, body.room) = (Some(place.date), place.room.clone());
                body.to_start_time = Some(ClockTime(place.starts));
                body.to_end_time = Some(ClockTime(place.ends));
            }
            Change::Added { ends, room } => {
                body.change = ChangeKind::Added;
                (body.end_time, body.room) = (Some(ClockTime(*ends)), room.clone());
            }
        }
        body
    }
}

/// The timetable of a class.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TimetableBody {
    #[schema(value_type = Uuid)]
    class_id: ClassId,
    /// By whose clocks: the class's own, or the organisation's.
    time_zone: String,
    entries: Vec<EntryBody>,
    exceptions: Vec<ExceptionBody>,
    /// Counts its changes; 0 where there never was a timetable.
    revision: i64,
}

impl TimetableBody {
    pub(super) fn new(class_id: ClassId, kept: &Kept, of_organisation: &str) -> Self {
        Self {
            class_id,
            time_zone: kept.time_zone.clone().unwrap_or_else(|| of_organisation.to_owned()),
            entries: kept.timetable.entries.iter().map(EntryBody::from).collect(),
            exceptions: kept.timetable.exceptions.iter().map(ExceptionBody::from).collect(),
            revision: kept.revision,
        }
    }
}
