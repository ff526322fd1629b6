//! `POST /classes/{id}/enroll`, and what enrolling somebody takes.

use super::{EnrolmentBody, EnrolmentData, find_current};
use crate::{
    audit::{Act, Audit},
    error::ApiError,
    extract::Caller,
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use rollcall_schemas::{
    code::Code,
    id::{ClassId, EnrolmentId, UserId},
};
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Success, SuccessEnvelope};
use rollcall_store::{classes, enrolments};
use serde_json::json;

/// Enrol oneself in a class.
#[utoipa::path(
    post,
    path = "/api/v1/classes/{id}/enroll",
    tag = "classes",
    params(("id" = Uuid, Path, description = "The class")),
    responses(
        (status = 201, description = "Enrolled", body = SuccessEnvelope<EnrolmentData>),
        (status = 409, description = "`CLASS_FULL`, or `CONFLICT`: enrolled already, or the class does not take place or is archived", body = ErrorEnvelope),
    )
)]
pub(crate) async fn enrol_oneself(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Path(id): Path<ClassId>,
) -> Reply<EnrolmentData> {
    let enrollment = enrol(&api, &audit, id, caller.id()).await?;
    Ok(Success::created("STUDENT_ENROLLED", EnrolmentData { enrollment }))
}

/// Adds a student to a class from now on, unless it is full or not taking place.
pub(super) async fn enrol(
    api: &Api,
    audit: &Audit,
    class_id: ClassId,
    student_id: UserId,
) -> Result<EnrolmentBody, ApiError> {
    let now = api.clock().now();
    let mut tx = api.begin().await?;
    classes::lock(&mut tx, class_id).await?;
    let class = find_current(&mut tx, class_id).await?;
    if !class.is_active {
        return Err(Problem::conflict("the class does not take place at present").into());
    }
    if let Some(capacity) = class.capacity
        && class.student_count >= i64::from(capacity)
        && !enrolments::is_enrolled(&mut tx, class_id, student_id).await?
    {
        let full = Problem::new(Code::ClassFull, "the class is full");
        return Err(full.with_details(json!({ "capacity": capacity })).into());
    }
    let id = EnrolmentId(api.entropy().uuid_v4());
    enrolments::create(&mut tx, id, (class_id, student_id), now).await?;
    let enrolment = EnrolmentBody {
        id,
        class_id,
        class_name: class.name,
        class_code: class.code,
        student_id,
        enrolled_at: now,
    };
    audit.record(&mut tx, Act::of("class.student_added", class_id).after(&enrolment)).await?;
    api.commit(tx, vec![]).await?;
    Ok(enrolment)
}
