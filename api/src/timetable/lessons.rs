//! Lessons as they are shown.

use super::{body::ClockTime, zone_of};
use crate::{error::ApiError, extract::Caller, state::Api};
use chrono::{DateTime, NaiveDate, Utc};
use rollcall_schemas::{
    id::{ClassId, UserId},
    role::Role,
};
use rollcall_store::{
    PgConnection,
    reports::{self, NamedClass},
    timetables,
};
use rollcall_timetable::{Holiday, Lesson, Origin, Tz};
use serde::Serialize;
use std::ops::RangeInclusive;
use utoipa::ToSchema;

/// A lesson of a class.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LessonBody {
    #[schema(value_type = Uuid)]
    class_id: ClassId,
    class_name: String,
    class_code: String,
    /// The day, by the clocks of the class.
    date: NaiveDate,
    /// By the clocks of the class.
    start_time: ClockTime,
    /// By the clocks of the class.
    end_time: ClockTime,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    room: Option<String>,
    origin: OriginName,
}

/// Why a lesson is where it is.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum OriginName {
    /// The schedule has it there.
    Regular,
    /// It was moved there.
    Moved,
    /// It was added.
    Added,
}

/// A lesson, and whose it is.
pub(super) struct Held {
    pub(super) class: NamedClass,
    pub(super) lesson: Lesson,
}

impl From<Held> for LessonBody {
    fn from(held: Held) -> Self {
        let Held { class, lesson } = held;
        Self {
            class_id: class.id,
            class_name: class.name,
            class_code: class.code,
            date: lesson.place.date,
            start_time: ClockTime(lesson.place.starts),
            end_time: ClockTime(lesson.place.ends),
            starts_at: lesson.starts_at,
            ends_at: lesson.ends_at,
            room: lesson.place.room,
            origin: match lesson.origin {
                Origin::Regular => OriginName::Regular,
                Origin::Moved => OriginName::Moved,
                Origin::Added => OriginName::Added,
            },
        }
    }
}

/// The classes whose timetable is somebody's own: those they teach, or are in; every class for the staff.
pub(super) async fn classes_of(
    db: &mut PgConnection,
    (user, role): (UserId, Role),
) -> Result<Vec<NamedClass>, ApiError> {
    Ok(match role {
        Role::Student => timetables::classes_of_student(db, user).await?,
        Role::Teacher => reports::classes(db, Some(user)).await?,
        Role::Admin | Role::Operator => reports::classes(db, None).await?,
    })
}

/// Whose the lessons of a caller are.
pub(super) fn whose(caller: &Caller) -> (UserId, Role) {
    (caller.id(), caller.role())
}

/// The lessons of these classes on these days, in order.
pub(super) async fn held(
    db: &mut PgConnection,
    classes: Vec<NamedClass>,
    days: RangeInclusive<NaiveDate>,
    of_organisation: Tz,
) -> Result<Vec<Held>, ApiError> {
    let ids: Vec<_> = classes.iter().map(|class| class.id).collect();
    let kept = timetables::of_classes(db, &ids).await?;
    let holidays = timetables::holidays(db, *days.start()).await?;
    let holidays: Vec<_> = holidays.iter().map(Holiday::from).collect();
    let mut held = Vec::new();
    for class in classes {
        let Some(kept) = kept.get(&class.id) else { continue };
        let zone = zone_of(kept.time_zone.as_deref(), of_organisation);
        let lessons = kept.timetable.lessons(&holidays, zone, days.clone());
        held.extend(lessons.into_iter().map(|lesson| Held { class: class.clone(), lesson }));
    }
    held.sort_by_key(|held| (held.lesson.starts_at, held.class.id));
    Ok(held)
}

/// The organisation's clocks now.
pub(super) fn today(api: &Api, zone: Tz) -> NaiveDate {
    rollcall_timetable::local::shown(zone, api.clock().now()).date()
}
