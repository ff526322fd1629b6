//! What a timetable does to sessions: which are planned, changed and given up so that they are what it says.
//!
//! What has begun, is over, was given up by somebody or was changed by hand is nobody's business here: only sessions that
//! are still as they were planned from the timetable follow it.

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::{
    fact::SessionState,
    id::{ClassId, SessionId},
};
use rollcall_store::lessons::{KnownLesson, LessonPlan, LessonState, session_id};
use rollcall_timetable::{Lesson, Slot};
use std::collections::BTreeMap;

/// How far a lesson is shifted at most: what is farther away is another one, of which nothing was said.
const SHIFTED_BY: TimeDelta = TimeDelta::hours(2);

/// What is to be done, in the order in which the steps make room for each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Lessons whose sessions are given up.
    pub withdrawn: Vec<KnownLesson>,
    /// Lessons whose sessions take place otherwise. Each may take the place that another of them leaves.
    pub changed: Vec<Moved>,
    /// Lessons that become sessions.
    pub new: Vec<NewLesson>,
}

/// A lesson whose session takes place otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// As it was.
    pub lesson: KnownLesson,
    /// What it is known by from now on.
    pub slot: Slot,
    /// How often a lesson that was known by this was given up before.
    pub attempt: i32,
    /// When and where.
    pub plan: LessonPlan,
}

/// A lesson that becomes a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLesson {
    /// Which lesson.
    pub slot: Slot,
    /// The session.
    pub session_id: SessionId,
    /// How often it was given up before.
    pub attempt: i32,
    /// When and where.
    pub plan: LessonPlan,
    /// The session that it was before it was given up.
    pub before: Option<SessionId>,
}

/// The steps that make sessions what a timetable says.
///
/// `wanted` is what the timetable has from now on, `known` what became of its lessons so far, `room` where those lessons
/// are that name no room.
pub fn steps(
    class: ClassId,
    (wanted, room): (&[Lesson], Option<&str>),
    known: Vec<KnownLesson>,
    now: DateTime<Utc>,
) -> Steps {
    let mut wanted: BTreeMap<Slot, LessonPlan> = wanted
        .iter()
        .filter(|lesson| lesson.starts_at > now)
        .map(|it| (it.slot, plan_of(it, room)))
        .collect();
    let (mut steps, mut tried_again) = (Steps::default(), Vec::new());
    for lesson in known {
        let plan = wanted.remove(&lesson.slot);
        match (lesson.state, plan) {
            (LessonState::Planned, Some(plan)) if follows(&lesson, now) && plan != lesson.plan => {
                steps.changed.push(Moved { slot: lesson.slot, attempt: lesson.attempt, plan, lesson });
            }
            (LessonState::Planned, None) if follows(&lesson, now) => steps.withdrawn.push(lesson),
            (LessonState::Withheld(_), None) => steps.withdrawn.push(lesson),
            (LessonState::Withheld(_), Some(plan)) => {
                tried_again.push(new(class, (lesson.slot, lesson.attempt), plan, None));
            }
            (LessonState::Withdrawn, Some(plan)) => {
                steps.new.push(new(class, (lesson.slot, lesson.attempt + 1), plan, Some(lesson.session_id)));
            }
            (LessonState::Planned | LessonState::Withdrawn, _) => {}
        }
    }
    steps.new.extend(wanted.into_iter().map(|(slot, plan)| new(class, (slot, 0), plan, None)));
    steps.keep_sessions();
    steps.new.extend(tried_again);
    steps
}

impl Steps {
    /// What the schedule has a little earlier or later on the same day is the same lesson: its session moves, with what was
    /// said of it.
    fn keep_sessions(&mut self) {
        let (gone, withheld): (Vec<_>, Vec<_>) =
            self.withdrawn.drain(..).partition(|lesson| lesson.state == LessonState::Planned);
        self.withdrawn = withheld;
        for lesson in gone {
            let distance = |new: &NewLesson| (new.plan.starts_at - lesson.plan.starts_at).abs();
            let is_same = |new: &NewLesson| new.slot.date == lesson.slot.date && distance(new) <= SHIFTED_BY;
            let shifted = self.new.iter().enumerate().filter(|(_, new)| is_same(new));
            match shifted.min_by_key(|(_, new)| distance(new)) {
                Some((place, _)) => {
                    let NewLesson { slot, attempt, plan, .. } = self.new.remove(place);
                    self.changed.push(Moved { lesson, slot, attempt, plan });
                }
                None => self.withdrawn.push(lesson),
            }
        }
    }
}

fn new(
    class: ClassId,
    (slot, attempt): (Slot, i32),
    plan: LessonPlan,
    before: Option<SessionId>,
) -> NewLesson {
    NewLesson { slot, session_id: session_id(class, slot, attempt), attempt, plan, before }
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
