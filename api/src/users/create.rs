//! `POST /users`.

use super::{UserBody, UserData, find, may_manage, may_set_password, organisation};
use crate::{
    audit::{Act, Audit},
    error::ApiError,
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
    audit: Audit,
    Body(new): Body<NewUserBody>,
) -> Reply<UserData> {
    may_manage(&caller, new.role)?;
    if new.password.is_some() {
        may_set_password(&caller, new.role)?;
    }
    let user = add(&api, &audit, new).await?;
    Ok(Success::created("USER_CREATED", UserData { user }))
}

async fn add(api: &Api, audit: &Audit, new: NewUserBody) -> Result<UserBody, ApiError> {
    let password_hash = match new.password {
        Some(password) => Some(api.passwords().hash(password).await?),
        None => None,
    };
    let mut tx = api.begin().await?;
    let user = NewUser {
        id: UserId(api.entropy().uuid_v4()),
        organisation_id: organisation(&mut tx).await?,
        email: new.email,
        full_name: new.full_name,
        role: new.role,
        roll_number: new.roll_number,
        password_hash,
        created_at: api.clock().now(),
    };
    users::create(&mut tx, &user).await?;
    let user = UserBody::from(find(&mut tx, user.id).await?);
    audit.record(&mut tx, Act::of("user.created", user.id).after(&user)).await?;
    api.commit(tx, vec![]).await?;
    Ok(user)
}
