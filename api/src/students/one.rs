//! `GET`, `PUT` and `DELETE /students/{id}`.

use super::{StudentBody, StudentData, erasure, find};
use crate::{
    audit::{Act, Audit},
    auth::end_everywhere,
    extract::{Body, Caller},
    passwords,
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use garde::Validate;
use rollcall_schemas::id::UserId;
use rollcall_service::http::{ErrorEnvelope, Path, Success, SuccessEnvelope};
use rollcall_store::{
    enrolments,
    users::{self, UserChange},
};
use serde::Deserialize;
use utoipa::ToSchema;

/// Read one student.
#[utoipa::path(
    get,
    path = "/api/v1/students/{id}",
    tag = "students",
    params(("id" = Uuid, Path, description = "The student")),
    responses((status = 200, description = "The student", body = SuccessEnvelope<StudentData>))
)]
pub(crate) async fn get_student(State(api): State<Api>, Path(id): Path<UserId>) -> Reply<StudentData> {
    let student = find(&mut *api.connection().await?, id).await?;
    Ok(Success::ok(StudentData { student: student.into() }))
}

/// What changes about a student; what is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "rollNumber": "2026-018" }))]
pub(crate) struct StudentChange {
    /// The e-mail address.
    #[garde(email, length(max = 254))]
    email: Option<String>,
    /// The full name.
    #[garde(length(chars, min = 1, max = 200))]
    full_name: Option<String>,
    /// The roll number.
    #[garde(length(chars, min = 1, max = 50))]
    roll_number: Option<String>,
    /// The password. A new one ends the access tokens that the student holds.
    #[garde(custom(passwords::is_good_if_given))]
    password: Option<String>,
}

/// Change a student.
#[utoipa::path(
    put,
    path = "/api/v1/students/{id}",
    tag = "students",
    params(("id" = Uuid, Path, description = "The student")),
    request_body = StudentChange,
    responses(
        (status = 200, description = "The student as changed", body = SuccessEnvelope<StudentData>),
        (status = 409, description = "`CONFLICT`: the e-mail address or the roll number is taken", body = ErrorEnvelope),
    )
)]
pub(crate) async fn update_student(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Path(id): Path<UserId>,
    Body(change): Body<StudentChange>,
) -> Reply<StudentData> {
    // Before the password is hashed, which is much work.
    find(&mut *api.connection().await?, id).await?;
    let password_hash = match change.password {
        Some(password) => Some(api.passwords().hash(password).await?),
        None => None,
    };
    let (is_new_password, is_new_email) = (password_hash.is_some(), change.email.is_some());
    let mut tx = api.begin().await?;
    let before = StudentBody::from(find(&mut tx, id).await?);
    let change = UserChange {
        email: change.email,
        full_name: change.full_name,
        roll_number: change.roll_number,
        password_hash,
        role: None,
    };
    users::update(&mut tx, id, &change, api.clock().now()).await?;
    if is_new_email {
        users::confirm_email(&mut tx, id, !caller.is_integration()).await?;
    }
    let messages = if is_new_password { end_everywhere(&api, &mut tx, id).await? } else { vec![] };
    let student = StudentBody::from(find(&mut tx, id).await?);
    let act = Act::of("user.updated", id).before(&before).after(&student);
    audit.record(&mut tx, act.with_new_password(is_new_password)).await?;
    api.commit(tx, messages).await?;
    Ok(Success::ok(StudentData { student }))
}

/// Delete a student.
///
/// The records that point to them stay; they can no longer sign in, leave their classes, and their face is erased.
#[utoipa::path(
    delete,
    path = "/api/v1/students/{id}",
    tag = "students",
    params(("id" = Uuid, Path, description = "The student")),
    responses((status = 200, description = "The student as they were", body = SuccessEnvelope<StudentData>))
)]
pub(crate) async fn delete_student(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Path(id): Path<UserId>,
) -> Reply<StudentData> {
    let mut tx = api.begin().await?;
    let student = find(&mut tx, id).await?;
    let now = api.clock().now();
    enrolments::end(&mut tx, id, None, now).await?;
    users::delete(&mut tx, id, now).await?;
    let student = StudentBody::from(student);
    audit.record(&mut tx, Act::of("user.deleted", id).before(&student)).await?;
    let mut messages = end_everywhere(&api, &mut tx, id).await?;
    messages.push(erasure(&api, &caller, id));
    api.commit(tx, messages).await?;
    Ok(Success::new(http::StatusCode::OK, "STUDENT_DELETED", StudentData { student }))
}
