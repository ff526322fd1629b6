//! Timetables become sessions, ahead of time: in one transaction for each class, which holds its timetable.

use crate::{
    deps::Deps,
    error::WorkError,
    facts,
    policy::timetable::{Step, steps},
    timers::told,
};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rollcall_schemas::{
    fact::{Fact, SessionState},
    id::{ClassId, FactId},
    request::SessionPlan,
};
use rollcall_store::{
    PgConnection, StoreError, classes, configuration,
    lessons::{self, DueTimetable, KeptLesson, KnownLesson, LessonPlan, LessonState},
    outbox,
    sessions::{self, Planned, Session},
    timetables,
};
use rollcall_timetable::{Holiday, Lesson, Tz};
use uuid::Uuid;

/// How long after its time it is remembered what became of a lesson: one may be moved into the future after it was held.
const REMEMBERED: TimeDelta = TimeDelta::days(366);

/// Plans the lessons of the next timetable that is due, through that many days from now. Returns what it did under which
/// cause, or nothing when none is due.
pub(crate) async fn plan_next(deps: &Deps, ahead_days: u32) -> Result<Option<Uuid>, WorkError> {
    let now = deps.clock.now();
    let through = (now + TimeDelta::days(ahead_days.into())).date_naive();
    let mut tx = deps.begin().await?;
    let Some(due) = lessons::lock_due(&mut tx, through).await? else { return Ok(None) };
    let cause = act(&due, through);
    let mut planning = Planning { tx: &mut tx, class: due.class_id, cause, now, facts: Vec::new() };
    for step in planning.steps(&due, through).await? {
        planning.take(step).await.map_err(crossed)?;
    }
    let facts = planning.facts;
    lessons::set_planned(&mut tx, &due, through, now).await?;
    outbox::enqueue(&mut tx, cause, now, &told(&facts)).await?;
    tx.commit().await.map_err(StoreError::from)?;
    facts::count(&facts, now);
    Ok(Some(cause))
}

/// Somebody else has just planned a session at the same time: read again, and it is found.
fn crossed(error: WorkError) -> WorkError {
    match error {
        WorkError::Store(StoreError::Excluded { .. }) => WorkError::Crossed,
        error => error,
    }
}

/// The act of planning: one for each version of a timetable and each day, whoever does it.
fn act(due: &DueTimetable, through: NaiveDate) -> Uuid {
    let (revision, day) = (due.revision.to_be_bytes(), through.to_string());
    let class = due.class_id.0;
    FactId::derive(&[b"timetable", class.as_bytes(), &revision, day.as_bytes(), &[due.is_active.into()]]).0
}

struct Planning<'a> {
    tx: &'a mut PgConnection,
    class: ClassId,
    cause: Uuid,
    now: DateTime<Utc>,
    facts: Vec<Fact>,
}

impl Planning<'_> {
    async fn steps(&mut self, due: &DueTimetable, through: NaiveDate) -> Result<Vec<Step>, WorkError> {
        let known = lessons::of_class(self.tx, self.class, self.now - REMEMBERED).await?;
        let class = classes::find(self.tx, self.class).await?;
        let room = class.and_then(|class| class.room);
        let wanted = if due.is_active { self.wanted(through).await? } else { Vec::new() };
        Ok(steps(self.class, (&wanted, room.as_deref()), known, self.now))
    }

    /// What the timetable has, from yesterday on: somewhere it still is.
    async fn wanted(&mut self, through: NaiveDate) -> Result<Vec<Lesson>, WorkError> {
        let from = (self.now - TimeDelta::days(1)).date_naive();
        let kept = timetables::of_class(self.tx, self.class).await?;
        let holidays = timetables::holidays(self.tx, from).await?;
        let holidays: Vec<_> = holidays.iter().map(Holiday::from).collect();
        let zone = match kept.time_zone {
            Some(zone) => zone,
            None => configuration::time_zone(self.tx).await?,
        };
        Ok(kept.timetable.lessons(&holidays, known_zone(&zone), from..=through))
    }

    async fn take(&mut self, step: Step) -> Result<(), WorkError> {
        match step {
            Step::Withdraw(lesson) => self.withdraw(lesson).await,
            Step::Change(lesson, plan) => self.change(lesson, plan).await,
            Step::Plan { slot, session_id, attempt, plan } => {
                let wanted = SessionPlan::from(&plan);
                let planned = sessions::plan(self.tx, (session_id, self.class), &wanted, self.now).await?;
                let state = match planned {
                    Planned::Added | Planned::Known => LessonState::Planned,
                    Planned::Overlaps(other) => LessonState::Withheld(other.id),
                };
                self.keep(KeptLesson { slot, state, attempt, session_id, plan }).await
            }
        }
    }

    async fn withdraw(&mut self, lesson: KnownLesson) -> Result<(), WorkError> {
        if let Some(session) = self.planned(&lesson).await? {
            self.cancel(&session).await?;
            self.keep(kept(lesson, LessonState::Withdrawn)).await?;
        } else if lesson.session.is_none() {
            self.keep(kept(lesson, LessonState::Withdrawn)).await?;
        }
        Ok(())
    }

    /// A session that cannot be where the timetable has it now is not left where it had it before.
    async fn change(&mut self, lesson: KnownLesson, plan: LessonPlan) -> Result<(), WorkError> {
        let Some(session) = self.planned(&lesson).await? else { return Ok(()) };
        let wanted = SessionPlan::from(&plan);
        let other = sessions::in_the_way(self.tx, (session.id, self.class), &wanted).await?;
        if let Some(other) = other {
            self.cancel(&session).await?;
            let attempt = lesson.attempt + 1;
            let session_id = lessons::session_id(self.class, lesson.slot, attempt);
            let state = LessonState::Withheld(other.id);
            return self.keep(KeptLesson { slot: lesson.slot, state, attempt, session_id, plan }).await;
        }
        sessions::change_plan(self.tx, session.id, &wanted).await?;
        self.facts.push(facts::session_changed(&session, &wanted, (self.now, self.cause)));
        self.keep(KeptLesson { plan, ..kept(lesson, LessonState::Planned) }).await
    }

    /// The session of a lesson, held alone, if it has not begun, been given up or been moved meanwhile.
    async fn planned(&mut self, lesson: &KnownLesson) -> Result<Option<Session>, WorkError> {
        let session = sessions::lock(self.tx, lesson.session_id).await?;
        let times = |session: &Session| (session.starts_at, session.ends_at);
        Ok(session.filter(|it| {
            it.state == SessionState::Scheduled && times(it) == (lesson.plan.starts_at, lesson.plan.ends_at)
        }))
    }

    async fn cancel(&mut self, session: &Session) -> Result<(), WorkError> {
        sessions::cancel(self.tx, session.id).await?;
        self.facts.push(facts::session_cancelled(session, self.now));
        Ok(())
    }

    async fn keep(&mut self, lesson: KeptLesson) -> Result<(), WorkError> {
        Ok(lessons::keep(self.tx, self.class, &lesson).await?)
    }
}

fn kept(lesson: KnownLesson, state: LessonState) -> KeptLesson {
    let KnownLesson { slot, attempt, session_id, plan, .. } = lesson;
    KeptLesson { slot, state, attempt, session_id, plan }
}

/// A zone that the database knows and this program does not is one of its odd names; lessons are then by UTC.
fn known_zone(name: &str) -> Tz {
    name.parse().unwrap_or_else(|_| {
        tracing::warn!(time_zone = name, "the time zone is not known: lessons are planned by UTC");
        Tz::UTC
    })
}
