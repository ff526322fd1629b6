//! `GET` and `PUT /settings/schedule`: the timetables of all classes of a teacher.

use super::{
    Replacement,
    body::{NewTimetable, TimetableBody},
    holidays::HolidayBody,
    lessons::{Warning, today, warnings},
    organisation_zone,
};
use crate::{
    access::owns_class,
    audit::Audit,
    classes,
    error::ApiError,
    extract::{Body, Caller},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use garde::Validate;
use rollcall_schemas::id::{ClassId, UserId};
use rollcall_service::http::{ErrorEnvelope, Problem, Success, SuccessEnvelope};
use rollcall_store::{PgConnection, reports, timetables};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// The timetable of one of a teacher's classes, as it is to be.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClassSchedule {
    /// The class.
    #[garde(skip)]
    #[schema(value_type = Uuid)]
    class_id: ClassId,
    /// Its timetable.
    #[garde(dive)]
    timetable: NewTimetable,
}

/// The timetables of a teacher's classes, and when nothing of them takes place.
#[derive(Serialize, ToSchema)]
pub(crate) struct ScheduleBody {
    /// One for each class.
    timetables: Vec<TimetableBody>,
    /// Of the organisation, from today on.
    holidays: Vec<HolidayBody>,
    /// The lessons of which no session was made, and why.
    warnings: Vec<Warning>,
}

/// A teacher's schedule.
#[derive(Serialize, ToSchema)]
pub(crate) struct ScheduleData {
    schedule: ScheduleBody,
}

/// The full schedule, as it is to be.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "schedule": [] }))]
pub(crate) struct NewSchedule {
    /// The timetables of one's classes; those that are not named become empty.
    #[garde(dive)]
    schedule: Vec<ClassSchedule>,
}

/// Read the timetables of all of one's classes.
#[utoipa::path(
    get,
    path = "/api/v1/settings/schedule",
    tag = "timetable",
    responses((status = 200, description = "The schedule", body = SuccessEnvelope<ScheduleData>))
)]
pub(crate) async fn get_schedule(State(api): State<Api>, caller: Caller) -> Reply<ScheduleData> {
    let schedule = shown(&api, &mut *api.connection().await?, caller.id()).await?;
    Ok(Success::ok(ScheduleData { schedule }))
}

/// Set the timetables of all of one's classes.
#[utoipa::path(
    put,
    path = "/api/v1/settings/schedule",
    tag = "timetable",
    request_body = NewSchedule,
    responses(
        (status = 200, description = "The schedule as it is now", body = SuccessEnvelope<ScheduleData>),
        (status = 404, description = "`NOT_FOUND`: no such class", body = ErrorEnvelope),
        (status = 409, description = "`CONFLICT`: the class is archived", body = ErrorEnvelope),
    )
)]
pub(crate) async fn set_schedule(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Body(new): Body<NewSchedule>,
) -> Reply<ScheduleData> {
    let mut tx = api.begin().await?;
    let all = all_of(&mut tx, &caller, new.schedule).await?;
    if all.is_empty() {
        audit.changed_nothing();
    }
    replace(&api, &mut tx, (&caller, &audit), &all).await?;
    let schedule = shown(&api, &mut tx, caller.id()).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::ok(ScheduleData { schedule }))
}

/// What is given, and an empty timetable for each other class of the teacher.
pub(super) async fn all_of(
    tx: &mut PgConnection,
    caller: &Caller,
    mut given: Vec<ClassSchedule>,
) -> Result<Vec<ClassSchedule>, ApiError> {
    let named: BTreeSet<_> = given.iter().map(|class| class.class_id).collect();
    let own = reports::classes(tx, Some(caller.id())).await?.into_iter().map(|class| class.id);
    let others = own.filter(|id| !named.contains(id));
    given.extend(others.map(|class_id| ClassSchedule { class_id, timetable: NewTimetable::default() }));
    Ok(given)
}

/// Gives these classes these timetables.
pub(super) async fn replace(
    api: &Api,
    tx: &mut PgConnection,
    (caller, audit): (&Caller, &Audit),
    schedule: &[ClassSchedule],
) -> Result<(), ApiError> {
    let (_, of_organisation) = organisation_zone(api, tx).await?;
    let defaults = timetables::teacher_settings(tx, caller.id()).await?;
    let mut named = BTreeSet::new();
    for (number, class) in schedule.iter().enumerate() {
        if !named.insert(class.class_id) {
            let field = format!("schedule[{number}].classId");
            return Err(Problem::validation([(field, "the class has a timetable here already")]).into());
        }
        owns_class(tx, caller, class.class_id).await?;
        classes::find(tx, class.class_id).await?;
        let timetable = class.timetable.read(&defaults, &format!("schedule[{number}].timetable."))?;
        let replacement = Replacement {
            class: class.class_id,
            timetable: &timetable,
            time_zone: class.timetable.time_zone.as_deref(),
            of_organisation: &of_organisation,
            at: api.clock().now(),
        };
        replacement.make(tx, audit).await?;
    }
    Ok(())
}

pub(super) async fn shown(
    api: &Api,
    db: &mut PgConnection,
    teacher: UserId,
) -> Result<ScheduleBody, ApiError> {
    let (zone, name) = organisation_zone(api, db).await?;
    let ids: Vec<_> = reports::classes(db, Some(teacher)).await?.into_iter().map(|class| class.id).collect();
    let mut kept = timetables::of_classes(db, &ids).await?;
    let timetable = |id: &ClassId| TimetableBody::new(*id, &kept.remove(id).unwrap_or_default(), &name);
    let timetables = ids.iter().map(timetable).collect();
    let holidays = timetables::holidays(db, today(api, zone)).await?.into_iter();
    let warnings = warnings(db, &ids, (api.clock().now(), zone)).await?;
    Ok(ScheduleBody { timetables, holidays: holidays.map(HolidayBody::from).collect(), warnings })
}
