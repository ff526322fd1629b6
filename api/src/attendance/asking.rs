//! How a person's word reaches the attendance worker, which writes the records.

use crate::{
    ask::{Asked, IdempotencyKey, Pending, trace_headers},
    audit::{Act, Audit},
    error::ApiError,
    extract::Caller,
    state::Api,
};
use axum::extract::FromRequestParts;
use rollcall_bus::Message;
use rollcall_schemas::{
    header::REQUEST_ID,
    outcome::Answer,
    request::{AttendanceCommand, AttendanceRequest},
    subject::{self, RequestKind},
};
use rollcall_service::http::Problem;

/// Who speaks, and under which key.
#[derive(FromRequestParts)]
#[from_request(state(Api))]
pub(super) struct Speaker {
    pub(super) caller: Caller,
    pub(super) audit: Audit,
    key: IdempotencyKey,
}

/// What became of a word.
pub(super) enum Told {
    Done(Answer),
    Pending(Pending),
}

impl Speaker {
    /// Asks the attendance worker. That it was asked is on record, as `act`, before it is.
    pub(super) async fn ask(self, api: &Api, command: AttendanceCommand, act: Act) -> Result<Told, ApiError> {
        let Self { caller, audit, key } = self;
        let content = serde_json::to_vec(&command).expect("commands of the contract serialise");
        let request_id = key.request_id(api, &caller, RequestKind::Attendance.name(), &content);
        audit.record(&mut *api.connection().await?, act.after(&command)).await?;
        let requested_at = api.clock().now();
        let request = AttendanceRequest { request_id, requested_by: caller.id(), requested_at, command };
        let mut headers = trace_headers();
        headers.push((REQUEST_ID, request_id.to_string()));
        let question = Message::json(subject::request(RequestKind::Attendance), request_id, &request)
            .map_err(Problem::internal)?
            .with_headers(headers);
        match api.ask(question, request_id).await? {
            Asked::Answered(answer) => Ok(Told::Done(answer)),
            Asked::Pending(pending) => Ok(Told::Pending(pending)),
        }
    }
}
