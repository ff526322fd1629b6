//! `GET /timetable.ics` and `GET /classes/{id}/timetable.ics`: timetables for calendar programs.

use super::{
    address::hash,
    lessons::{Held, classes_of, held, today},
    organisation_zone,
};
use crate::{classes, error::ApiError, state::Api, users};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Days, Utc};
use http::{HeaderValue, header};
use rollcall_schemas::{code::Code, id::ClassId};
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Query};
use rollcall_store::{PgConnection, reports::NamedClass, timetables};
use rollcall_timetable::ics;
use serde::Deserialize;
use utoipa::IntoParams;

/// How many days back and ahead a calendar shows.
const DAYS_BACK: Days = Days::new(31);
const DAYS_AHEAD: Days = Days::new(366);

/// Whose calendar.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CalendarParams {
    /// The secret of the address, from `POST /timetable/address`.
    token: String,
}

/// Read one's timetable as a calendar file (RFC 5545).
///
/// Whoever knows the address may read it: calendar programs cannot sign in. It shows the lessons of the last month and the
/// coming year, and the sessions that were made by hand, each at its instant.
#[utoipa::path(
    get,
    path = "/api/v1/timetable.ics",
    tag = "timetable",
    params(CalendarParams),
    responses(
        (status = 200, description = "The calendar", body = String, content_type = "text/calendar"),
        (status = 401, description = "`AUTH_TOKEN_INVALID`: the address does not work any more", body = ErrorEnvelope),
    )
)]
pub(crate) async fn own_calendar(
    State(api): State<Api>,
    Query(params): Query<CalendarParams>,
) -> Result<Response, ApiError> {
    let mut db = api.connection().await?;
    let unknown =
        || Problem::new(Code::AuthTokenInvalid, "this address does not work any more: get a new one");
    let owner = timetables::calendar_owner(&mut db, &hash(&params.token)).await?.ok_or_else(unknown)?;
    // A person who was deleted has no timetable.
    let user = users::find(&mut db, owner).await.map_err(|_| unknown())?;
    let classes = classes_of(&mut db, (user.id, user.role)).await?;
    calendar(&api, &mut db, (&user.full_name, classes)).await
}

/// Read the timetable of a class as a calendar file (RFC 5545).
#[utoipa::path(
    get,
    path = "/api/v1/classes/{id}/timetable.ics",
    tag = "timetable",
    params(("id" = Uuid, Path, description = "The class")),
    responses((status = 200, description = "The calendar", body = String, content_type = "text/calendar"))
)]
pub(crate) async fn class_calendar(
    State(api): State<Api>,
    Path(id): Path<ClassId>,
) -> Result<Response, ApiError> {
    let mut db = api.connection().await?;
    let class = classes::find(&mut db, id).await?;
    let name = class.name.clone();
    calendar(&api, &mut db, (&name, vec![NamedClass { id, code: class.code, name: class.name }])).await
}

async fn calendar(
    api: &Api,
    db: &mut PgConnection,
    (name, classes): (&str, Vec<NamedClass>),
) -> Result<Response, ApiError> {
    let (zone, _) = organisation_zone(api, db).await?;
    let today = today(api, zone);
    let lessons = held(db, classes, today - DAYS_BACK..=today + DAYS_AHEAD, zone).await?;
    Ok(file(name, &lessons, api.clock().now()))
}

fn file(name: &str, lessons: &[Held], now: DateTime<Utc>) -> Response {
    let entries: Vec<_> = lessons.iter().map(entry).collect();
    let mut response = ics::calendar(name, &entries, now).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/calendar; charset=utf-8"));
    let name = HeaderValue::from_static("attachment; filename=\"timetable.ics\"");
    headers.insert(header::CONTENT_DISPOSITION, name);
    response
}

fn entry(held: &Held) -> ics::Entry {
    ics::Entry {
        uid: held.uid.clone(),
        starts_at: held.starts_at,
        ends_at: held.ends_at,
        summary: format!("{} ({})", held.class.name, held.class.code),
        location: held.place.room.clone(),
        is_cancelled: held.is_cancelled(),
    }
}
