//! `POST /users`.

use super::{UserData, find, may_manage, organisation};
use crate::{
    extract::{Body, Caller},
    passwords,
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use garde::Validate;
use rollcall_schemas::{id::UserId, role::Role};
use rollcall_service::http::{ErrorEnvelope, Success, SuccessEnvelope};
use rollcall_store::users::{self, NewUser};
use serde::Deserialize;
use utoipa::ToSchema;

/// A person to be added.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "email": "tom@school.example", "fullName": "Tom Teacher", "role": "teacher", "password": "Correct-horse-1" }))]
pub(crate) struct NewUserBody {
    /// The e-mail address.
    #[garde(email, length(max = 254))]
    email: String,
    /// The full name.
    #[garde(length(chars, min = 1, max = 200))]
    full_name: String,
    /// `admin`, `operator`, `teacher` or `student`.
    #[garde(skip)]
    role: Role,
    /// The password; without one the person cannot sign in.
    #[garde(custom(passwords::is_good_if_given))]
    password: Option<String>,
    /// For students.
    #[garde(length(chars, min = 1, max = 50))]
    roll_number: Option<String>,
}

/// Add a person.
///
/// Operators add teachers and students; only administrators add operators and administrators.
#[utoipa::path(
    post,
    path = "/api/v1/users",
    tag = "users",
    request_body = NewUserBody,
    responses(
        (status = 201, description = "Added", body = SuccessEnvelope<UserData>),
        (status = 409, description = "`CONFLICT`: the e-mail address or the roll number is taken", body = ErrorEnvelope),
    )
)]
pub(crate) async fn create_user(
    State(api): State<Api>,
    caller: Caller,
    Body(new): Body<NewUserBody>,
) -> Reply<UserData> {
    may_manage(&caller, new.role)?;
    let user = add(&api, new).await?;
    Ok(Success::created("USER_CREATED", UserData { user: user.into() }))
}

async fn add(api: &Api, new: NewUserBody) -> Result<users::User, crate::error::ApiError> {
    let password_hash = match new.password {
        Some(password) => Some(api.passwords().hash(password).await?),
        None => None,
    };
    let mut db = api.connection().await?;
    let user = NewUser {
        id: UserId(api.entropy().uuid_v4()),
        organisation_id: organisation(&mut db).await?,
        email: new.email,
        full_name: new.full_name,
        role: new.role,
        roll_number: new.roll_number,
        password_hash,
        created_at: api.clock().now(),
    };
    users::create(&mut db, &user).await?;
    find(&mut db, user.id).await
}
