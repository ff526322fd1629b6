//! Sessions are planned, changed, cancelled, opened, closed, opened again and given new codes, as asked.

use crate::{
    answers::{self, To},
    deps::{Deps, read, traced, until_uncrossed},
    error::{NotDone, WorkError},
    facts,
    policy::session::{self, BadPlan, IllegalMove, Move, NotReopened, code_ttl},
    records::{self, Cause},
    trace::Trace,
    waiting::UndecidedScans,
};
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_bus::{Delivery, HandleError, Handler};
use rollcall_schemas::{
    code::Code,
    fact::{AttendanceStatus, Fact, SessionState},
    id::{ClassId, QrTokenId, SessionId},
    outcome::{Answer, SessionAnswer},
    request::{SessionCommand, SessionPlan, SessionRequest},
    scan::QrToken,
};
use rollcall_service::clock::Entropy;
use rollcall_store::{
    PgConnection, StoreError, attendance,
    classes::{self, Class, ClassSettings},
    configuration, looks, outbox,
    qr_codes::{self, QrCode},
    sessions::{self, Pause, Planned, Session},
};
use serde_json::{Value, json};
use std::ops::Range;
use tracing::Instrument;

/// Handles the requests of kind `session`.
pub(crate) struct ChangeSession {
    deps: Deps,
    scans: UndecidedScans,
}

/// How long an end waits for one and the same scan: others wait behind it, and a scan that comes after it still counts.
const SCAN_PATIENCE: TimeDelta = TimeDelta::seconds(5);

/// The answer to a command, and the facts that follow from it.
type Done = (SessionAnswer, Vec<Fact>);

impl ChangeSession {
    pub(crate) fn new(deps: Deps) -> Self {
        let scans = UndecidedScans::new(&deps, SCAN_PATIENCE);
        Self { deps, scans }
    }

    async fn change(&self, request: &SessionRequest, trace: &Trace) -> Result<(), WorkError> {
        let now = self.deps.clock.now();
        let cause = Cause { id: request.request_id.0, trace_id: trace.id(), handled_at: now };
        let mut tx = self.deps.begin().await?;
        if outbox::begin_handling(&mut tx, cause.id, now).await? {
            let done = Command { request, cause: &cause, entropy: &self.deps.entropy }.run(&mut tx).await;
            let done = done.map(|(answer, facts)| (Answer::Session(answer), facts));
            let to = To { request_id: request.request_id, caller: request.requested_by, decided_at: now };
            let (messages, facts) = to.told(done)?;
            outbox::enqueue(&mut tx, cause.id, now, &traced(messages, &trace.headers())).await?;
            tx.commit().await.map_err(StoreError::from)?;
            facts::count(&facts, now);
        }
        Ok(())
    }
}

impl ChangeSession {
    /// The end of a session makes everybody absent of whom nothing is known: scans from before it go first.
    async fn wait_for_scans(&self, request: &SessionRequest) -> Result<(), WorkError> {
        if !matches!(request.command, SessionCommand::End { .. }) {
            return Ok(());
        }
        let undecided = self.scans.since().await?;
        let is_early = undecided.is_some_and(|since| since < request.requested_at);
        if is_early { Err(WorkError::Early) } else { Ok(()) }
    }
}

impl Handler for ChangeSession {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        let span = tracing::info_span!("change_session");
        let trace = Trace::take_up(&delivery, &span);
        let request: SessionRequest = read(&delivery)?;
        async {
            self.wait_for_scans(&request).await?;
            until_uncrossed(|| self.change(&request, &trace)).await?;
            self.deps.deliver(request.request_id.0).await
        }
        .instrument(span)
        .await?;
        Ok(())
    }
}

/// A command that is being carried out.
struct Command<'a> {
    request: &'a SessionRequest,
    cause: &'a Cause,
    entropy: &'a Entropy,
}

impl Command<'_> {
    async fn run(&self, tx: &mut PgConnection) -> Result<Done, NotDone> {
        match &self.request.command {
            SessionCommand::Create { class_id, plan } => self.create(tx, *class_id, plan).await,
            SessionCommand::Change { session_id, plan } => self.change(tx, *session_id, plan).await,
            SessionCommand::Cancel { session_id } => self.cancel(tx, *session_id).await,
            SessionCommand::Start { session_id } => self.start(tx, *session_id).await,
            SessionCommand::End { session_id } => self.end(tx, *session_id).await,
            SessionCommand::Reopen { session_id, ends_at, reason } => {
                self.reopen(tx, *session_id, *ends_at, reason).await
            }
            SessionCommand::RotateQr { session_id } => self.rotate(tx, *session_id).await,
        }
    }

    async fn create(
        &self,
        tx: &mut PgConnection,
        class_id: ClassId,
        wanted: &SessionPlan,
    ) -> Result<Done, NotDone> {
        session::check_plan(wanted, self.request.requested_at).map_err(unsound)?;
        let class = active_class(tx, class_id).await?;
        let plan = SessionPlan { room: wanted.room.clone().or(class.room), ..wanted.clone() };
        let id = SessionId::derive(&[self.request.request_id.0.as_bytes()]);
        match sessions::plan(tx, (id, class_id), &plan, self.request.requested_at).await? {
            Planned::Overlaps(other) => Err(NotDone::Refused(answers::overlap(&other, class_id))),
            Planned::Added | Planned::Known => Ok((answer(&lock(tx, id).await?), Vec::new())),
        }
    }

    async fn change(
        &self,
        tx: &mut PgConnection,
        id: SessionId,
        plan: &SessionPlan,
    ) -> Result<Done, NotDone> {
        let before = self.lock_for(tx, id, Move::Change).await?;
        current_class(tx, before.class_id).await?;
        session::check_plan(plan, self.request.requested_at).map_err(unsound)?;
        if let Some(other) = sessions::in_the_way(tx, (id, before.class_id), plan).await? {
            return Err(NotDone::Refused(answers::overlap(&other, before.class_id)));
        }
        sessions::change_plan(tx, id, plan).await?;
        let session = lock(tx, id).await?;
        let when = (self.request.requested_at, self.cause.id);
        Ok((answer(&session), vec![facts::session_changed(&session, plan, when)]))
    }

    async fn cancel(&self, tx: &mut PgConnection, id: SessionId) -> Result<Done, NotDone> {
        let session = self.lock_for(tx, id, Move::Cancel).await?;
        sessions::cancel(tx, id).await?;
        let session = Session { state: SessionState::Cancelled, ..session };
        Ok((answer(&session), vec![facts::session_cancelled(&session, self.request.requested_at)]))
    }

    /// A session that the transaction holds, and that this may happen to.
    async fn lock_for(&self, tx: &mut PgConnection, id: SessionId, step: Move) -> Result<Session, NotDone> {
        let session = lock(tx, id).await?;
        session::next_state(session.state, step).map_err(illegal(step, &session))?;
        Ok(session)
    }

    async fn start(&self, tx: &mut PgConnection, id: SessionId) -> Result<Done, NotDone> {
        let session = lock(tx, id).await?;
        let started_at =
            session::start(&session, self.request.requested_at).map_err(illegal(Move::Start, &session))?;
        active_class(tx, session.class_id).await?;
        sessions::start(tx, id, started_at).await?;
        let session = Session { state: SessionState::Active, started_at: Some(started_at), ..session };
        let settings = classes::settings(tx, session.class_id, started_at).await?;
        let code = self.show_code(tx, &session, started_at, &settings).await?;
        looks::forget_votes(tx, id, DateTime::UNIX_EPOCH, started_at).await?;
        // Faces seen before this request was handled, but after it was made.
        let settled = records::settle(tx, (&session, &settings), None, self.cause).await?;
        let mut facts =
            vec![facts::session_started(&session, started_at), facts::qr_rotated(session.class_id, &code)];
        facts.extend(settled);
        Ok((answer_with_code(&session, &code), facts))
    }

    async fn end(&self, tx: &mut PgConnection, id: SessionId) -> Result<Done, NotDone> {
        let session = lock(tx, id).await?;
        let ended_at =
            session::end(&session, self.request.requested_at).map_err(illegal(Move::End, &session))?;
        let (facts, there) = records::close(tx, &session, ended_at, self.cause).await?;
        let session = Session { state: SessionState::Completed, ..session };
        Ok((SessionAnswer { attendance_count: Some(there), ..answer(&session) }, facts))
    }

    async fn reopen(
        &self,
        tx: &mut PgConnection,
        id: SessionId,
        wanted: Option<DateTime<Utc>>,
        reason: &str,
    ) -> Result<Done, NotDone> {
        let closed = lock(tx, id).await?;
        let at = self.request.requested_at;
        let hours = configuration::reopen_within_hours(tx, at).await?;
        let within = TimeDelta::hours(hours.into());
        let ends_at = session::reopen(&closed, wanted, at, within).map_err(|reason| match reason {
            NotReopened::Illegal(reason) => illegal(Move::Reopen, &closed)(reason),
            NotReopened::BadEnd(plan) => unsound(plan),
            NotReopened::TooLate => NotDone::Refused(answers::too_late(&closed, hours)),
        })?;
        current_class(tx, closed.class_id).await?;
        // The time in between is nobody's; the time before is taken as it was.
        let plan = SessionPlan { starts_at: at, ends_at, ..sessions::plan_of(tx, id).await? };
        if let Some(other) = sessions::in_the_way(tx, (id, closed.class_id), &plan).await? {
            return Err(NotDone::Refused(answers::overlap(&other, closed.class_id)));
        }
        let closed_at = closed.ended_at.unwrap_or(at);
        let pause = Pause {
            request_id: self.request.request_id,
            session_id: id,
            closed_at,
            reopened_at: at,
            reopened_by: self.request.requested_by,
            reason: reason.to_owned(),
        };
        sessions::reopen(tx, &pause, ends_at).await?;
        let session = lock(tx, id).await?;
        // What happened while it was closed does not count, whenever it is handled: codes of before end where it ended.
        qr_codes::retire_codes(tx, id, closed_at).await?;
        looks::forget_votes(tx, id, closed_at, at).await?;
        looks::forget_scans(tx, id, closed_at, at).await?;
        let withdrawn = attendance::withdraw_absences(tx, id, self.cause.id, self.cause.handled_at).await?;
        let from = after_newest(tx, id, at).await?;
        let settings = classes::settings(tx, session.class_id, from).await?;
        let code = self.show_code(tx, &session, from, &settings).await?;
        let mut facts = vec![
            facts::session_reopened(&session, &pause, withdrawn.len() as u64),
            facts::qr_rotated(session.class_id, &code),
        ];
        // Whoever was told of an absence is told that it is none.
        let cause = (self.cause.id, self.cause.handled_at);
        let absent = AttendanceStatus::Absent;
        facts.extend(withdrawn.into_iter().map(|student| facts::withdrawn(&session, student, absent, cause)));
        Ok((answer_with_code(&session, &code), facts))
    }

    async fn rotate(&self, tx: &mut PgConnection, id: SessionId) -> Result<Done, NotDone> {
        let session = lock(tx, id).await?;
        let asked_at = session::rotate(&session, self.request.requested_at)
            .map_err(illegal(Move::RotateQr, &session))?;
        let from = after_newest(tx, id, asked_at).await?;
        let settings = classes::settings(tx, session.class_id, from).await?;
        qr_codes::retire_codes(tx, id, from).await?;
        let code = self.show_code(tx, &session, from, &settings).await?;
        Ok((answer_with_code(&session, &code), vec![facts::qr_rotated(session.class_id, &code)]))
    }

    /// A new code that is valid from then on.
    async fn show_code(
        &self,
        tx: &mut PgConnection,
        session: &Session,
        from: DateTime<Utc>,
        settings: &ClassSettings,
    ) -> Result<QrCode, StoreError> {
        let ttl = code_ttl(session.qr_ttl_seconds, settings);
        let code = draw_code(session.id, from..from + ttl, self.entropy);
        qr_codes::add_code(tx, &code).await?;
        Ok(code)
    }
}

/// From when a code is valid that is asked for at `at`: after the code that it replaces, or that one would stay the newest.
async fn after_newest(
    tx: &mut PgConnection,
    id: SessionId,
    at: DateTime<Utc>,
) -> Result<DateTime<Utc>, StoreError> {
    let newest = qr_codes::newest_code(tx, id).await?;
    Ok(newest.map_or(at, |code| at.max(code.valid_from + TimeDelta::microseconds(1))))
}

/// The class of a session, which must take place.
async fn active_class(tx: &mut PgConnection, id: ClassId) -> Result<Class, NotDone> {
    let class = current_class(tx, id).await?;
    if class.is_active {
        return Ok(class);
    }
    Err(refuse(Code::Conflict, "The class does not take place at present.", json!({ "classId": id })))
}

/// The class of a session, which must not be archived.
async fn current_class(tx: &mut PgConnection, id: ClassId) -> Result<Class, NotDone> {
    let details = json!({ "classId": id });
    match classes::find(tx, id).await? {
        None => Err(refuse(Code::NotFound, "There is no such class.", details)),
        Some(class) if class.archived_at.is_some() => {
            Err(refuse(Code::Conflict, "The class is archived: take it back first.", details))
        }
        Some(class) => Ok(class),
    }
}

/// How a move is refused.
fn illegal(step: Move, session: &Session) -> impl FnOnce(IllegalMove) -> NotDone {
    move |reason| NotDone::Refused(answers::illegal(step, session, reason))
}

/// How a plan is refused.
fn unsound(BadPlan { field, reason }: BadPlan) -> NotDone {
    refuse(Code::ValidationFailed, reason, json!({ "fields": [{ "field": field, "message": reason }] }))
}

async fn lock(tx: &mut PgConnection, id: SessionId) -> Result<Session, NotDone> {
    let session = sessions::lock(tx, id).await?;
    session.ok_or_else(|| refuse(Code::NotFound, "There is no such session.", json!({ "sessionId": id })))
}

fn refuse(code: Code, message: &str, details: Value) -> NotDone {
    NotDone::Refused(answers::refusal(code, message, details))
}

/// A new code of a session. Its id, unlike its token, is a function of session and time.
pub(crate) fn draw_code(session_id: SessionId, valid: Range<DateTime<Utc>>, entropy: &Entropy) -> QrCode {
    let micros = valid.start.timestamp_micros().to_be_bytes();
    QrCode {
        id: QrTokenId::derive(&[session_id.0.as_bytes(), &micros]),
        session_id,
        token: QrToken(entropy.uuid_v4()),
        valid_from: valid.start,
        expires_at: valid.end,
    }
}

fn answer(session: &Session) -> SessionAnswer {
    SessionAnswer {
        session_id: session.id,
        class_id: session.class_id,
        state: session.state,
        qr_token_id: None,
        qr_expires_at: None,
        attendance_count: None,
    }
}

fn answer_with_code(session: &Session, code: &QrCode) -> SessionAnswer {
    SessionAnswer { qr_token_id: Some(code.id), qr_expires_at: Some(code.expires_at), ..answer(session) }
}
