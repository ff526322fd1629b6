//! Sessions are planned, opened, closed and given new codes, as asked.

use crate::{
    answers::{self, To},
    deps::{Deps, read, traced, until_uncrossed},
    error::WorkError,
    facts,
    policy::session::{self, IllegalMove, Move},
    records::{self, Cause, Change},
    trace::Trace,
};
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_bus::{Delivery, HandleError, Handler};
use rollcall_schemas::{
    code::Code,
    fact::{Fact, Scope, SessionState},
    id::{ClassId, QrTokenId, SessionId},
    outcome::{Answer, Refusal, SessionAnswer},
    request::{SessionCommand, SessionRequest},
    scan::QrToken,
};
use rollcall_service::clock::Entropy;
use rollcall_store::{
    PgConnection, StoreError, classes,
    outbox::{self, OutboxMessage},
    sessions::{self, QrCode, Session},
};
use serde_json::json;
use std::ops::Range;
use tracing::Instrument;

/// Handles the requests of kind `session`.
pub(crate) struct ChangeSession(pub(crate) Deps);

/// What came of a command: the answer and the facts, or why it is refused.
type Done = Result<(SessionAnswer, Vec<Fact>), Refusal>;

impl ChangeSession {
    async fn change(&self, request: &SessionRequest, trace: &Trace) -> Result<(), WorkError> {
        let now = self.0.clock.now();
        let cause = Cause { id: request.request_id.0, trace_id: trace.id(), handled_at: now };
        let mut tx = self.0.begin().await?;
        if outbox::begin_handling(&mut tx, cause.id, now).await? {
            let done = Command { request, cause: &cause, entropy: &self.0.entropy }.run(&mut tx).await?;
            let messages = traced(messages(request, done, now), &trace.headers());
            outbox::enqueue(&mut tx, cause.id, now, &messages).await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
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

fn messages(request: &SessionRequest, done: Done, now: DateTime<Utc>) -> Vec<OutboxMessage> {
    let to = To { request_id: request.request_id, caller: request.requested_by, decided_at: now };
    let (outcome, facts) = match done {
        Ok((answer, facts)) => (to.succeeded(Answer::Session(answer)), facts),
        Err(refusal) => (to.failed(refusal), Vec::new()),
    };
    // The answer goes first: whoever asked should not wait until every absence is told.
    let facts = facts.iter().map(OutboxMessage::fact);
    std::iter::once(OutboxMessage::outcome(&outcome)).chain(facts).collect()
}

/// A command that is being carried out.
struct Command<'a> {
    request: &'a SessionRequest,
    cause: &'a Cause,
    entropy: &'a Entropy,
}

impl Command<'_> {
    async fn run(&self, tx: &mut PgConnection) -> Result<Done, WorkError> {
        let (session_id, step) = match self.request.command {
            SessionCommand::Create { class_id, starts_at, ends_at } => {
                return self.create(tx, class_id, starts_at..ends_at).await;
            }
            SessionCommand::Start { session_id } => (session_id, Move::Start),
            SessionCommand::End { session_id } => (session_id, Move::End),
            SessionCommand::RotateQr { session_id } => (session_id, Move::RotateQr),
        };
        let Some(session) = sessions::lock(tx, session_id).await? else {
            let details = json!({ "sessionId": session_id });
            return Ok(Err(answers::refusal(Code::NotFound, "There is no such session.", details)));
        };
        let done = match step {
            Move::Start => self.start(tx, &session).await?,
            Move::End => self.end(tx, &session).await?,
            Move::Announce | Move::RotateQr => self.rotate(tx, &session).await?,
        };
        Ok(done.map_err(|reason| answers::illegal(step, &session, reason)))
    }

    async fn create(
        &self,
        tx: &mut PgConnection,
        class_id: ClassId,
        planned: Range<DateTime<Utc>>,
    ) -> Result<Done, WorkError> {
        if planned.is_empty() {
            let details = json!({ "field": "endsAt" });
            return Ok(Err(answers::refusal(
                Code::ValidationFailed,
                "A session ends after it begins.",
                details,
            )));
        }
        if !classes::find(tx, class_id).await?.is_some_and(|class| class.is_active) {
            let details = json!({ "classId": class_id });
            return Ok(Err(answers::refusal(Code::NotFound, "There is no such class.", details)));
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
        Ok(Ok((answer(&session), Vec::new())))
    }

    async fn start(
        &self,
        tx: &mut PgConnection,
        session: &Session,
    ) -> Result<Result<(SessionAnswer, Vec<Fact>), IllegalMove>, WorkError> {
        let started_at = match session::start(session, self.request.requested_at) {
            Ok(started_at) => started_at,
            Err(reason) => return Ok(Err(reason)),
        };
        sessions::start(tx, session.id, started_at).await?;
        let session = Session { state: SessionState::Active, started_at: Some(started_at), ..*session };
        let settings = classes::settings(tx, session.class_id, started_at).await?;
        let code =
            draw_code(session.id, started_at..session::code_expiry(started_at, &settings), self.entropy);
        sessions::add_code(tx, &code).await?;
        // Faces seen before this request was handled, but after it was made.
        let changes = records::settle_votes(tx, (&session, &settings), None, self.cause).await?;
        let mut facts = vec![facts::session_started(&session, started_at), rotated(&session, &code)];
        facts.extend(changes.iter().map(Change::fact));
        Ok(Ok((answer_with_code(&session, &code), facts)))
    }

    async fn end(
        &self,
        tx: &mut PgConnection,
        session: &Session,
    ) -> Result<Result<(SessionAnswer, Vec<Fact>), IllegalMove>, WorkError> {
        let ended_at = match session::end(session, self.request.requested_at) {
            Ok(ended_at) => ended_at,
            Err(reason) => return Ok(Err(reason)),
        };
        let began = session.started_at.unwrap_or(session.starts_at);
        let settings = classes::settings(tx, session.class_id, began).await?;
        let (facts, records) = records::close(tx, (session, &settings), ended_at, self.cause).await?;
        let session = Session { state: SessionState::Completed, ..*session };
        Ok(Ok((SessionAnswer { attendance_count: Some(records), ..answer(&session) }, facts)))
    }

    async fn rotate(
        &self,
        tx: &mut PgConnection,
        session: &Session,
    ) -> Result<Result<(SessionAnswer, Vec<Fact>), IllegalMove>, WorkError> {
        let asked_at = match session::rotate(session, self.request.requested_at) {
            Ok(asked_at) => asked_at,
            Err(reason) => return Ok(Err(reason)),
        };
        // After the code that it replaces, or that one would stay the newest.
        let newest = sessions::newest_code(tx, session.id).await?;
        let from = newest.map_or(asked_at, |code| asked_at.max(code.valid_from + TimeDelta::microseconds(1)));
        let settings = classes::settings(tx, session.class_id, from).await?;
        let code = draw_code(session.id, from..session::code_expiry(from, &settings), self.entropy);
        sessions::retire_codes(tx, session.id, from).await?;
        sessions::add_code(tx, &code).await?;
        Ok(Ok((answer_with_code(session, &code), vec![rotated(session, &code)])))
    }
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

fn rotated(session: &Session, code: &QrCode) -> Fact {
    let scope = Scope { session_id: Some(session.id), class_id: Some(session.class_id), camera_id: None };
    facts::qr_rotated(scope, code)
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
