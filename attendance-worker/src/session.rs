//! Sessions are planned, opened, closed and given new codes, as asked.

use crate::{
    answers::{self, To},
    deps::{Deps, read, traced, until_uncrossed},
    error::WorkError,
    facts,
    policy::session::{self, BadPlan, Move},
    records::{self, Cause, Change},
    trace::Trace,
};
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_bus::{Delivery, HandleError, Handler};
use rollcall_schemas::{
    code::Code,
    fact::{Fact, SessionState},
    id::{ClassId, QrTokenId, SessionId},
    outcome::{Answer, Refusal, SessionAnswer},
    request::{SessionCommand, SessionRequest},
    scan::QrToken,
};
use rollcall_service::clock::Entropy;
use rollcall_store::{
    PgConnection, StoreError, classes, looks,
    outbox::{self, OutboxMessage},
    sessions::{self, QrCode, Session},
};
use serde_json::{Value, json};
use std::ops::Range;
use tracing::Instrument;

/// Handles the requests of kind `session`.
pub(crate) struct ChangeSession(pub(crate) Deps);

/// The answer to a command, and the facts that follow from it.
type Done = (SessionAnswer, Vec<Fact>);

/// Why a command is not carried out.
#[derive(Debug)]
enum NotDone {
    /// It is refused, and has changed nothing.
    Refused(Refusal),
    /// It could not be decided.
    Failed(WorkError),
}

impl<E: Into<WorkError>> From<E> for NotDone {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl ChangeSession {
    async fn change(&self, request: &SessionRequest, trace: &Trace) -> Result<(), WorkError> {
        let now = self.0.clock.now();
        let cause = Cause { id: request.request_id.0, trace_id: trace.id(), handled_at: now };
        let mut tx = self.0.begin().await?;
        if outbox::begin_handling(&mut tx, cause.id, now).await? {
            let done = Command { request, cause: &cause, entropy: &self.0.entropy }.run(&mut tx).await;
            let (messages, facts) = told(request, done, now)?;
            outbox::enqueue(&mut tx, cause.id, now, &traced(messages, &trace.headers())).await?;
            tx.commit().await.map_err(StoreError::from)?;
            facts::count(&facts, now);
        }
        Ok(())
    }
}

impl Handler for ChangeSession {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        let span = tracing::info_span!("change_session");
        let trace = Trace::take_up(&delivery, &span);
        let request: SessionRequest = read(&delivery)?;
        async {
            until_uncrossed(|| self.change(&request, &trace)).await?;
            self.0.deliver(request.request_id.0).await
        }
        .instrument(span)
        .await?;
        Ok(())
    }
}

/// What is to be told of a command: the answer first, as whoever asked should not wait until every absence is told.
fn told(
    request: &SessionRequest,
    done: Result<Done, NotDone>,
    now: DateTime<Utc>,
) -> Result<(Vec<OutboxMessage>, Vec<Fact>), WorkError> {
    let to = To { request_id: request.request_id, caller: request.requested_by, decided_at: now };
    let (outcome, facts) = match done {
        Ok((answer, facts)) => (to.succeeded(Answer::Session(answer)), facts),
        Err(NotDone::Refused(refusal)) => (to.failed(refusal), Vec::new()),
        Err(NotDone::Failed(error)) => return Err(error),
    };
    let messages =
        std::iter::once(OutboxMessage::outcome(&outcome)).chain(facts.iter().map(OutboxMessage::fact));
    Ok((messages.collect(), facts))
}

/// A command that is being carried out.
struct Command<'a> {
    request: &'a SessionRequest,
    cause: &'a Cause,
    entropy: &'a Entropy,
}

impl Command<'_> {
    async fn run(&self, tx: &mut PgConnection) -> Result<Done, NotDone> {
        match self.request.command {
            SessionCommand::Create { class_id, starts_at, ends_at } => {
                self.create(tx, class_id, starts_at..ends_at).await
            }
            SessionCommand::Start { session_id } => self.start(tx, session_id).await,
            SessionCommand::End { session_id } => self.end(tx, session_id).await,
            SessionCommand::RotateQr { session_id } => self.rotate(tx, session_id).await,
        }
    }

    async fn create(
        &self,
        tx: &mut PgConnection,
        class_id: ClassId,
        planned: Range<DateTime<Utc>>,
    ) -> Result<Done, NotDone> {
        session::check_plan(&planned, self.request.requested_at).map_err(|BadPlan { field, reason }| {
            refuse(Code::ValidationFailed, reason, json!({ "field": field }))
        })?;
        if !classes::find(tx, class_id).await?.is_some_and(|class| class.is_active) {
            return Err(refuse(Code::NotFound, "There is no such class.", json!({ "classId": class_id })));
        }
        let session = Session {
            id: SessionId::derive(&[self.request.request_id.0.as_bytes()]),
            class_id,
            starts_at: planned.start,
            ends_at: planned.end,
            state: SessionState::Scheduled,
            started_at: None,
            ended_at: None,
        };
        sessions::plan(tx, &session, self.request.requested_at).await?;
        Ok((answer(&session), Vec::new()))
    }

    async fn start(&self, tx: &mut PgConnection, id: SessionId) -> Result<Done, NotDone> {
        let session = lock(tx, id).await?;
        let started_at = session::start(&session, self.request.requested_at)
            .map_err(|reason| NotDone::Refused(answers::illegal(Move::Start, &session, reason)))?;
        sessions::start(tx, id, started_at).await?;
        let session = Session { state: SessionState::Active, started_at: Some(started_at), ..session };
        let settings = classes::settings(tx, session.class_id, started_at).await?;
        let code = draw_code(id, started_at..session::code_expiry(started_at, &settings), self.entropy);
        sessions::add_code(tx, &code).await?;
        looks::forget_votes_before(tx, id, started_at).await?;
        // Faces seen before this request was handled, but after it was made.
        let changes = records::settle_votes(tx, (&session, &settings), None, self.cause).await?;
        let mut facts =
            vec![facts::session_started(&session, started_at), facts::qr_rotated(session.class_id, &code)];
        facts.extend(changes.iter().filter_map(Change::fact));
        Ok((answer_with_code(&session, &code), facts))
    }

    async fn end(&self, tx: &mut PgConnection, id: SessionId) -> Result<Done, NotDone> {
        let session = lock(tx, id).await?;
        let ended_at = session::end(&session, self.request.requested_at)
            .map_err(|reason| NotDone::Refused(answers::illegal(Move::End, &session, reason)))?;
        let (facts, records) = records::close(tx, &session, ended_at, self.cause).await?;
        let session = Session { state: SessionState::Completed, ..session };
        Ok((SessionAnswer { attendance_count: Some(records), ..answer(&session) }, facts))
    }

    async fn rotate(&self, tx: &mut PgConnection, id: SessionId) -> Result<Done, NotDone> {
        let session = lock(tx, id).await?;
        let asked_at = session::rotate(&session, self.request.requested_at)
            .map_err(|reason| NotDone::Refused(answers::illegal(Move::RotateQr, &session, reason)))?;
        // After the code that it replaces, or that one would stay the newest.
        let newest = sessions::newest_code(tx, id).await?;
        let from = newest.map_or(asked_at, |code| asked_at.max(code.valid_from + TimeDelta::microseconds(1)));
        let settings = classes::settings(tx, session.class_id, from).await?;
        let code = draw_code(id, from..session::code_expiry(from, &settings), self.entropy);
        sessions::retire_codes(tx, id, from).await?;
        sessions::add_code(tx, &code).await?;
        Ok((answer_with_code(&session, &code), vec![facts::qr_rotated(session.class_id, &code)]))
    }
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
