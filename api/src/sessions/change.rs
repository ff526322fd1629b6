//! `POST /sessions`, `PUT /sessions/{id}/start` and `PUT /sessions/{id}/end`, and how the attendance worker is asked to
//! change a session.

use super::{SessionBody, SessionData, find, qr::CodeData};
use crate::{
    access::owns_class,
    ask::{Asked, IdempotencyKey, Pending, mismatched, trace_headers},
    audit::{Act, Audit},
    classes,
    error::ApiError,
    extract::{Body, Caller},
    state::Api,
};
use axum::{
    extract::{FromRequestParts, State},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use garde::Validate;
use rollcall_bus::Message;
use rollcall_schemas::{
    header::REQUEST_ID,
    id::{ClassId, SessionId},
    outcome::{Answer, SessionAnswer},
    request::{SessionCommand, SessionPlan, SessionRequest},
    subject::{self, RequestKind},
    to_micros,
};
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Success, SuccessEnvelope};
use rollcall_store::session_views;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest session: a day of projects, not a week that somebody mistyped.
const MAX_DURATION: TimeDelta = TimeDelta::hours(24);
/// How far from now a session may begin.
const MAX_DISTANCE: TimeDelta = TimeDelta::days(365);

/// A session to be planned.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "classId": "7d6a2f0e-5b1c-4e8a-9f43-1c2b3a4d5e6f", "startTime": "2026-11-20T09:00:00Z", "endTime": "2026-11-20T09:45:00Z", "room": "B 12" }))]
pub(crate) struct NewSession {
    /// The class.
    #[garde(skip)]
    #[schema(value_type = Uuid)]
    class_id: ClassId,
    /// When it begins: within a year of now.
    #[garde(skip)]
    start_time: DateTime<Utc>,
    /// When it ends: after it begins, by at most 24 hours.
    #[garde(custom(|end: &DateTime<Utc>, _: &()| ends_well(*end, self.start_time)))]
    end_time: DateTime<Utc>,
    /// The room; absent means the room of the class.
    #[garde(length(chars, max = 100))]
    room: Option<String>,
    /// Whether another session of the class, or in the room, may take place at the same time.
    #[garde(skip)]
    #[serde(default)]
    allow_overlap: bool,
    /// How long its codes are valid, in seconds, if not as long as the class says.
    #[garde(range(min = 2, max = 86_400))]
    qr_ttl_seconds: Option<i32>,
}

pub(super) fn ends_well(end: DateTime<Utc>, start: DateTime<Utc>) -> garde::Result {
    if end <= start {
        return Err(garde::Error::new("must be after startTime"));
    }
    if end - start > MAX_DURATION {
        return Err(garde::Error::new(format!(
            "must be at most {} hours after startTime",
            MAX_DURATION.num_hours()
        )));
    }
    Ok(())
}

/// Refuses a year mistyped, which would be a session that never comes.
pub(super) fn is_near(start: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), Problem> {
    if (start - now).abs() <= MAX_DISTANCE {
        return Ok(());
    }
    let message = format!("must be within {} days of now", MAX_DISTANCE.num_days());
    Err(Problem::validation([("startTime", message)]))
}

/// Plan a session of a class.
#[utoipa::path(
    post,
    path = "/api/v1/sessions",
    tag = "sessions",
    params(("Idempotency-Key" = Option<String>, Header, description = "Repeats a call without repeating its effect")),
    request_body = NewSession,
    responses(
        (status = 201, description = "Planned", body = SuccessEnvelope<SessionData>),
        (status = 202, description = "The answer is still to come", body = SuccessEnvelope<Pending>),
        (status = 404, description = "`NOT_FOUND`: no such class", body = ErrorEnvelope),
        (status = 409, description = "`CONFLICT`: another session of the class or in the room takes place then, which the details name; or the class is archived, or does not take place", body = ErrorEnvelope),
    )
)]
pub(crate) async fn create_session(
    State(api): State<Api>,
    asking: Asking,
    Body(new): Body<NewSession>,
) -> Result<Response, ApiError> {
    is_near(new.start_time, api.clock().now())?;
    let mut db = api.connection().await?;
    classes::find(&mut db, new.class_id).await?;
    owns_class(&mut db, &asking.caller, new.class_id).await?;
    drop(db);
    let command = SessionCommand::Create {
        class_id: new.class_id,
        plan: SessionPlan {
            starts_at: to_micros(new.start_time),
            ends_at: to_micros(new.end_time),
            room: new.room.as_deref().and_then(classes::room),
            allow_overlap: new.allow_overlap,
            qr_ttl_seconds: new.qr_ttl_seconds,
        },
    };
    match asking.ask(&api, command).await? {
        Told::Done(answer) => {
            let session = find(&mut *api.connection().await?, answer.session_id).await?;
            Ok(Success::created("SESSION_CREATED", SessionData { session: session.into() }).into_response())
        }
        Told::Pending(pending) => Ok(pending.into_response()),
    }
}

/// Open a session for attendance, and get its first code.
#[utoipa::path(
    put,
    path = "/api/v1/sessions/{id}/start",
    tag = "sessions",
    params(
        ("id" = Uuid, Path, description = "The session"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats a call without repeating its effect"),
    ),
    responses(
        (status = 200, description = "Opened", body = SuccessEnvelope<CodeData>),
        (status = 202, description = "The answer is still to come", body = SuccessEnvelope<Pending>),
        (status = 409, description = "`CONFLICT` or `SESSION_NOT_ACTIVE`: the session is open or over, or begins in more than an hour", body = ErrorEnvelope),
    )
)]
pub(crate) async fn start_session(
    State(api): State<Api>,
    asking: Asking,
    Path(session_id): Path<SessionId>,
) -> Result<Response, ApiError> {
    find(&mut *api.connection().await?, session_id).await?;
    let told = asking.ask(&api, SessionCommand::Start { session_id }).await?;
    with_code(&api, told, "SESSION_STARTED").await
}

/// A session that has ended.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndedData {
    session: SessionBody,
    /// How many were there, in time or late.
    attendance_count: u64,
}

/// Close a session, and record the absent.
#[utoipa::path(
    put,
    path = "/api/v1/sessions/{id}/end",
    tag = "sessions",
    params(
        ("id" = Uuid, Path, description = "The session"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats a call without repeating its effect"),
    ),
    responses(
        (status = 200, description = "Closed", body = SuccessEnvelope<EndedData>),
        (status = 202, description = "The answer is still to come", body = SuccessEnvelope<Pending>),
        (status = 409, description = "`CONFLICT` or `SESSION_NOT_ACTIVE`: the session is not open", body = ErrorEnvelope),
    )
)]
pub(crate) async fn end_session(
    State(api): State<Api>,
    asking: Asking,
    Path(session_id): Path<SessionId>,
) -> Result<Response, ApiError> {
    find(&mut *api.connection().await?, session_id).await?;
    match asking.ask(&api, SessionCommand::End { session_id }).await? {
        Told::Done(answer) => {
            let session = find(&mut *api.connection().await?, answer.session_id).await?;
            let attendance_count = answer.attendance_count.unwrap_or_default();
            let data = EndedData { session: session.into(), attendance_count };
            Ok(Success::new(http::StatusCode::OK, "SESSION_ENDED", data).into_response())
        }
        Told::Pending(pending) => Ok(pending.into_response()),
    }
}

/// What became of a command.
pub(super) enum Told {
    Done(SessionAnswer),
    Pending(Pending),
}

/// Somebody's call for a change of a session.
#[derive(FromRequestParts)]
#[from_request(state(Api))]
pub(crate) struct Asking {
    caller: Caller,
    audit: Audit,
    key: IdempotencyKey,
}

impl Asking {
    /// Asks the attendance worker to change a session. That it was asked is on record before it is.
    pub(super) async fn ask(self, api: &Api, command: SessionCommand) -> Result<Told, ApiError> {
        let Self { caller, audit, key } = self;
        let content = serde_json::to_vec(&command).expect("commands of the contract serialise");
        let request_id = key.request_id(api, &caller, RequestKind::Session.name(), &content);
        audit.record(&mut *api.connection().await?, act(&command)).await?;
        let requested_at = api.clock().now();
        let request = SessionRequest { request_id, requested_by: caller.id(), requested_at, command };
        let mut headers = trace_headers();
        headers.push((REQUEST_ID, request_id.to_string()));
        let question = Message::json(subject::request(RequestKind::Session), request_id, &request)
            .map_err(Problem::internal)?
            .with_headers(headers);
        match api.ask(question, request_id).await? {
            Asked::Answered(Answer::Session(answer)) => Ok(Told::Done(answer)),
            Asked::Answered(_) => Err(mismatched()),
            Asked::Pending(pending) => Ok(Told::Pending(pending)),
        }
    }
}

/// What the audit says of a command. A session that is yet to be made has no id.
fn act(command: &SessionCommand) -> Act {
    match command {
        SessionCommand::Create { .. } => Act::on_all("session.creation_asked").after(command),
        SessionCommand::Change { session_id, plan } => {
            Act::of("session.change_asked", session_id).after(plan)
        }
        SessionCommand::Cancel { session_id } => Act::of("session.cancellation_asked", session_id),
        SessionCommand::Start { session_id } => Act::of("session.start_asked", session_id),
        SessionCommand::End { session_id } => Act::of("session.end_asked", session_id),
        SessionCommand::Reopen { session_id, .. } => {
            Act::of("session.reopening_asked", session_id).after(command)
        }
        SessionCommand::RotateQr { session_id } => Act::of("session.code_asked", session_id),
    }
}

/// The session with the code that the worker made for it. The log never holds the code itself.
pub(super) async fn with_code(api: &Api, told: Told, code: &'static str) -> Result<Response, ApiError> {
    let answer = match told {
        Told::Done(answer) => answer,
        Told::Pending(pending) => return Ok(pending.into_response()),
    };
    let mut db = api.connection().await?;
    let session = find(&mut db, answer.session_id).await?;
    let shown = match answer.qr_token_id {
        Some(id) => session_views::code(&mut db, id).await?,
        None => None,
    };
    let shown = shown.ok_or_else(|| Problem::conflict("the session has no code: it may have ended"))?;
    Ok(Success::new(http::StatusCode::OK, code, CodeData::new(session, shown)?).into_response())
}
