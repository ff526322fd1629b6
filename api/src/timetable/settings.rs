//! `GET`, `PATCH` and `PUT /settings`: a teacher's profile, what fills schedules up, and the whole schedule.

use super::schedule::{self, ClassSchedule, ScheduleBody};
use crate::{
    audit::{Act, Audit},
    error::ApiError,
    extract::{Body, Caller, nullable},
    reply::Reply,
    state::Api,
    users,
};
use axum::extract::State;
use garde::Validate;
use rollcall_schemas::{id::UserId, role::Role};
use rollcall_service::http::{ErrorEnvelope, Success, SuccessEnvelope};
use rollcall_store::{
    PgConnection,
    timetables::{self, TeacherSettings},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who a teacher is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TeacherProfile {
    #[schema(value_type = Uuid)]
    id: UserId,
    full_name: String,
    email: String,
    role: Role,
}

/// What a teacher's schedules are filled up with.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TeacherSettingsBody {
    /// Where lessons are that name no room; null for the room of the class.
    default_room: Option<String>,
    /// How long lessons last that name no end; null when each must name one.
    lesson_minutes: Option<i32>,
}

impl From<TeacherSettings> for TeacherSettingsBody {
    fn from(settings: TeacherSettings) -> Self {
        Self { default_room: settings.default_room, lesson_minutes: settings.lesson_minutes }
    }
}

/// A teacher's profile, settings and schedule.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwnSettings {
    profile: TeacherProfile,
    settings: TeacherSettingsBody,
    schedule: ScheduleBody,
}

/// What fills schedules up; what is absent stays, what is null is no longer set.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SettingsPatch {
    /// Where lessons are that name no room.
    #[serde(default, deserialize_with = "nullable")]
    #[garde(length(chars, min = 1, max = 100))]
    #[schema(value_type = Option<String>)]
    default_room: Option<Option<String>>,
    /// How long lessons last that name no end.
    #[serde(default, deserialize_with = "nullable")]
    #[garde(range(min = 1, max = 1_440))]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 1440)]
    lesson_minutes: Option<Option<i32>>,
}

/// What changes about a teacher's settings; what is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "settings": { "defaultRoom": "Lab 2", "lessonMinutes": 45 } }))]
pub(crate) struct OwnSettingsPatch {
    /// What fills schedules up.
    #[garde(dive)]
    settings: Option<SettingsPatch>,
    /// The timetables of some classes; those of the others stay.
    #[garde(dive)]
    schedule: Option<Vec<ClassSchedule>>,
}

/// What fills schedules up; what is absent is no longer set.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewSettings {
    /// Where lessons are that name no room.
    #[garde(length(chars, min = 1, max = 100))]
    default_room: Option<String>,
    /// How long lessons last that name no end.
    #[garde(range(min = 1, max = 1_440))]
    lesson_minutes: Option<i32>,
}

/// A teacher's settings, with the full schedule.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "settings": { "defaultRoom": "Lab 2", "lessonMinutes": 45 }, "schedule": [] }))]
pub(crate) struct NewOwnSettings {
    /// What fills schedules up.
    #[garde(dive)]
    settings: NewSettings,
    /// The timetables of one's classes; those that are not named become empty.
    #[garde(dive)]
    schedule: Vec<ClassSchedule>,
}

/// Read one's own profile, settings and schedule.
#[utoipa::path(
    get,
    path = "/api/v1/settings",
    tag = "timetable",
    responses((status = 200, description = "The settings", body = SuccessEnvelope<OwnSettings>))
)]
pub(crate) async fn get_own_settings(State(api): State<Api>, caller: Caller) -> Reply<OwnSettings> {
    Ok(Success::ok(shown(&api, &mut *api.connection().await?, caller.id()).await?))
}

/// Change one's own settings, and the timetables of some classes.
#[utoipa::path(
    patch,
    path = "/api/v1/settings",
    tag = "timetable",
    request_body = OwnSettingsPatch,
    responses(
        (status = 200, description = "The settings as changed", body = SuccessEnvelope<OwnSettings>),
        (status = 404, description = "`NOT_FOUND`: no such class", body = ErrorEnvelope),
        (status = 409, description = "`CONFLICT`: the class is archived", body = ErrorEnvelope),
    )
)]
pub(crate) async fn change_own_settings(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Body(patch): Body<OwnSettingsPatch>,
) -> Reply<OwnSettings> {
    let mut tx = api.begin().await?;
    let mut settings = timetables::teacher_settings(&mut tx, caller.id()).await?;
    if let Some(patch) = patch.settings {
        settings.default_room = patch.default_room.unwrap_or(settings.default_room);
        settings.lesson_minutes = patch.lesson_minutes.unwrap_or(settings.lesson_minutes);
    }
    set(&api, &mut tx, (&caller, &audit), settings).await?;
    let changes = patch.schedule.unwrap_or_default();
    schedule::replace(&api, &mut tx, (&caller, &audit), &changes).await?;
    let data = shown(&api, &mut tx, caller.id()).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::ok(data))
}

/// Set one's own settings and the full schedule.
#[utoipa::path(
    put,
    path = "/api/v1/settings",
    tag = "timetable",
    request_body = NewOwnSettings,
    responses(
        (status = 200, description = "The settings as they are now", body = SuccessEnvelope<OwnSettings>),
        (status = 404, description = "`NOT_FOUND`: no such class", body = ErrorEnvelope),
        (status = 409, description = "`CONFLICT`: the class is archived", body = ErrorEnvelope),
    )
)]
pub(crate) async fn set_own_settings(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Body(new): Body<NewOwnSettings>,
) -> Reply<OwnSettings> {
    let mut tx = api.begin().await?;
    let NewSettings { default_room, lesson_minutes } = new.settings;
    set(&api, &mut tx, (&caller, &audit), TeacherSettings { default_room, lesson_minutes }).await?;
    let all = schedule::all_of(&mut tx, &caller, new.schedule).await?;
    schedule::replace(&api, &mut tx, (&caller, &audit), &all).await?;
    let data = shown(&api, &mut tx, caller.id()).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::ok(data))
}

async fn shown(api: &Api, db: &mut PgConnection, id: UserId) -> Result<OwnSettings, ApiError> {
    let user = users::find(db, id).await?;
    let profile =
        TeacherProfile { id: user.id, full_name: user.full_name, email: user.email, role: user.role };
    let settings = timetables::teacher_settings(db, id).await?.into();
    Ok(OwnSettings { profile, settings, schedule: schedule::shown(api, db, id).await? })
}

async fn set(
    api: &Api,
    tx: &mut PgConnection,
    (caller, audit): (&Caller, &Audit),
    settings: TeacherSettings,
) -> Result<(), ApiError> {
    let before = TeacherSettingsBody::from(timetables::teacher_settings(tx, caller.id()).await?);
    timetables::set_teacher_settings(tx, caller.id(), &settings, api.clock().now()).await?;
    let after = TeacherSettingsBody::from(settings);
    audit.record(tx, Act::of("teacher_settings.changed", caller.id()).before(&before).after(&after)).await
}
