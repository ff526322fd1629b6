//! `GET /events`: what happens, as it happens (Server-Sent Events, WHATWG HTML section 9.2).
//!
//! The cursor of a stream is a sequence of FACTS, told as the event's id: a client that comes back with the last one it
//! saw goes on after it, without loss or repeat, however long it was away. One reader of the log per process serves all
//! watchers with bytes rendered once; a watcher that is behind reads the log on its own until it has caught up.

mod announcement;
mod follower;
mod hub;
mod live_event;
mod room;
mod told;
mod watcher;
mod watching;

pub(crate) use follower::{Follower, Gap, Next};
pub(crate) use hub::EventHub;
pub(crate) use live_event::{LiveEvent, Visibility};
pub(crate) use room::Room;
pub(crate) use told::{
    AttendanceMarked, InRoom, Missed, MissedBecause, QrUpdated, SessionEnded, SessionStarted,
};
pub(crate) use watching::{Turns, Watchers, Watching};

use crate::{access::owns_class, error::ApiError, extract::Caller, state::Api};
use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use live_event::Filter;
use rollcall_schemas::{
    fact::FactEvent,
    id::{CameraId, ClassId, SessionId},
};
use rollcall_service::http::{ErrorEnvelope, Problem, Query};
use rollcall_store::session_views;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use watcher::Watcher;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(watch_events))
}

/// Which events are wanted, and from where.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventParams {
    /// Those of one session.
    #[param(value_type = Option<Uuid>)]
    session: Option<SessionId>,
    /// Those of one class.
    #[param(value_type = Option<Uuid>)]
    class: Option<ClassId>,
    /// Those of one camera.
    #[param(value_type = Option<Uuid>)]
    camera: Option<CameraId>,
    /// Those of one type, such as `attendance.recorded`; may be repeated.
    #[serde(default, rename = "type")]
    types: Vec<String>,
    /// The last event seen, where the `Last-Event-ID` header cannot be set.
    last_event_id: Option<u64>,
}

/// One event of the stream (HTML standard, server-sent events).
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what a stream is made of")]
struct StreamedEvent {
    /// Its place in the log: what `Last-Event-ID` goes on after.
    id: Option<String>,
    /// The type of the fact, or `reset`.
    event: Option<String>,
    /// The fact, as JSON.
    data: String,
}

/// Watch what happens.
///
/// `Last-Event-ID` resumes after that event. An event `reset` says that events after it are gone from the log, and that
/// the stream goes on with the oldest one left. The stream ends when the token does; come back with a new one.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "events",
    params(
        EventParams,
        ("Last-Event-ID" = Option<u64>, Header, description = "The last event seen"),
    ),
    responses(
        (status = 200, description = "The stream", content_type = "text/event-stream", body = StreamedEvent),
        (status = 404, description = "`NOT_FOUND`: there is no such class or session", body = ErrorEnvelope),
    )
)]
pub(crate) async fn watch_events(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Query(params): Query<EventParams>,
) -> Result<Response, ApiError> {
    let (of_header, of_query) = (last_event_id(&headers)?, params.last_event_id);
    // Places in the log are shown as signed numbers of 64 bits.
    if of_header.into_iter().chain(of_query).any(|id| i64::try_from(id).is_err()) {
        return Err(Problem::validation([("lastEventId", "must be the id of an event")]).into());
    }
    let filter = filter(params)?;
    may_watch(&api, &caller, &filter).await?;
    let watcher = Watcher::open(&api, caller, headers, filter, of_header.or(of_query)).await?;
    let body = Body::from_stream(watcher.into_stream());
    Ok(([(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")], body).into_response())
}

/// Whoever asks for what is not theirs, or not there, is told so: a stream would be silent for ever.
async fn may_watch(api: &Api, caller: &Caller, filter: &Filter) -> Result<(), ApiError> {
    if filter.class.is_none() && filter.session.is_none() {
        return Ok(());
    }
    let mut db = api.connection().await?;
    if let Some(class) = filter.class {
        owns_class(&mut db, caller, class).await?;
    }
    if let Some(session) = filter.session {
        let session = session_views::find(&mut db, session).await?;
        let session = session.ok_or_else(|| Problem::not_found("session"))?;
        owns_class(&mut db, caller, session.class_id).await?;
    }
    Ok(())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let id = value.to_str().ok().and_then(|value| value.parse().ok());
    id.map(Some).ok_or_else(|| Problem::validation([("Last-Event-ID", "must be the id of an event")]))
}

fn filter(params: EventParams) -> Result<Filter, Problem> {
    let known = |name: &String| FactEvent::NAMES.iter().find(|known| *known == name).copied();
    let types = params.types.iter().map(|name| known(name).ok_or(name)).collect::<Result<Vec<_>, _>>();
    let types = types.map_err(|name| {
        let message = format!("{name} is no type of event; known: {}", FactEvent::NAMES.join(", "));
        Problem::validation([("type", message)])
    })?;
    Ok(Filter { session: params.session, class: params.class, camera: params.camera, types })
}

#[cfg(test)]
mod tests;
