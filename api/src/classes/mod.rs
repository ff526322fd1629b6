//! Classes: what they are, who is in them, their rules, and which cameras look at them.

mod cameras;
mod create;
mod enrol;
mod list;
mod one;
mod protections;
mod restore;
mod settings;
mod students;

pub(crate) use protections::RoomPositionBody;

use crate::{caching, error::ApiError, state::Api};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    id::{ClassId, EnrolmentId, UserId},
    role::Role,
};
use rollcall_service::http::Problem;
use rollcall_store::{
    PgConnection,
    classes::{self, Class},
    enrolments::Enrolment,
    users,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(caching::of_classes(routes!(list::list_classes, create::create_class)))
        .routes(routes!(one::get_class, one::update_class, one::archive_class))
        .routes(routes!(restore::restore_class))
        .routes(routes!(settings::get_settings, settings::update_settings))
        .routes(routes!(enrol::enrol_oneself))
        .routes(caching::of_enrolments(routes!(students::list_class_students, students::add_class_student)))
        .routes(routes!(students::remove_class_student))
        .routes(routes!(cameras::add_class_camera, cameras::remove_class_camera))
}

/// A class as the api shows one.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClassBody {
    #[schema(value_type = Uuid)]
    id: ClassId,
    code: String,
    name: String,
    description: String,
    #[schema(value_type = Uuid)]
    teacher_id: UserId,
    teacher_name: String,
    /// The most students it takes; null when not limited.
    capacity: Option<i32>,
    /// Where it usually meets.
    room: Option<String>,
    is_active: bool,
    /// Since when it is archived; null while it is not.
    archived_at: Option<DateTime<Utc>>,
    /// How many students are enrolled now.
    student_count: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Class> for ClassBody {
    fn from(class: Class) -> Self {
        Self {
            id: class.id,
            code: class.code,
            name: class.name,
            description: class.description,
            teacher_id: class.teacher_id,
            teacher_name: class.teacher_name,
            capacity: class.capacity,
            room: class.room,
            is_active: class.is_active,
            archived_at: class.archived_at,
            student_count: class.student_count,
            created_at: class.created_at,
            updated_at: class.updated_at,
        }
    }
}

/// One class.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClassData {
    class: ClassBody,
}

/// A page of classes.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClassesData {
    pub(crate) classes: Vec<ClassBody>,
}

/// A student's membership of a class.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnrolmentBody {
    #[schema(value_type = Uuid)]
    id: EnrolmentId,
    #[schema(value_type = Uuid)]
    class_id: ClassId,
    class_name: String,
    class_code: String,
    #[schema(value_type = Uuid)]
    student_id: UserId,
    enrolled_at: DateTime<Utc>,
}

impl From<Enrolment> for EnrolmentBody {
    fn from(enrolment: Enrolment) -> Self {
        Self {
            id: enrolment.id,
            class_id: enrolment.class_id,
            class_name: enrolment.class_name,
            class_code: enrolment.class_code,
            student_id: enrolment.student_id,
            enrolled_at: enrolment.enrolled_at,
        }
    }
}

/// One membership.
#[derive(Serialize, ToSchema)]
pub(crate) struct EnrolmentData {
    enrollment: EnrolmentBody,
}

/// A class that must exist; its history is read in the archive, too.
pub(crate) async fn find(db: &mut PgConnection, id: ClassId) -> Result<Class, ApiError> {
    Ok(classes::find(db, id).await?.ok_or_else(|| Problem::not_found("class"))?)
}

/// A class that must exist and may change: not one in the archive.
pub(crate) async fn find_current(db: &mut PgConnection, id: ClassId) -> Result<Class, ApiError> {
    let class = find(db, id).await?;
    match class.archived_at {
        None => Ok(class),
        Some(_) => Err(Problem::conflict("the class is archived: take it back first").into()),
    }
}

/// The name of a room as it is kept: without the blanks around it; a blank one is none.
pub(crate) fn room(name: &str) -> Option<String> {
    Some(name.trim()).filter(|name| !name.is_empty()).map(str::to_owned)
}

/// Refuses somebody who is no teacher.
async fn must_teach(db: &mut PgConnection, id: UserId) -> Result<(), ApiError> {
    let user = users::find(db, id).await?;
    match user {
        Some(user) if user.role == Role::Teacher => Ok(()),
        _ => Err(Problem::validation([("teacherId", "must be a teacher")]).into()),
    }
}

#[cfg(test)]
mod tests;
