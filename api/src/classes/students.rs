//! `GET` and `POST /classes/{id}/students`, `DELETE /classes/{id}/students/{studentId}`.

use super::{EnrolmentData, enrol::enrol, find};
use crate::{
    audit::{Act, Audit},
    extract::Body,
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    state::Api,
    students,
};
use axum::extract::State;
use chrono::{DateTime, Utc};
use garde::Validate;
use rollcall_schemas::id::{ClassId, UserId};
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Success, SuccessEnvelope};
use rollcall_store::enrolments::{self, ClassStudent};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A student as a class sees one.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ClassStudentBody {
    #[schema(value_type = Uuid)]
    id: UserId,
    full_name: String,
    email: String,
    roll_number: Option<String>,
    /// How many face photographs are enrolled.
    face_photos: i64,
    /// Whether there are enough of them to be recognised reliably.
    verified: bool,
    enrolled_at: DateTime<Utc>,
}

impl From<ClassStudent> for ClassStudentBody {
    fn from(student: ClassStudent) -> Self {
        Self {
            id: student.id,
            full_name: student.full_name,
            email: student.email,
            roll_number: student.roll_number,
            face_photos: student.face_photos,
            verified: students::is_verified(student.face_photos),
            enrolled_at: student.enrolled_at,
        }
    }
}

/// A page of the students of a class.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClassStudentsData {
    students: Vec<ClassStudentBody>,
}

/// List the students of a class, by name.
#[utoipa::path(
    get,
    path = "/api/v1/classes/{id}/students",
    tag = "classes",
    params(("id" = Uuid, Path, description = "The class"), PageParams),
    responses((status = 200, description = "A page of students", body = PageEnvelope<ClassStudentsData>))
)]
pub(crate) async fn list_class_students(
    State(api): State<Api>,
    Path(id): Path<ClassId>,
    listing: Listing,
) -> Reply<ClassStudentsData> {
    let mut db = api.connection().await?;
    find(&mut db, id).await?;
    let found = enrolments::students(&mut db, id, listing.page()).await?;
    let students = found.rows.into_iter().map(ClassStudentBody::from).collect();
    Ok(listing.answer(ClassStudentsData { students }, found.total))
}

/// Who is to be added.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "studentId": "7d6a2f0e-5b1c-4e8a-9f43-1c2b3a4d5e6f" }))]
pub(crate) struct AddStudent {
    /// The student.
    #[garde(skip)]
    #[schema(value_type = Uuid)]
    student_id: UserId,
}

/// Add a student to a class.
#[utoipa::path(
    post,
    path = "/api/v1/classes/{id}/students",
    tag = "classes",
    params(("id" = Uuid, Path, description = "The class")),
    request_body = AddStudent,
    responses(
        (status = 201, description = "Enrolled", body = SuccessEnvelope<EnrolmentData>),
        (status = 409, description = "`CLASS_FULL`, or `CONFLICT`: enrolled already, or the class does not take place or is archived", body = ErrorEnvelope),
    )
)]
pub(crate) async fn add_class_student(
    State(api): State<Api>,
    audit: Audit,
    Path(id): Path<ClassId>,
    Body(AddStudent { student_id }): Body<AddStudent>,
) -> Reply<EnrolmentData> {
    students::find(&mut *api.connection().await?, student_id).await?;
    let enrollment = enrol(&api, &audit, id, student_id).await?;
    Ok(Success::created("STUDENT_ENROLLED", EnrolmentData { enrollment }))
}

/// Who was removed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RemovedStudent {
    #[schema(value_type = Uuid)]
    class_id: ClassId,
    #[schema(value_type = Uuid)]
    student_id: UserId,
}

/// Remove a student from a class from now on; the records stay.
#[utoipa::path(
    delete,
    path = "/api/v1/classes/{id}/students/{studentId}",
    tag = "classes",
    params(
        ("id" = Uuid, Path, description = "The class"),
        ("studentId" = Uuid, Path, description = "The student"),
    ),
    responses((status = 200, description = "Removed", body = SuccessEnvelope<RemovedStudent>))
)]
pub(crate) async fn remove_class_student(
    State(api): State<Api>,
    audit: Audit,
    Path((class_id, student_id)): Path<(ClassId, UserId)>,
) -> Reply<RemovedStudent> {
    let mut tx = api.begin().await?;
    if enrolments::end(&mut tx, student_id, Some(class_id), api.clock().now()).await? == 0 {
        return Err(Problem::not_found("student in this class").into());
    }
    let removed = RemovedStudent { class_id, student_id };
    audit.record(&mut tx, Act::of("class.student_removed", class_id).before(&removed)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::new(http::StatusCode::OK, "STUDENT_REMOVED", removed))
}
