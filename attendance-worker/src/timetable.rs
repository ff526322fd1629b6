//! Timetables become sessions, ahead of time: in one transaction for each class, which holds its timetable.

use crate::{
    deps::Deps,
    error::WorkError,
    facts,
    policy::timetable::{Moved, NewLesson, Steps, steps},
    records::{self, Cause, Change},
    timers::{NotActed, at, told},
};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rollcall_schemas::{
    fact::{Fact, SessionState},
    id::{ClassId, FactId, SessionId},
    request::SessionPlan,
};
use rollcall_store::{
    PgConnection, StoreError,
    attendance::{self, Mark},
    configuration,
    lessons::{self, DueTimetable, KeptLesson, KnownLesson, LessonState},
    outbox,
    sessions::{self, Planned, Session},
    timetables::{self, Kept},
};
use rollcall_timetable::{Holiday, Lesson, Tz};
use uuid::Uuid;

/// How long after its time it is remembered what became of a lesson: one may be moved into the future after it was held.
const REMEMBERED: TimeDelta = TimeDelta::days(366);

/// Plans the lessons of the next timetable that is due, `besides` these, through that many days from now. Returns under which
/// cause; nothing when none is due.
pub(crate) async fn plan_next(deps: &Deps, ahead_days: u32, besides: &[Uuid]) -> Result<Vec<Uuid>, NotActed> {
    let now = deps.clock.now();
    let through = (now + TimeDelta::days(ahead_days.into())).date_naive();
    let mut tx = deps.begin().await?;
    let due = lessons::lock_due(&mut tx, through, now, besides).await?;
    let Some(due) = due else { return Ok(Vec::new()) };
    let cause = act(&due, through);
    let planning = Planning { tx: &mut tx, class: due.class_id, cause, now, facts: Vec::new() };
    let facts = planning.run(&due, through).await.map_err(crossed).map_err(at(due.class_id.0))?;
    tx.commit().await.map_err(StoreError::from)?;
    facts::count(&facts, now);
    Ok(vec![cause])
}

/// Somebody else has just planned a session at the same time: read again, and it is found.
fn crossed(error: WorkError) -> WorkError {
    match error {
        WorkError::Store(StoreError::Excluded { .. }) => WorkError::Crossed,
        error => error,
    }
}

/// The act of planning: one for each version of a timetable and each day after the act before it, whoever does it.
fn act(due: &DueTimetable, through: NaiveDate) -> Uuid {
    let (revision, day) = (due.revision.to_be_bytes(), through.to_string());
    let before = due.planned_at.map(|at| at.timestamp_micros().to_be_bytes());
    let before = before.as_ref().map_or(&[][..], |at| at);
    let (class, is_active) = (due.class_id.0, [due.is_active.into()]);
    FactId::derive(&[b"timetable", class.as_bytes(), &revision, day.as_bytes(), &is_active, before]).0
}

struct Planning<'a> {
    tx: &'a mut PgConnection,
    class: ClassId,
    cause: Uuid,
    now: DateTime<Utc>,
    facts: Vec<Fact>,
}

impl Planning<'_> {
    /// Returns what is to be told of it.
    async fn run(mut self, due: &DueTimetable, through: NaiveDate) -> Result<Vec<Fact>, WorkError> {
        let steps = self.steps(due, through).await?;
        self.carry_out(steps).await?;
        lessons::set_planned(self.tx, due, through, self.now).await?;
        outbox::enqueue(self.tx, self.cause, self.now, &told(&self.facts)).await?;
        Ok(self.facts)
    }

    async fn steps(&mut self, due: &DueTimetable, through: NaiveDate) -> Result<Steps, WorkError> {
        let known = lessons::of_class(self.tx, self.class, self.now - REMEMBERED).await?;
        let kept = timetables::of_class(self.tx, self.class).await?;
        let wanted = if due.is_active { self.wanted(&kept, through).await? } else { Vec::new() };
        Ok(steps(self.class, (&wanted, kept.room.as_deref()), known, self.now))
    }

    /// What the timetable has, from yesterday on: somewhere it still is.
    async fn wanted(&mut self, kept: &Kept, through: NaiveDate) -> Result<Vec<Lesson>, WorkError> {
        let from = (self.now - TimeDelta::days(1)).date_naive();
        let holidays = timetables::holidays(self.tx, from).await?;
        let holidays: Vec<_> = holidays.iter().map(Holiday::from).collect();
        let zone = match &kept.time_zone {
            Some(zone) => zone.clone(),
            None => configuration::time_zone(self.tx).await?,
        };
        Ok(kept.timetable.lessons(&holidays, known_zone(&zone), from..=through))
    }

    /// Sessions that move are given up before any of them is taken up elsewhere, so that none is in the way of another
    /// that takes its place.
    async fn carry_out(&mut self, steps: Steps) -> Result<(), WorkError> {
        for lesson in steps.withdrawn {
            self.withdraw(lesson).await?;
        }
        let mut moving = Vec::with_capacity(steps.changed.len());
        for moved in steps.changed {
            let Some(session) = self.planned(&moved.lesson).await? else { continue };
            let wanted = moved.plan.of(sessions::plan_of(self.tx, session.id).await?);
            sessions::cancel(self.tx, session.id).await?;
            moving.push((moved, session, wanted));
        }
        for (moved, session, wanted) in moving {
            self.take_up(moved, &session, &wanted).await?;
        }
        for lesson in steps.new {
            self.plan(lesson).await?;
        }
        Ok(())
    }

    async fn withdraw(&mut self, lesson: KnownLesson) -> Result<(), WorkError> {
        if let Some(session) = self.planned(&lesson).await? {
            sessions::cancel(self.tx, session.id).await?;
            self.tell_cancelled(&session);
            self.keep(kept(lesson, LessonState::Withdrawn)).await?;
        } else if lesson.session.is_none() {
            self.keep(kept(lesson, LessonState::Withdrawn)).await?;
        }
        Ok(())
    }

    /// Takes up a session that was given up, as `wanted`. One that cannot be where the timetable has it now stays given up: it
    /// is not left where it was before.
    async fn take_up(
        &mut self,
        moved: Moved,
        session: &Session,
        wanted: &SessionPlan,
    ) -> Result<(), WorkError> {
        let Moved { lesson, slot, attempt, plan } = moved;
        if slot != lesson.slot {
            // Its session is another lesson's from now on.
            let attempt = lesson.attempt + 1;
            let session_id = lessons::session_id(self.class, lesson.slot, attempt);
            let state = LessonState::Withdrawn;
            self.keep(KeptLesson { slot: lesson.slot, state, attempt, session_id, plan: lesson.plan })
                .await?;
        }
        let other = sessions::in_the_way(self.tx, (session.id, self.class), wanted).await?;
        if let Some(other) = other {
            self.tell_cancelled(session);
            let attempt = attempt + 1;
            let session_id = lessons::session_id(self.class, slot, attempt);
            let state = LessonState::Withheld(other.id);
            return self.keep(KeptLesson { slot, state, attempt, session_id, plan }).await;
        }
        sessions::change_plan(self.tx, session.id, wanted).await?;
        self.facts.push(facts::session_changed(session, wanted, (self.now, self.cause)));
        let state = LessonState::Planned;
        self.keep(KeptLesson { slot, state, attempt, session_id: session.id, plan }).await
    }

    async fn plan(&mut self, lesson: NewLesson) -> Result<(), WorkError> {
        let NewLesson { slot, session_id, attempt, plan, before } = lesson;
        let wanted = SessionPlan::from(&plan);
        let planned = sessions::plan(self.tx, (session_id, self.class), &wanted, self.now).await?;
        let state = match planned {
            Planned::Added | Planned::Known => LessonState::Planned,
            Planned::Overlaps(other) => LessonState::Withheld(other.id),
        };
        if let (LessonState::Planned, Some(before)) = (state, before) {
            self.carry_words(before, session_id).await?;
        }
        self.keep(KeptLesson { slot, state, attempt, session_id, plan }).await
    }

    /// What people said of a session that was given up, they said of the lesson, which takes place after all.
    async fn carry_words(&mut self, before: SessionId, now: SessionId) -> Result<(), WorkError> {
        let words = attendance::words(self.tx, before).await?;
        let Some(session) = sessions::lock(self.tx, now).await?.filter(|_| !words.is_empty()) else {
            return Ok(());
        };
        let cause = Cause { id: self.cause, trace_id: None, handled_at: self.now };
        let changes: Vec<Change> = words
            .into_iter()
            .map(|(student, mark, author)| {
                let mark = Mark { marked_at: session.ends_at, ..mark };
                Change::new(session, student, (None, mark), &cause).by(author)
            })
            .collect();
        records::write(self.tx, &changes).await?;
        self.facts.extend(changes.iter().filter_map(Change::fact));
        Ok(())
    }

    /// The session of a lesson, held alone, if it has not begun, been given up or been moved meanwhile.
    async fn planned(&mut self, lesson: &KnownLesson) -> Result<Option<Session>, WorkError> {
        let session = sessions::lock(self.tx, lesson.session_id).await?;
        let times = |session: &Session| (session.starts_at, session.ends_at);
        Ok(session.filter(|it| {
            it.state == SessionState::Scheduled && times(it) == (lesson.plan.starts_at, lesson.plan.ends_at)
        }))
    }

    fn tell_cancelled(&mut self, session: &Session) {
        self.facts.push(facts::session_cancelled(session, self.now));
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
