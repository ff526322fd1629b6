//! What happens because its time has come: codes are replaced, sessions planned, announced and ended, questions asked,
//! messages left behind by a crash published, what is old forgotten, and frames that nobody handled in time given up.
//!
//! Every act holds the rows that are due, and passes over those that another process holds, so that two replicas never
//! act twice. An act counts as of the time at which it was due, not as of the worker's clock.

use crate::{
    AttendanceConfig,
    deps::{Deps, publish, traced, until_uncrossed},
    error::WorkError,
    facts,
    policy::session::{ANNOUNCED_BEFORE, CODE_OVERLAP, code_ttl, following_code},
    records::{self, Cause},
    session::draw_code,
    timetable,
    trace::Trace,
};
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::{
    fact::Fact,
    id::{FactId, SessionId, UserId},
    subject::{Stream, frames_consumer},
};
use rollcall_store::{
    StoreError, classes, ledger, looks,
    outbox::{self, OutboxMessage},
    qr_codes,
    sessions::{self, Session},
};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
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

/// The timers of one worker.
pub(crate) struct Timers {
    pub(crate) deps: Deps,
    pub(crate) config: AttendanceConfig,
}

impl Timers {
    /// Acts until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let ticks = |period: Duration| {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
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
                    self.act("plan_lessons", self.plan_lessons()).await;
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

    /// Replaces the codes that are about to end. Returns how many.
    pub(crate) async fn rotate_codes(&self) -> Result<u64, WorkError> {
        let now = self.deps.clock.now();
        let mut tx = self.deps.begin().await?;
        let mut causes = Vec::new();
        for due in qr_codes::lock_due_codes(&mut tx, now + CODE_OVERLAP, ROWS).await? {
            let settings = classes::settings(&mut tx, due.class_id, due.expires_at).await?;
            let ttl = code_ttl(due.qr_ttl_seconds, &settings);
            let Some(valid) = following_code(due.expires_at, ttl, now) else { continue };
            if valid.start >= due.ends_at {
                continue;
            }
            let code = draw_code(due.session_id, valid, &self.deps.entropy);
            if qr_codes::add_code(&mut tx, &code).await? {
                let fact = facts::qr_rotated(due.class_id, &code);
                outbox::enqueue(&mut tx, code.id.0, now, &told(&[fact])).await?;
                causes.push(code.id.0);
            }
        }
        tx.commit().await.map_err(StoreError::from)?;
        for cause in &causes {
            self.deps.deliver(*cause).await?;
        }
        Ok(causes.len() as u64)
    }

    /// Ends the sessions whose time is over. Returns how many.
    pub(crate) async fn end_sessions(&self) -> Result<u64, WorkError> {
        let mut ended = 0;
        while let Some(cause) = until_uncrossed(|| self.end_session()).await? {
            self.deps.deliver(cause).await?;
            ended += 1;
        }
        Ok(ended)
    }

    async fn end_session(&self) -> Result<Option<Uuid>, WorkError> {
        let now = self.deps.clock.now();
        let mut tx = self.deps.begin().await?;
        let Some(session) = sessions::lock_overdue(&mut tx, now).await? else { return Ok(None) };
        let cause = Cause { id: end_of(&session), trace_id: Trace::current().id(), handled_at: now };
        let (facts, _) = records::close(&mut tx, &session, session.ends_at, &cause).await?;
        outbox::enqueue(&mut tx, cause.id, now, &told(&facts)).await?;
        tx.commit().await.map_err(StoreError::from)?;
        facts::count(&facts, now);
        Ok(Some(cause.id))
    }

    /// Asks about the scans for whose faces it is too late. Returns in how many sessions.
    pub(crate) async fn ask_due_questions(&self) -> Result<u64, WorkError> {
        let mut asked = 0;
        while let Some(cause) = until_uncrossed(|| self.ask_due_question()).await? {
            self.deps.deliver(cause).await?;
            asked += 1;
        }
        Ok(asked)
    }

    async fn ask_due_question(&self) -> Result<Option<Uuid>, WorkError> {
        let now = self.deps.clock.now();
        let mut tx = self.deps.begin().await?;
        let Some(session) = sessions::lock_with_due_question(&mut tx, now).await? else { return Ok(None) };
        let due = looks::take_due(&mut tx, session.id, now).await?;
        let Some(last) = due.iter().map(|(_, ask_at)| *ask_at).max() else { return Ok(None) };
        let students: Vec<UserId> = due.into_iter().map(|(student, _)| student).collect();
        let id = questions_of(session.id, last);
        let cause = Cause { id, trace_id: Trace::current().id(), handled_at: now };
        let settings = records::settings_of(&mut tx, &session).await?;
        let facts = records::settle(&mut tx, (&session, &settings), Some(&students), &cause).await?;
        outbox::enqueue(&mut tx, cause.id, now, &told(&facts)).await?;
        tx.commit().await.map_err(StoreError::from)?;
        facts::count(&facts, now);
        Ok(Some(cause.id))
    }

    /// Makes sessions pending that are about to begin. Returns how many.
    pub(crate) async fn announce_sessions(&self) -> Result<u64, WorkError> {
        Ok(sessions::announce(&self.deps.pool, self.deps.clock.now() + ANNOUNCED_BEFORE).await?)
    }

    /// Makes sessions of the lessons of timetables that changed, or of another day. Returns how many timetables.
    pub(crate) async fn plan_lessons(&self) -> Result<u64, WorkError> {
        let plan = || timetable::plan_next(&self.deps, self.config.timetable_ahead_days);
        let mut planned = 0;
        while let Some(cause) = until_uncrossed(plan).await? {
            self.deps.deliver(cause).await?;
            planned += 1;
        }
        Ok(planned)
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
