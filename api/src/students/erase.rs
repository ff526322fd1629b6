//! `DELETE /students/{id}/faces`, and the same as a consequence of deleting a person.

use super::find;
use crate::{
    ask::{Asked, IdempotencyKey, Pending, mismatched, trace_headers},
    audit::{Act, Audit},
    error::ApiError,
    extract::Caller,
    state::Api,
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use rollcall_bus::Message;
use rollcall_schemas::{
    header::REQUEST_ID,
    id::{RequestId, UserId},
    outcome::{Answer, FacesErasedAnswer},
    request::EraseFaces,
    subject::{self, RequestKind},
};
use rollcall_service::http::{Path, Problem, Success, SuccessEnvelope};
use rollcall_store::outbox::OutboxMessage;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// What was erased.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErasedData {
    /// The person, and how many photographs there were.
    erased: FacesErasedAnswer,
}

/// Erase a student's face: photographs, embeddings and templates.
///
/// They are no longer recognised; their account, classes and records stay.
#[utoipa::path(
    delete,
    path = "/api/v1/students/{id}/faces",
    tag = "students",
    params(
        ("id" = Uuid, Path, description = "The student"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats a call without repeating its effect"),
    ),
    responses(
        (status = 200, description = "Erased", body = SuccessEnvelope<ErasedData>),
        (status = 202, description = "The answer is still to come", body = SuccessEnvelope<Pending>),
    )
)]
pub(crate) async fn erase_faces(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Path(id): Path<UserId>,
    key: IdempotencyKey,
) -> Result<Response, ApiError> {
    let mut db = api.connection().await?;
    find(&mut db, id).await?;
    let request_id = key.request_id(&api, &caller, RequestKind::EraseFaces.name(), id.0.as_bytes());
    audit
        .record(&mut db, Act::of("faces.erasure_asked", id).after(&json!({ "requestId": request_id })))
        .await?;
    drop(db);
    let mut headers = trace_headers();
    headers.push((REQUEST_ID, request_id.to_string()));
    let request = request(&api, &caller, id, request_id);
    let question = Message::json(subject::request(RequestKind::EraseFaces), request_id, &request)
        .map_err(Problem::internal)?
        .with_headers(headers);
    match api.ask(question, request_id).await? {
        Asked::Answered(Answer::FacesErased(erased)) => {
            Ok(Success::new(StatusCode::OK, "FACES_ERASED", ErasedData { erased }).into_response())
        }
        Asked::Answered(_) => Err(mismatched()),
        Asked::Pending(pending) => Ok(pending.into_response()),
    }
}

/// What goes with the deletion of a person, to be committed with it: nobody who is gone keeps a face here.
pub(crate) fn erasure(api: &Api, caller: &Caller, user_id: UserId) -> OutboxMessage {
    let request_id = RequestId(api.entropy().uuid_v4());
    let request = request(api, caller, user_id, request_id);
    OutboxMessage::request(RequestKind::EraseFaces, request_id, &request)
}

fn request(api: &Api, caller: &Caller, user_id: UserId, request_id: RequestId) -> EraseFaces {
    EraseFaces { request_id, requested_by: caller.id(), requested_at: api.clock().now(), user_id }
}
