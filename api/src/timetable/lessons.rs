//! Lessons as they are shown: with the session that each is, or with what is in its way.

use super::{body::ClockTime, zone_of};
use crate::{error::ApiError, extract::Caller, state::Api};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rollcall_schemas::{
    fact::SessionState,
    id::{ClassId, SessionId, UserId},
    role::Role,
};
use rollcall_store::{
    PgConnection,
    lessons::{self, LessonState, ShownLesson},
    reports::{self, NamedClass},
    timetables,
};
use rollcall_timetable::{Holiday, Lesson, Origin, Slot, Tz};
use serde::Serialize;
use std::{collections::HashMap, ops::RangeInclusive};
use utoipa::ToSchema;

/// How far ahead warnings are shown.
const WARNED_AHEAD: TimeDelta = TimeDelta::days(366);

/// A lesson of which no session was made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Warning {
    #[schema(value_type = Uuid)]
    class_id: ClassId,
    /// The day on which the schedule has the lesson.
    date: NaiveDate,
    start_time: ClockTime,
    /// Why there is none.
    message: String,
    /// The session that is in the way.
    #[schema(value_type = Uuid)]
    in_the_way: SessionId,
}

/// What is in the way of a lesson that became no session.
fn warning(lesson: &ShownLesson) -> Option<Warning> {
    let LessonState::Withheld(in_the_way) = lesson.state else { return None };
    let (class, starts_at, ends_at) = lesson.in_the_way.as_ref()?;
    Some(Warning {
        class_id: lesson.class_id,
        date: lesson.slot.date,
        start_time: ClockTime(lesson.slot.starts),
        message: format!(
            "no session was made: {class} has one in the same room or class from {} to {}",
            starts_at.format("%F %H:%MZ"),
            ends_at.format("%H:%MZ")
        ),
        in_the_way,
    })
}

/// What is in the way of the lessons of these classes, from now on.
pub(super) async fn warnings(
    db: &mut PgConnection,
    classes: &[ClassId],
    now: DateTime<Utc>,
) -> Result<Vec<Warning>, ApiError> {
    let mut shown = lessons::shown(db, classes, (now, now + WARNED_AHEAD)).await?;
    shown.sort_by_key(|lesson| (lesson.slot, lesson.class_id));
    Ok(shown.iter().filter_map(warning).collect())
}

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
    /// The session that was made of it; null while none is.
    #[schema(value_type = Option<Uuid>)]
    session_id: Option<SessionId>,
    /// Where that session stands.
    session_status: Option<SessionState>,
    /// Why there is none, for those who teach it.
    warning: Option<String>,
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

/// A lesson, whose it is, and what became of it.
pub(super) struct Held {
    pub(super) class: NamedClass,
    pub(super) lesson: Lesson,
    pub(super) shown: Option<ShownLesson>,
}

impl Held {
    /// As the caller may see it.
    pub(super) fn body(self, role: Role) -> LessonBody {
        let Self { class, lesson, shown } = self;
        let session = shown.as_ref().and_then(|shown| Some((shown.session_id, shown.session_state?)));
        let warning = shown.as_ref().filter(|_| role != Role::Student).and_then(warning);
        LessonBody {
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
            session_id: session.map(|(id, _)| id),
            session_status: session.map(|(_, state)| state),
            warning: warning.map(|warning| warning.message),
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
        held.extend(lessons.into_iter().map(|lesson| Held { class: class.clone(), lesson, shown: None }));
    }
    held.sort_by_key(|held| (held.lesson.starts_at, held.class.id));
    let (Some(first), Some(last)) = (held.first(), held.last()) else { return Ok(held) };
    let span = (first.lesson.starts_at - TimeDelta::days(1), last.lesson.starts_at + TimeDelta::days(1));
    let shown = lessons::shown(db, &ids, span).await?.into_iter();
    let mut shown: HashMap<(ClassId, Slot), ShownLesson> =
        shown.map(|lesson| ((lesson.class_id, lesson.slot), lesson)).collect();
    for held in &mut held {
        held.shown = shown.remove(&(held.class.id, held.lesson.slot));
    }
    Ok(held)
}

/// The organisation's clocks now.
pub(super) fn today(api: &Api, zone: Tz) -> NaiveDate {
    rollcall_timetable::local::shown(zone, api.clock().now()).date()
}
