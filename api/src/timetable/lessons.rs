//! Lessons as they are shown: with the session that each is, or with what is in its way.

use super::{body::ClockTime, zone_of};
use crate::{error::ApiError, extract::Caller, state::Api};
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use rollcall_schemas::{
    fact::SessionState,
    id::{ClassId, SessionId, UserId},
    role::Role,
};
use rollcall_store::{
    PgConnection,
    lessons::{self, HeldSession, LessonPlan, LessonState, ShownLesson},
    reports::{self, NamedClass},
    timetables::{self, Kept},
};
use rollcall_timetable::{
    Holiday, Lesson, Origin, Place, Slot, Tz,
    local::{instant, shown},
};
use serde::Serialize;
use std::{collections::HashMap, ops::RangeInclusive};
use utoipa::ToSchema;

/// How far ahead warnings are shown.
const WARNED_AHEAD: TimeDelta = TimeDelta::days(366);
const A_DAY: Days = Days::new(1);

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
fn warning(lesson: &ShownLesson, zone: Tz) -> Option<Warning> {
    let LessonState::Withheld(in_the_way) = lesson.state else { return None };
    let (class, starts_at, ends_at) = lesson.in_the_way.as_ref()?;
    let (starts, ends) = (shown(zone, *starts_at), shown(zone, *ends_at));
    Some(Warning {
        class_id: lesson.class_id,
        date: lesson.slot.date,
        start_time: ClockTime(lesson.slot.starts),
        message: format!(
            "no session was made: {class} has one in the same room or class from {} to {}",
            starts.format("%F %H:%M"),
            ends.format("%H:%M")
        ),
        in_the_way,
    })
}

/// What is in the way of the lessons of these classes, from now on, by the clocks of `zone`.
pub(super) async fn warnings(
    db: &mut PgConnection,
    classes: &[ClassId],
    (now, zone): (DateTime<Utc>, Tz),
) -> Result<Vec<Warning>, ApiError> {
    let mut shown = lessons::shown(db, classes, (now, now + WARNED_AHEAD)).await?;
    shown.sort_by_key(|lesson| (lesson.slot, lesson.class_id));
    Ok(shown.iter().filter_map(|lesson| warning(lesson, zone)).collect())
}

/// A lesson of a class, where its session takes place, or a session that was made by hand.
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
#[derive(Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum OriginName {
    /// The schedule has it there.
    Regular,
    /// It was moved there, by the timetable or by hand.
    Moved,
    /// It was added.
    Added,
    /// No timetable has it: it is a session that was made by hand.
    Manual,
}

impl From<Origin> for OriginName {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Regular => Self::Regular,
            Origin::Moved => Self::Moved,
            Origin::Added => Self::Added,
        }
    }
}

/// A lesson, whose it is, and what became of it.
pub(super) struct Held {
    pub(super) class: NamedClass,
    /// What it is known by, wherever it is moved to.
    pub(super) uid: String,
    pub(super) place: Place,
    pub(super) starts_at: DateTime<Utc>,
    pub(super) ends_at: DateTime<Utc>,
    origin: OriginName,
    session: Option<(SessionId, SessionState)>,
    warning: Option<Warning>,
}

impl Held {
    /// A lesson of which there is no session that takes place.
    fn lesson(class: NamedClass, lesson: Lesson, (shown, zone): (Option<&ShownLesson>, Tz)) -> Self {
        let Lesson { slot, place, starts_at, ends_at, origin } = lesson;
        Self {
            uid: uid_of(class.id, slot),
            class,
            place,
            starts_at,
            ends_at,
            origin: origin.into(),
            session: shown.and_then(|shown| Some((shown.session_id, shown.session_state?))),
            warning: shown.and_then(|shown| warning(shown, zone)),
        }
    }

    /// A session, which may be the one of this lesson.
    fn session(class: NamedClass, session: HeldSession, lesson: Option<&Lesson>, zone: Tz) -> Self {
        let HeldSession { session_id, slot, state, plan, .. } = session;
        let LessonPlan { starts_at, ends_at, room } = plan;
        let (starts, ends) = (shown(zone, starts_at), shown(zone, ends_at));
        let origin = match (slot, lesson) {
            (None, _) => OriginName::Manual,
            (Some(_), Some(lesson)) if (lesson.starts_at, lesson.ends_at) == (starts_at, ends_at) => {
                lesson.origin.into()
            }
            (Some(_), _) => OriginName::Moved,
        };
        Self {
            uid: slot.map_or_else(|| format!("{session_id}@rollcall"), |slot| uid_of(class.id, slot)),
            class,
            place: Place { date: starts.date(), starts: starts.time(), ends: ends.time(), room },
            starts_at,
            ends_at,
            origin,
            session: Some((session_id, state)),
            warning: None,
        }
    }

    /// Whether it was given up by hand.
    pub(super) fn is_cancelled(&self) -> bool {
        self.session.is_some_and(|(_, state)| state == SessionState::Cancelled)
    }

    /// As the caller may see it.
    pub(super) fn body(self, role: Role) -> LessonBody {
        LessonBody {
            class_id: self.class.id,
            class_name: self.class.name,
            class_code: self.class.code,
            date: self.place.date,
            start_time: ClockTime(self.place.starts),
            end_time: ClockTime(self.place.ends),
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            room: self.place.room,
            origin: self.origin,
            session_id: self.session.map(|(id, _)| id),
            session_status: self.session.map(|(_, state)| state),
            warning: self.warning.filter(|_| role != Role::Student).map(|warning| warning.message),
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

/// The lessons of these classes on these days, each where its session takes place, and the sessions that were made by hand,
/// in order.
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
    // A day is another span in each time zone.
    let span = (
        instant(Tz::UTC, (*days.start() - A_DAY).into()),
        instant(Tz::UTC, (*days.end() + A_DAY + A_DAY).into()),
    );
    let known = lessons::shown(db, &ids, span).await?.into_iter();
    let mut known: HashMap<_, _> = known.map(|lesson| ((lesson.class_id, lesson.slot), lesson)).collect();
    let mut sessions = HashMap::<ClassId, Vec<HeldSession>>::new();
    for session in lessons::held(db, &ids, span).await? {
        sessions.entry(session.class_id).or_default().push(session);
    }
    let mut held = Vec::new();
    for class in classes {
        let kept = kept.get(&class.id);
        let zone = zone_of(kept.and_then(|kept| kept.time_zone.as_deref()), of_organisation);
        let lessons = kept.map(|kept| lessons_of(kept, &holidays, zone, &days)).unwrap_or_default();
        let lesson_of = |slot| lessons.iter().find(|lesson| Some(lesson.slot) == slot);
        let sessions = sessions.remove(&class.id).into_iter().flatten().map(|session| {
            let lesson = lesson_of(session.slot);
            Held::session(class.clone(), session, lesson, zone)
        });
        held.extend(sessions.filter(|session| days.contains(&session.place.date)));
        held.extend(lessons.iter().filter_map(|lesson| {
            let shown = known.remove(&(class.id, lesson.slot));
            let is_held = shown.as_ref().is_some_and(takes_place);
            (!is_held).then(|| Held::lesson(class.clone(), lesson.clone(), (shown.as_ref(), zone)))
        }));
    }
    held.sort_by_key(|held| (held.starts_at, held.class.id));
    Ok(held)
}

/// The lessons of a timetable, each with its room.
fn lessons_of(kept: &Kept, holidays: &[Holiday], zone: Tz, days: &RangeInclusive<NaiveDate>) -> Vec<Lesson> {
    let mut lessons = kept.timetable.lessons(holidays, zone, days.clone());
    for lesson in &mut lessons {
        lesson.place.room = lesson.place.room.take().or_else(|| kept.room.clone());
    }
    lessons
}

/// Whether a lesson is a session that was not given up.
fn takes_place(lesson: &ShownLesson) -> bool {
    lesson.state == LessonState::Planned
        && lesson.session_state.is_some_and(|state| state != SessionState::Cancelled)
}

/// What a lesson is known by, wherever it is moved to.
fn uid_of(class: ClassId, Slot { date, starts }: Slot) -> String {
    format!("{class}-{date}T{}@rollcall", starts.format("%H%M"))
}

/// The organisation's clocks now.
pub(super) fn today(api: &Api, zone: Tz) -> NaiveDate {
    shown(zone, api.clock().now()).date()
}
