//! `GET` and `PUT /classes/{id}/timetable`.

use super::{
    Replacement,
    body::{NewTimetable, TimetableBody},
    lessons::{Warning, warnings},
    organisation_zone,
};
use crate::{
    audit::Audit,
    classes,
    error::ApiError,
    extract::{Body, Caller},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use chrono::{DateTime, NaiveDate, Utc};
use rollcall_schemas::{id::ClassId, role::Role};
use rollcall_service::http::{ErrorEnvelope, Path, Success, SuccessEnvelope};
use rollcall_store::{PgConnection, lessons, timetables};
use rollcall_timetable::Tz;
use serde::Serialize;
use utoipa::ToSchema;

/// The timetable of a class, and which of its lessons are no sessions.
#[derive(Serialize, ToSchema)]
pub(crate) struct TimetableData {
    timetable: TimetableBody,
    /// How far sessions are made of its lessons; null while none are.
    planned: Option<PlannedBody>,
    /// The lessons of which no session was made, and why.
    warnings: Vec<Warning>,
}

/// How far sessions are made of lessons.
#[derive(Serialize, ToSchema)]
struct PlannedBody {
    /// By which revision of the timetable.
    revision: i64,
    /// The last day.
    through: NaiveDate,
}

async fn data(
    db: &mut PgConnection,
    class: ClassId,
    timetable: TimetableBody,
    clocks: (DateTime<Utc>, Tz),
) -> Result<TimetableData, ApiError> {
    let planned = lessons::planned_through(db, class).await?;
    let planned = planned.map(|it| PlannedBody { revision: it.revision, through: it.through });
    Ok(TimetableData { timetable, planned, warnings: warnings(db, &[class], clocks).await? })
}

/// Read the timetable of a class.
#[utoipa::path(
    get,
    path = "/api/v1/classes/{id}/timetable",
    tag = "timetable",
    params(("id" = Uuid, Path, description = "The class")),
    responses((status = 200, description = "The timetable", body = SuccessEnvelope<TimetableData>))
)]
pub(crate) async fn get_timetable(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ClassId>,
) -> Reply<TimetableData> {
    let mut db = api.connection().await?;
    classes::find(&mut db, id).await?;
    let (zone, name) = organisation_zone(&api, &mut db).await?;
    let timetable = TimetableBody::new(id, &timetables::of_class(&mut db, id).await?, &name);
    let mut data = data(&mut db, id, timetable, (api.clock().now(), zone)).await?;
    // They name other classes, which are not for students and other programs to see.
    if caller.is_integration() || caller.role() == Role::Student {
        data.warnings.clear();
    }
    Ok(Success::ok(data))
}

/// Give a class another timetable, instead of what it had.
///
/// Sessions are made of its lessons some days ahead. Those that were made of the old one and have not begun follow, unless
/// somebody changed or cancelled them by hand. A lesson that would overlap another session of the class or the room becomes
/// none, and is among the warnings.
#[utoipa::path(
    put,
    path = "/api/v1/classes/{id}/timetable",
    tag = "timetable",
    params(("id" = Uuid, Path, description = "The class")),
    request_body = NewTimetable,
    responses(
        (status = 200, description = "The timetable as it is now", body = SuccessEnvelope<TimetableData>),
        (status = 409, description = "`CONFLICT`: the class is archived", body = ErrorEnvelope),
    )
)]
pub(crate) async fn set_timetable(
    State(api): State<Api>,
    audit: Audit,
    Path(id): Path<ClassId>,
    Body(new): Body<NewTimetable>,
) -> Reply<TimetableData> {
    let now = api.clock().now();
    let mut tx = api.begin().await?;
    let defaults = defaults_of(&mut tx, id).await?;
    let timetable = new.read(&defaults, "")?;
    let (zone, of_organisation) = organisation_zone(&api, &mut tx).await?;
    let replacement = Replacement {
        class: id,
        timetable: &timetable,
        time_zone: new.time_zone.as_deref(),
        of_organisation: &of_organisation,
        at: now,
    };
    let timetable = replacement.make(&mut tx, &audit).await?;
    let data = data(&mut tx, id, timetable, (now, zone)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::ok(data))
}

/// What the teacher of a class fills schedules up with.
pub(super) async fn defaults_of(
    tx: &mut PgConnection,
    class: ClassId,
) -> Result<timetables::TeacherSettings, ApiError> {
    let teacher = classes::find(tx, class).await?.teacher_id;
    Ok(timetables::teacher_settings(tx, teacher).await?)
}
