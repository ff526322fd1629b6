//! `GET`, `PUT` and `DELETE /classes/{id}`: read, change and archive.

use super::{ClassBody, ClassData, find, find_current, must_teach, room, settings::SettingsBody};
use crate::{
    audit::{Act, Audit},
    extract::{Body, Caller, nullable},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use garde::Validate;
use rollcall_schemas::id::{CameraId, ClassId, UserId};
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Success, SuccessEnvelope};
use rollcall_store::{
    classes::{self, ClassChange},
    timetables,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A class with its present rules and cameras.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClassDetail {
    class: ClassBody,
    settings: SettingsBody,
    /// The cameras that look at it now.
    #[schema(value_type = Vec<Uuid>)]
    camera_ids: Vec<CameraId>,
}

/// Read one class, with its present rules and cameras.
#[utoipa::path(
    get,
    path = "/api/v1/classes/{id}",
    tag = "classes",
    params(("id" = Uuid, Path, description = "The class")),
    responses((status = 200, description = "The class", body = SuccessEnvelope<ClassDetail>))
)]
pub(crate) async fn get_class(State(api): State<Api>, Path(id): Path<ClassId>) -> Reply<ClassDetail> {
    let mut db = api.connection().await?;
    let class = find(&mut db, id).await?;
    let settings = classes::settings(&mut db, id, api.clock().now()).await?;
    let camera_ids = classes::cameras(&mut db, id).await?;
    Ok(Success::ok(ClassDetail { class: class.into(), settings: settings.into(), camera_ids }))
}

/// What changes about a class; what is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "name": "Linear algebra", "capacity": 40 }))]
pub(crate) struct ClassChangeBody {
    /// The name.
    #[garde(length(chars, min = 1, max = 200))]
    name: Option<String>,
    /// The short name.
    #[garde(length(chars, min = 1, max = 50))]
    code: Option<String>,
    /// What it is about.
    #[garde(length(chars, max = 2000))]
    description: Option<String>,
    /// Who teaches it; only administrators give a class away.
    #[garde(skip)]
    #[schema(value_type = Option<Uuid>)]
    teacher_id: Option<UserId>,
    /// The most students it takes; those who are in it stay. Null is no limit.
    #[garde(range(min = 1))]
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>)]
    capacity: Option<Option<i32>>,
    /// Where it usually meets; empty is nowhere in particular. Sessions that were made of lessons follow, where their
    /// timetable names no other room; those that were made by hand stay where they are.
    #[garde(length(chars, max = 100))]
    room: Option<String>,
    /// Whether it takes place at present.
    #[garde(skip)]
    is_active: Option<bool>,
}

/// Change a class.
#[utoipa::path(
    put,
    path = "/api/v1/classes/{id}",
    tag = "classes",
    params(("id" = Uuid, Path, description = "The class")),
    request_body = ClassChangeBody,
    responses(
        (status = 200, description = "The class as changed", body = SuccessEnvelope<ClassData>),
        (status = 409, description = "`CONFLICT`: the code is taken, or the class is archived", body = ErrorEnvelope),
    )
)]
pub(crate) async fn update_class(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Path(id): Path<ClassId>,
    Body(change): Body<ClassChangeBody>,
) -> Reply<ClassData> {
    let mut tx = api.begin().await?;
    let before = ClassBody::from(find_current(&mut tx, id).await?);
    if let Some(teacher_id) = change.teacher_id {
        if caller.as_teacher().is_some_and(|own| own != teacher_id) {
            return Err(Problem::forbidden("only an administrator gives a class to another teacher").into());
        }
        must_teach(&mut tx, teacher_id).await?;
    }
    let change = ClassChange {
        code: change.code,
        name: change.name,
        description: change.description,
        teacher_id: change.teacher_id,
        capacity: change.capacity,
        room: change.room.as_deref().map(room),
        is_active: change.is_active,
    };
    classes::update(&mut tx, id, &change, api.clock().now()).await?;
    let class = ClassBody::from(find(&mut tx, id).await?);
    if class.room != before.room {
        timetables::touch(&mut tx, id, api.clock().now()).await?;
    }
    audit.record(&mut tx, Act::of("class.updated", id).before(&before).after(&class)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::ok(ClassData { class }))
}

/// A class that is archived.
#[derive(Serialize, ToSchema)]
pub(crate) struct ArchivedClass {
    class: ClassBody,
    /// What was done, and how it is undone.
    message: &'static str,
}

/// Archive a class.
///
/// Nothing is lost: its students, sessions and records can be read, and it can be taken back. Until then it is no longer
/// among the classes, takes no students and no sessions, and its cameras look at it no longer.
#[utoipa::path(
    delete,
    path = "/api/v1/classes/{id}",
    tag = "classes",
    params(("id" = Uuid, Path, description = "The class")),
    responses(
        (status = 200, description = "The class in the archive", body = SuccessEnvelope<ArchivedClass>),
        (status = 409, description = "`CONFLICT`: it is there already", body = ErrorEnvelope),
    )
)]
pub(crate) async fn archive_class(
    State(api): State<Api>,
    audit: Audit,
    Path(id): Path<ClassId>,
) -> Reply<ArchivedClass> {
    let mut tx = api.begin().await?;
    classes::lock(&mut tx, id).await?;
    let before = ClassBody::from(find_current(&mut tx, id).await?);
    classes::archive(&mut tx, id, api.clock().now()).await?;
    let class = ClassBody::from(find(&mut tx, id).await?);
    audit.record(&mut tx, Act::of("class.archived", id).before(&before).after(&class)).await?;
    api.commit(tx, vec![]).await?;
    let message = "the class is in the archive; POST to its path with /restore takes it back";
    Ok(Success::new(http::StatusCode::OK, "CLASS_ARCHIVED", ArchivedClass { class, message }))
}
