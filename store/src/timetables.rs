//! Timetables and what teachers fill their schedules up with; holidays are in a file of their own. Written by the api; what becomes of the lessons is
//! in `lessons`.

mod holidays;

pub use holidays::{NamedHoliday, add_holiday, holidays, remove_holiday};

use crate::{StoreError, reports::NamedClass};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc, Weekday};
use rollcall_schemas::id::{ClassId, UserId};
use rollcall_timetable::{Change, Entry, Exception, Place, Slot, Timetable};
use sqlx::PgConnection;
use std::collections::HashMap;

/// The timetable of a class, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The schedule and its exceptions.
    pub timetable: Timetable,
    /// By whose clocks; the organisation's when absent.
    pub time_zone: Option<String>,
    /// Where lessons are that name no room.
    pub room: Option<String>,
    /// Counts the changes; 0 where there never was a timetable.
    pub revision: i64,
}

/// The timetables of these classes; those without one are left out.
///
/// # Errors
/// When the database does not answer.
pub async fn of_classes(
    conn: &mut PgConnection,
    classes: &[ClassId],
) -> Result<HashMap<ClassId, Kept>, StoreError> {
    let ids: Vec<_> = classes.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        "SELECT t.class_id, t.time_zone, t.revision, c.room FROM timetables t JOIN classes c ON c.id = t.class_id
         WHERE t.class_id = ANY($1)",
        &ids
    );
    let mut kept: HashMap<ClassId, Kept> = HashMap::new();
    for row in rows.fetch_all(&mut *conn).await? {
        let timetable = Timetable::default();
        let empty = Kept { timetable, time_zone: row.time_zone, room: row.room, revision: row.revision };
        kept.insert(row.class_id.into(), empty);
    }
    let entries = sqlx::query!(
        "SELECT class_id, weekday, starts, ends, room, valid_from, valid_until, every_weeks FROM timetable_entries
         WHERE class_id = ANY($1) ORDER BY class_id, position",
        &ids
    );
    for row in entries.fetch_all(&mut *conn).await? {
        let entry = Entry {
            weekday: weekday(row.weekday)?,
            starts: row.starts,
            ends: row.ends,
            room: row.room,
            from: row.valid_from,
            until: row.valid_until,
            every_weeks: u8::try_from(row.every_weeks).unwrap_or(u8::MAX),
        };
        kept.entry(row.class_id.into()).or_default().timetable.entries.push(entry);
    }
    let exceptions = sqlx::query!(
        "SELECT class_id, date, starts, change, to_date, to_starts, to_ends, to_room FROM timetable_exceptions
         WHERE class_id = ANY($1) ORDER BY class_id, date, starts",
        &ids
    );
    for row in exceptions.fetch_all(conn).await? {
        let place = match (row.to_date, row.to_starts, row.to_ends) {
            (Some(date), Some(starts), Some(ends)) => Some(Place { date, starts, ends, room: row.to_room }),
            _ => None,
        };
        let change = match (row.change.as_str(), place) {
            ("cancelled", _) => Change::Cancelled,
            ("moved", Some(place)) => Change::Moved(place),
            ("added", Some(place)) => Change::Added { ends: place.ends, room: place.room },
            (other, _) => return Err(StoreError::corrupt("timetable_exceptions", "change", other)),
        };
        let exception = Exception { slot: Slot { date: row.date, starts: row.starts }, change };
        kept.entry(row.class_id.into()).or_default().timetable.exceptions.push(exception);
    }
    Ok(kept)
}

/// The timetable of a class; an empty one where there never was one.
///
/// # Errors
/// When the database does not answer.
pub async fn of_class(conn: &mut PgConnection, class: ClassId) -> Result<Kept, StoreError> {
    Ok(of_classes(conn, &[class]).await?.remove(&class).unwrap_or_default())
}

fn weekday(number: i16) -> Result<Weekday, StoreError> {
    let day = u8::try_from(number - 1).ok().and_then(|day| Weekday::try_from(day).ok());
    day.ok_or_else(|| StoreError::corrupt("timetable_entries", "weekday", &number.to_string()))
}

/// Gives a class another timetable. Whoever changes the same one waits.
///
/// # Errors
/// [`StoreError::Unusable`] when a day is out of range, or when the database does not do it.
pub async fn replace(
    tx: &mut PgConnection,
    class: ClassId,
    (timetable, time_zone): (&Timetable, Option<&str>),
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO timetables (class_id, time_zone, revision, changed_at) VALUES ($1, $2, 1, $3)
         ON CONFLICT (class_id) DO UPDATE
             SET time_zone = EXCLUDED.time_zone, revision = timetables.revision + 1, changed_at = EXCLUDED.changed_at",
        class.0,
        time_zone,
        at
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("DELETE FROM timetable_entries WHERE class_id = $1", class.0).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM timetable_exceptions WHERE class_id = $1", class.0).execute(&mut *tx).await?;
    add_entries(tx, class, &timetable.entries).await?;
    add_exceptions(tx, class, &timetable.exceptions).await
}

async fn add_entries(tx: &mut PgConnection, class: ClassId, entries: &[Entry]) -> Result<(), StoreError> {
    let weekdays: Vec<i16> = entries.iter().map(|it| it.weekday.number_from_monday() as i16).collect();
    let starts: Vec<NaiveTime> = entries.iter().map(|it| it.starts).collect();
    let ends: Vec<NaiveTime> = entries.iter().map(|it| it.ends).collect();
    let rooms: Vec<Option<String>> = entries.iter().map(|it| it.room.clone()).collect();
    let from: Vec<NaiveDate> = entries.iter().map(|it| it.from).collect();
    let until: Vec<Option<NaiveDate>> = entries.iter().map(|it| it.until).collect();
    let every: Vec<i16> = entries.iter().map(|it| it.every_weeks.into()).collect();
    sqlx::query!(
        "INSERT INTO timetable_entries
             (class_id, position, weekday, starts, ends, room, valid_from, valid_until, every_weeks)
         SELECT $1, e.position, e.weekday, e.starts, e.ends, e.room, e.valid_from, e.valid_until, e.every_weeks
         FROM UNNEST($2::smallint[], $3::time[], $4::time[], $5::text[], $6::date[], $7::date[], $8::smallint[])
              WITH ORDINALITY AS e (weekday, starts, ends, room, valid_from, valid_until, every_weeks, position)",
        class.0,
        &weekdays,
        &starts,
        &ends,
        &rooms as &[Option<String>],
        &from,
        &until as &[Option<NaiveDate>],
        &every
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn add_exceptions(
    tx: &mut PgConnection,
    class: ClassId,
    exceptions: &[Exception],
) -> Result<(), StoreError> {
    let places: Vec<Option<Place>> = exceptions.iter().map(place).collect();
    let dates: Vec<NaiveDate> = exceptions.iter().map(|it| it.slot.date).collect();
    let starts: Vec<NaiveTime> = exceptions.iter().map(|it| it.slot.starts).collect();
    let changes: Vec<String> = exceptions.iter().map(|it| name(&it.change).to_owned()).collect();
    let to = |part: fn(&Place) -> NaiveTime| -> Vec<Option<NaiveTime>> {
        places.iter().map(|place| place.as_ref().map(part)).collect()
    };
    let to_dates: Vec<Option<NaiveDate>> = places.iter().map(|it| it.as_ref().map(|it| it.date)).collect();
    let rooms: Vec<Option<String>> =
        places.iter().map(|it| it.as_ref().and_then(|it| it.room.clone())).collect();
    sqlx::query!(
        "INSERT INTO timetable_exceptions (class_id, date, starts, change, to_date, to_starts, to_ends, to_room)
         SELECT $1, e.date, e.starts, e.change, e.to_date, e.to_starts, e.to_ends, e.to_room
         FROM UNNEST($2::date[], $3::time[], $4::text[], $5::date[], $6::time[], $7::time[], $8::text[])
              AS e (date, starts, change, to_date, to_starts, to_ends, to_room)",
        class.0,
        &dates,
        &starts,
        &changes,
        &to_dates as &[Option<NaiveDate>],
        &to(|place| place.starts) as &[Option<NaiveTime>],
        &to(|place| place.ends) as &[Option<NaiveTime>],
        &rooms as &[Option<String>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

fn name(change: &Change) -> &'static str {
    match change {
        Change::Cancelled => "cancelled",
        Change::Moved(_) => "moved",
        Change::Added { .. } => "added",
    }
}

/// Where the lesson of an exception takes place.
fn place(exception: &Exception) -> Option<Place> {
    let Slot { date, starts } = exception.slot;
    match &exception.change {
        Change::Cancelled => None,
        Change::Moved(place) => Some(place.clone()),
        Change::Added { ends, room } => Some(Place { date, starts, ends: *ends, room: room.clone() }),
    }
}

/// Says that the lessons of every timetable follow from something else now.
///
/// # Errors
/// When the database does not do it.
pub async fn touch_all(tx: &mut PgConnection, at: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query!("UPDATE timetables SET revision = revision + 1, changed_at = $1", at).execute(tx).await?;
    Ok(())
}

/// Says that the lessons of a class follow from something else now.
///
/// # Errors
/// When the database does not do it.
pub async fn touch(tx: &mut PgConnection, class: ClassId, at: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE timetables SET revision = revision + 1, changed_at = $2 WHERE class_id = $1",
        class.0,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What a teacher's schedules are filled up with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TeacherSettings {
    /// Where lessons are that name no room.
    pub default_room: Option<String>,
    /// How long lessons last that name no end, in minutes.
    pub lesson_minutes: Option<i32>,
}

/// The settings of a teacher; nothing where none were set.
///
/// # Errors
/// When the database does not answer.
pub async fn teacher_settings(
    conn: &mut PgConnection,
    teacher: UserId,
) -> Result<TeacherSettings, StoreError> {
    let row = sqlx::query_as!(
        TeacherSettings,
        "SELECT default_room, lesson_minutes FROM teacher_settings WHERE user_id = $1",
        teacher.0
    );
    Ok(row.fetch_optional(conn).await?.unwrap_or_default())
}

/// Sets the settings of a teacher.
///
/// # Errors
/// When the database does not do it.
pub async fn set_teacher_settings(
    tx: &mut PgConnection,
    teacher: UserId,
    settings: &TeacherSettings,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO teacher_settings (user_id, default_room, lesson_minutes, updated_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (user_id) DO UPDATE SET default_room = EXCLUDED.default_room,
             lesson_minutes = EXCLUDED.lesson_minutes, updated_at = EXCLUDED.updated_at",
        teacher.0,
        settings.default_room,
        settings.lesson_minutes,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives a person an address that calendar programs may read, instead of any earlier one.
///
/// # Errors
/// When the database does not do it.
pub async fn set_calendar_address(
    tx: &mut PgConnection,
    user: UserId,
    secret_sha256: &[u8],
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO calendar_addresses (user_id, secret_sha256, created_at) VALUES ($1, $2, $3)
         ON CONFLICT (user_id) DO UPDATE
             SET secret_sha256 = EXCLUDED.secret_sha256, created_at = EXCLUDED.created_at",
        user.0,
        secret_sha256,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes a person's address away. `false` when there is none.
///
/// # Errors
/// When the database does not do it.
pub async fn remove_calendar_address(tx: &mut PgConnection, user: UserId) -> Result<bool, StoreError> {
    let done = sqlx::query!("DELETE FROM calendar_addresses WHERE user_id = $1", user.0).execute(tx).await?;
    Ok(done.rows_affected() == 1)
}

/// Whose address it is.
///
/// # Errors
/// When the database does not answer.
pub async fn calendar_owner(
    conn: &mut PgConnection,
    secret_sha256: &[u8],
) -> Result<Option<UserId>, StoreError> {
    let owner =
        sqlx::query_scalar!("SELECT user_id FROM calendar_addresses WHERE secret_sha256 = $1", secret_sha256);
    Ok(owner.fetch_optional(conn).await?.map(UserId::from))
}

/// The classes that a student is in now, by name.
///
/// # Errors
/// When the database does not answer.
pub async fn classes_of_student(
    conn: &mut PgConnection,
    student: UserId,
) -> Result<Vec<NamedClass>, StoreError> {
    let rows = sqlx::query_as!(
        NamedClass,
        "SELECT c.id, c.code, c.name FROM enrolments e JOIN classes c ON c.id = e.class_id
         WHERE e.student_id = $1 AND e.valid_to IS NULL AND c.deleted_at IS NULL ORDER BY c.name, c.id",
        student.0
    );
    Ok(rows.fetch_all(conn).await?)
}
