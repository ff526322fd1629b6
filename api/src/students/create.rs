//! `POST /students`.

use super::{StudentBody, StudentData, find};
use crate::{
    audit::{Act, Audit},
    extract::Body,
    passwords,
    reply::Reply,
    state::Api,
    users,
};
use axum::extract::State;
use garde::Validate;
use rollcall_schemas::{id::UserId, role::Role};
use rollcall_service::http::{ErrorEnvelope, Success, SuccessEnvelope};
use rollcall_store::users::NewUser;
use serde::Deserialize;
use utoipa::ToSchema;

/// A student to be added.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "email": "sara@school.example", "fullName": "Sara Student", "rollNumber": "2026-017" }))]
pub(crate) struct NewStudent {
    /// The e-mail address.
    #[garde(email, length(max = 254))]
    email: String,
    /// The full name.
    #[garde(length(chars, min = 1, max = 200))]
    full_name: String,
    /// The roll number, unique in the organisation.
    #[garde(length(chars, min = 1, max = 50))]
    roll_number: Option<String>,
    /// The password; without one the student cannot sign in.
    #[garde(custom(passwords::is_good_if_given))]
    password: Option<String>,
}

/// Add a student.
#[utoipa::path(
    post,
    path = "/api/v1/students",
    tag = "students",
    request_body = NewStudent,
    responses(
        (status = 201, description = "Added", body = SuccessEnvelope<StudentData>),
        (status = 409, description = "`CONFLICT`: the e-mail address or the roll number is taken", body = ErrorEnvelope),
    )
)]
pub(crate) async fn create_student(
    State(api): State<Api>,
    audit: Audit,
    Body(new): Body<NewStudent>,
) -> Reply<StudentData> {
    let password_hash = match new.password {
        Some(password) => Some(api.passwords().hash(password).await?),
        None => None,
    };
    let mut tx = api.begin().await?;
    let student = NewUser {
        id: UserId(api.entropy().uuid_v4()),
        organisation_id: users::organisation(&mut tx).await?,
        email: new.email,
        full_name: new.full_name,
        role: Role::Student,
        roll_number: new.roll_number,
        password_hash,
        created_at: api.clock().now(),
    };
    rollcall_store::users::create(&mut tx, &student).await?;
    let student = StudentBody::from(find(&mut tx, student.id).await?);
    audit.record(&mut tx, Act::of("user.created", student.id).after(&student)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::created("STUDENT_CREATED", StudentData { student }))
}
