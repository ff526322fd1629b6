//! What happens because its time has come: codes are replaced, sessions planned, announced and ended, questions asked,
//! messages left behind by a crash published, what is old forgotten, and frames that nobody handled in time given up.
//!
//! Every act holds the rows that are due, and passes over those that another process holds, so that two replicas never
//! act twice. An act counts as of the time at which it was due, not as of the worker's clock.

use crate::{
    AttendanceConfig,
    deps::{Deps, MAX_CROSSINGS, publish, traced},
    error::WorkError,
    facts,
    policy::session::{ANNOUNCED_BEFORE, CODE_OVERLAP, code_ttl, following_code},
    records::{self, Cause},
    session::draw_code,
    timetable,
    trace::Trace,
    waiting::UndecidedScans,
};
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::{
    fact::Fact,
    id::{FactId, SessionId, UserId},
    subject::{Stream, frames_consumer},
};
use rollcall_service::clock::Entropy;
use rollcall_store::{
    PgConnection, StoreError, classes, ledger, looks,
    outbox::{self, OutboxMessage},
    qr_codes::{self, DueCode},
    sessions::{self, Session},
};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How old a message in the outbox is before it counts as left behind: longer than any handler takes to publish it.
const LEFT_BEHIND_AFTER: TimeDelta = TimeDelta::seconds(10);
/// How many rows one act works on at most, so that none holds others for long.
const ROWS: i64 = 500;
/// The slower acts run once in so many times of the quick ones.
const SWEEP_ONCE_IN: u32 = 10;
const PURGE_ONCE_IN: u32 = 120;

/// How far FRAMES may be filled with frames that are done with.
const FRAMES_FILLED_PERCENT: u64 = 80;

/// How long sessions that are over wait for one and the same scan. It is decided, or parked, long before.
const SCAN_PATIENCE: TimeDelta = TimeDelta::minutes(10);

/// The timers of one worker.
pub(crate) struct Timers {
    deps: Deps,
    config: AttendanceConfig,
    scans: UndecidedScans,
}

impl Timers {
    pub(crate) fn new(deps: Deps, config: AttendanceConfig) -> Self {
        let scans = UndecidedScans::new(&deps, SCAN_PATIENCE);
        Self { deps, config, scans }
    }

    /// Plans lessons until `stop`, and gives up those of archived classes: many at once when holidays or clocks change, which must not keep codes from being
    /// replaced.
    pub(crate) async fn plan(&self, stop: CancellationToken) {
        let mut due = ticks(self.config.timer_interval() * SWEEP_ONCE_IN);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = due.tick() => {
                    self.act("plan_lessons", self.plan_lessons()).await;
                    self.act("cancel_archived", self.cancel_archived()).await;
                }
            }
        }
    }

    /// Does everything else until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let period = self.config.timer_interval();
        let (mut due, mut sweep, mut purge) =
            (ticks(period), ticks(period * SWEEP_ONCE_IN), ticks(period * PURGE_ONCE_IN));
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = due.tick() => {
                    self.act("rotate_codes", self.rotate_codes()).await;
                    self.act("end_sessions", self.end_sessions()).await;
                    self.act("ask_due_questions", self.ask_due_questions()).await;
                    self.act("announce_sessions", self.announce_sessions()).await;
                }
                _ = sweep.tick() => {
                    self.act("deliver_left_behind", self.deliver_left_behind()).await;
                    self.act("expire_frames", self.expire_frames()).await;
                    self.act("make_room", self.make_room()).await;
                }
                _ = purge.tick() => {
                    // A full batch means that there is more; what else is due has its turn in between.
                    if self.act("purge", self.purge()).await >= ROWS.unsigned_abs() {
                        purge.reset_immediately();
                    }
                }
            }
        }
    }

    /// Returns how much there was to do.
    async fn act(&self, name: &'static str, act: impl Future<Output = Result<u64, WorkError>>) -> u64 {
        match act.await {
            Ok(done) => {
                if done > 0 {
                    metrics::counter!("rollcall_attendance_timer_acts_total", "act" => name).increment(done);
                }
                done
            }
            // What is due stays due.
            Err(error) => {
                tracing::warn!(act = name, %error, "a timer could not act; it will try again");
                0
            }
        }
    }

    /// Acts on what is due until nothing is. A row at which an act fails is left for the next time, and does not keep the
    /// others from theirs. Returns how often it acted.
    async fn act_on_each<F>(&self, name: &'static str, act: impl Fn(Vec<Uuid>) -> F) -> Result<u64, WorkError>
    where
        F: Future<Output = Result<Vec<Uuid>, NotActed>>,
    {
        let (mut acted, mut besides, mut crossings) = (0, Vec::new(), 0);
        loop {
            match act(besides.clone()).await {
                Ok(causes) if causes.is_empty() => return Ok(acted),
                Ok(causes) => {
                    for cause in &causes {
                        self.deps.deliver(*cause).await?;
                    }
                    acted += causes.len() as u64;
                    crossings = 0;
                }
                Err(NotActed { error: WorkError::Crossed, .. }) if crossings < MAX_CROSSINGS => {
                    crossings += 1;
                }
                Err(NotActed { row: Some(row), error }) => {
                    tracing::warn!(act = name, %row, %error, "a timer could not act on a row; it will try again");
                    besides.push(row);
                    crossings = 0;
                }
                Err(NotActed { row: None, error }) => return Err(error),
            }
        }
    }

    /// Replaces the codes that are about to end. Returns how many.
    pub(crate) async fn rotate_codes(&self) -> Result<u64, WorkError> {
        self.act_on_each("rotate_codes", |besides| async move {
            let now = self.deps.clock.now();
            let mut tx = self.deps.begin().await?;
            let mut causes = Vec::new();
            for due in qr_codes::lock_due_codes(&mut tx, now + CODE_OVERLAP, &besides, ROWS).await? {
                causes.extend(
                    rotate_code(&mut tx, &due, (now, &self.deps.entropy))
                        .await
                        .map_err(at(due.session_id.0))?,
                );
            }
            tx.commit().await.map_err(StoreError::from)?;
            Ok(causes)
        })
        .await
    }

    /// Ends the sessions whose time is over, up to the first scan that is still to be decided about: or somebody would be told
    /// of an absence that none is. Returns how many.
    pub(crate) async fn end_sessions(&self) -> Result<u64, WorkError> {
        let now = self.deps.clock.now();
        let over = self.scans.since().await?.map_or(now, |undecided| undecided.min(now));
        self.act_on_each("end_sessions", |besides| async move {
            let mut tx = self.deps.begin().await?;
            let Some(session) = sessions::lock_overdue(&mut tx, over, &besides).await? else {
                return Ok(Vec::new());
            };
            let cause = Cause { id: end_of(&session), trace_id: Trace::current().id(), handled_at: now };
            let facts = end_session(&mut tx, &session, &cause).await.map_err(at(session.id.0))?;
            tx.commit().await.map_err(StoreError::from)?;
            facts::count(&facts, now);
            Ok(vec![cause.id])
        })
        .await
    }

    /// Asks about the scans for whose faces it is too late. Returns in how many sessions.
    pub(crate) async fn ask_due_questions(&self) -> Result<u64, WorkError> {
        self.act_on_each("ask_due_questions", |besides| async move {
            let now = self.deps.clock.now();
            let mut tx = self.deps.begin().await?;
            let due = sessions::lock_with_due_question(&mut tx, now, &besides).await?;
            let Some(session) = due else { return Ok(Vec::new()) };
            let asked = ask_due_questions(&mut tx, &session, now).await.map_err(at(session.id.0))?;
            tx.commit().await.map_err(StoreError::from)?;
            let Some((cause, facts)) = asked else { return Ok(Vec::new()) };
            facts::count(&facts, now);
            Ok(vec![cause])
        })
        .await
    }

    /// Makes sessions pending that are about to begin. Returns how many.
    pub(crate) async fn announce_sessions(&self) -> Result<u64, WorkError> {
        Ok(sessions::announce(&self.deps.pool, self.deps.clock.now() + ANNOUNCED_BEFORE).await?)
    }

    /// Gives up the sessions that archived classes have planned: they would take rooms from others. Returns how many.
    pub(crate) async fn cancel_archived(&self) -> Result<u64, WorkError> {
        self.act_on_each("cancel_archived", |besides| async move {
            let now = self.deps.clock.now();
            let mut tx = self.deps.begin().await?;
            let Some(session) = sessions::lock_of_archived(&mut tx, &besides).await? else {
                return Ok(Vec::new());
            };
            sessions::cancel(&mut tx, session.id).await.map_err(at(session.id.0))?;
            let fact = facts::session_cancelled(&session, now);
            outbox::enqueue(&mut tx, fact.fact_id.0, now, &told(std::slice::from_ref(&fact))).await?;
            tx.commit().await.map_err(StoreError::from)?;
            Ok(vec![fact.fact_id.0])
        })
        .await
    }

    /// Makes sessions of the lessons of timetables that changed, or of another day. Returns how many timetables.
    pub(crate) async fn plan_lessons(&self) -> Result<u64, WorkError> {
        self.act_on_each("plan_lessons", |besides| async move {
            timetable::plan_next(&self.deps, self.config.timetable_ahead_days, &besides).await
        })
        .await
    }

    /// Publishes what crashes left in the outbox. Returns how many messages.
    pub(crate) async fn deliver_left_behind(&self) -> Result<u64, WorkError> {
        let older_than = self.deps.clock.now() - LEFT_BEHIND_AFTER;
        let bus = self.deps.bus.clone();
        let publish = move |message| publish(bus.clone(), message);
        Ok(outbox::deliver_left_behind(&self.deps.pool, older_than, ROWS, publish).await? as u64)
    }

    /// Gives up the pending frames that FRAMES no longer holds. Returns how many.
    pub(crate) async fn expire_frames(&self) -> Result<u64, WorkError> {
        let frames = self.deps.bus.stream(Stream::Frames).await?;
        Ok(ledger::expire(&self.deps.pool, frames.first_sequence).await?)
    }

    /// Keeps FRAMES from refusing new frames for the sake of old ones that everybody has dealt with. Returns how many went.
    pub(crate) async fn make_room(&self) -> Result<u64, WorkError> {
        let Some(max_bytes) = self.deps.bus.stream(Stream::Frames).await?.max_bytes else { return Ok(0) };
        let keep_bytes = max_bytes / 100 * FRAMES_FILLED_PERCENT;
        let needed = [frames_consumer::FACES, frames_consumer::LEDGER];
        Ok(self.deps.bus.make_room(Stream::Frames, keep_bytes, &needed).await?)
    }

    /// Forgets a batch of what can no longer come again, and of votes for sessions that nobody can open any more. Returns
    /// how many rows.
    pub(crate) async fn purge(&self) -> Result<u64, WorkError> {
        let now = self.deps.clock.now();
        let before = |days: u32| now - TimeDelta::days(days.into());
        let (published, handled) =
            (before(self.config.outbox_kept_days), before(self.config.handled_kept_days));
        let votes = looks::purge_votes(&self.deps.pool, handled, ROWS).await?;
        Ok(votes + outbox::purge(&self.deps.pool, published, handled, ROWS).await?)
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Why an act was not done: because of one row, or altogether.
pub(crate) struct NotActed {
    row: Option<Uuid>,
    error: WorkError,
}

impl<E: Into<WorkError>> From<E> for NotActed {
    fn from(error: E) -> Self {
        Self { row: None, error: error.into() }
    }
}

/// The failure of an act that works on that row.
pub(crate) fn at<E: Into<WorkError>>(row: Uuid) -> impl FnOnce(E) -> NotActed {
    move |error| NotActed { row: Some(row), error: error.into() }
}

/// Replaces a code that is about to end, unless the session ends with it.
async fn rotate_code(
    tx: &mut PgConnection,
    due: &DueCode,
    (now, entropy): (DateTime<Utc>, &Entropy),
) -> Result<Option<Uuid>, StoreError> {
    let settings = classes::settings(tx, due.class_id, due.expires_at).await?;
    let ttl = code_ttl(due.qr_ttl_seconds, &settings);
    let valid = following_code(due.expires_at, ttl, now).filter(|valid| valid.start < due.ends_at);
    let Some(valid) = valid else { return Ok(None) };
    let code = draw_code(due.session_id, valid, entropy);
    if !qr_codes::add_code(tx, &code).await? {
        return Ok(None);
    }
    let fact = facts::qr_rotated(due.class_id, &code);
    outbox::enqueue(tx, code.id.0, now, &told(&[fact])).await?;
    Ok(Some(code.id.0))
}

async fn end_session(
    tx: &mut PgConnection,
    session: &Session,
    cause: &Cause,
) -> Result<Vec<Fact>, WorkError> {
    let (facts, _) = records::close(tx, session, session.ends_at, cause).await?;
    outbox::enqueue(tx, cause.id, cause.handled_at, &told(&facts)).await?;
    Ok(facts)
}

/// Asks what is due in a session. Returns under which cause, and what is to be told of it.
async fn ask_due_questions(
    tx: &mut PgConnection,
    session: &Session,
    now: DateTime<Utc>,
) -> Result<Option<(Uuid, Vec<Fact>)>, WorkError> {
    let due = looks::take_due(tx, session.id, now).await?;
    let Some(last) = due.iter().map(|(_, ask_at)| *ask_at).max() else { return Ok(None) };
    let students: Vec<UserId> = due.into_iter().map(|(student, _)| student).collect();
    let id = questions_of(session.id, last);
    let cause = Cause { id, trace_id: Trace::current().id(), handled_at: now };
    let settings = records::settings_of(tx, session).await?;
    let facts = records::settle(tx, (session, &settings), Some(&students), &cause).await?;
    outbox::enqueue(tx, cause.id, now, &told(&facts)).await?;
    Ok(Some((cause.id, facts)))
}

/// The act of ending a session by itself: one for each end that was planned since it was opened last, whoever does it.
fn end_of(session: &Session) -> Uuid {
    let micros = |at: DateTime<Utc>| at.timestamp_micros().to_be_bytes();
    let (ends_at, reopened_at) = (micros(session.ends_at), session.reopened_at.map(micros));
    let reopened_at = reopened_at.as_ref().map_or(&[][..], |at| at);
    FactId::derive(&[b"session end", session.id.0.as_bytes(), &ends_at, reopened_at]).0
}

/// The act of asking about the scans of a session that were due by then.
fn questions_of(session: SessionId, due_at: DateTime<Utc>) -> Uuid {
    let micros = due_at.timestamp_micros().to_be_bytes();
    FactId::derive(&[b"questions due", session.0.as_bytes(), &micros]).0
}

/// Facts as they leave.
pub(crate) fn told(facts: &[Fact]) -> Vec<OutboxMessage> {
    traced(facts.iter().map(OutboxMessage::fact).collect(), &Trace::current().headers())
}
