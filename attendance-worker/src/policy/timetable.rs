//! What a timetable does to sessions: which are planned, changed and given up so that they are what it says.
//!
//! What has begun, is over, was given up by somebody or was changed by hand is nobody's business here: only sessions that
//! are still as they were planned from the timetable follow it.

use chrono::{DateTime, Utc};
use rollcall_schemas::{
    fact::SessionState,
    id::{ClassId, SessionId},
};
use rollcall_store::lessons::{KnownLesson, LessonPlan, LessonState, session_id};
use rollcall_timetable::{Lesson, Slot};
use std::collections::BTreeMap;

/// What is to be done about a lesson.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its session is given up.
    Withdraw(KnownLesson),
    /// Its session takes place otherwise.
    Change(KnownLesson, LessonPlan),
    /// It becomes a session.
    Plan {
        /// Which lesson.
        slot: Slot,
        /// The session.
        session_id: SessionId,
        /// How often it was given up before.
        attempt: i32,
        /// When and where.
        plan: LessonPlan,
    },
}

/// The steps, in the order in which they make room for each other.
///
/// `wanted` is what the timetable has from now on, `known` what became of its lessons so far, `room` where those lessons
/// are that name no room.
pub fn steps(
    class: ClassId,
    (wanted, room): (&[Lesson], Option<&str>),
    known: Vec<KnownLesson>,
    now: DateTime<Utc>,
) -> Vec<Step> {
    let mut wanted: BTreeMap<Slot, LessonPlan> = wanted
        .iter()
        .filter(|lesson| lesson.starts_at > now)
        .map(|it| (it.slot, plan_of(it, room)))
        .collect();
    let (mut withdrawn, mut changed, mut planned) = (Vec::new(), Vec::new(), Vec::new());
    for lesson in known {
        let plan = wanted.remove(&lesson.slot);
        match (lesson.state, plan) {
            (LessonState::Planned, Some(plan)) if follows(&lesson, now) && plan != lesson.plan => {
                changed.push(Step::Change(lesson, plan));
            }
            (LessonState::Planned, None) if follows(&lesson, now) => withdrawn.push(Step::Withdraw(lesson)),
            (LessonState::Withheld(_), None) => withdrawn.push(Step::Withdraw(lesson)),
            (LessonState::Withheld(_), Some(plan)) => {
                planned.push(new(class, (lesson.slot, lesson.attempt), plan));
            }
            (LessonState::Withdrawn, Some(plan)) => {
                planned.push(new(class, (lesson.slot, lesson.attempt + 1), plan));
            }
            (LessonState::Planned | LessonState::Withdrawn, _) => {}
        }
    }
    planned.extend(wanted.into_iter().map(|(slot, plan)| new(class, (slot, 0), plan)));
    [withdrawn, changed, planned].concat()
}

fn new(class: ClassId, (slot, attempt): (Slot, i32), plan: LessonPlan) -> Step {
    Step::Plan { slot, session_id: session_id(class, slot, attempt), attempt, plan }
}

fn plan_of(lesson: &Lesson, room: Option<&str>) -> LessonPlan {
    let room = lesson.place.room.as_deref().or(room).map(str::to_owned);
    LessonPlan { starts_at: lesson.starts_at, ends_at: lesson.ends_at, room }
}

/// Whether the session of a lesson is still as it was planned, and far from beginning.
fn follows(lesson: &KnownLesson, now: DateTime<Utc>) -> bool {
    lesson.session.as_ref().is_some_and(|(state, plan)| {
        *state == SessionState::Scheduled && *plan == lesson.plan && plan.starts_at > now
    })
}
