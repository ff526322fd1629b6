//! `GET`, `PUT` and `DELETE /users/{id}`.

use super::{UserBody, UserData, find, may_manage, may_set_password, teaches_nothing};
use crate::{
    audit::{Act, Audit},
    auth::end_everywhere,
    extract::{Body, Caller},
    passwords,
    reply::Reply,
    state::Api,
    students::erasure,
};
use axum::extract::State;
use garde::Validate;
use rollcall_schemas::{id::UserId, role::Role};
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Success, SuccessEnvelope};
use rollcall_store::{
    enrolments,
    users::{self, UserChange},
};
use serde::Deserialize;
use utoipa::ToSchema;

/// Read one person.
#[utoipa::path(
    get,
    path = "/api/v1/users/{id}",
    tag = "users",
    params(("id" = Uuid, Path, description = "The person")),
    responses((status = 200, description = "The person", body = SuccessEnvelope<UserData>))
)]
pub(crate) async fn get_user(State(api): State<Api>, Path(id): Path<UserId>) -> Reply<UserData> {
    let user = find(&mut *api.connection().await?, id).await?;
    Ok(Success::ok(UserData { user: user.into() }))
}

/// What changes about a person; what is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "fullName": "Tom T. Teacher", "role": "teacher" }))]
pub(crate) struct UserChangeBody {
    /// The e-mail address.
    #[garde(email, length(max = 254))]
    email: Option<String>,
    /// The full name.
    #[garde(length(chars, min = 1, max = 200))]
    full_name: Option<String>,
    /// `admin`, `operator`, `teacher` or `student`.
    #[garde(skip)]
    role: Option<Role>,
    /// The password.
    #[garde(custom(passwords::is_good_if_given))]
    password: Option<String>,
    /// For students.
    #[garde(length(chars, min = 1, max = 50))]
    roll_number: Option<String>,
}

/// Change a person.
///
/// A new role or password ends every sign-in of the person.
#[utoipa::path(
    put,
    path = "/api/v1/users/{id}",
    tag = "users",
    params(("id" = Uuid, Path, description = "The person")),
    request_body = UserChangeBody,
    responses(
        (status = 200, description = "The person as changed", body = SuccessEnvelope<UserData>),
        (status = 409, description = "`CONFLICT`: taken, or a teacher of classes cannot become something else", body = ErrorEnvelope),
    )
)]
pub(crate) async fn update_user(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Path(id): Path<UserId>,
    Body(change): Body<UserChangeBody>,
) -> Reply<UserData> {
    let password_hash = match change.password {
        // Hashing is much work: nobody has it done who may not do this.
        Some(password) => {
            let role = find(&mut *api.connection().await?, id).await?.role;
            may_manage(&caller, role)?;
            may_set_password(&caller, role)?;
            Some(api.passwords().hash(password).await?)
        }
        None => None,
    };
    let mut tx = api.begin().await?;
    let user = find(&mut tx, id).await?;
    may_manage(&caller, user.role)?;
    let new_role = change.role.filter(|role| *role != user.role);
    if let Some(role) = new_role {
        if id == caller.id() {
            return Err(Problem::conflict("nobody can change their own role").into());
        }
        may_manage(&caller, role)?;
        if caller.is_integration() {
            return Err(Problem::forbidden("an API key gives nobody another role").into());
        }
        teaches_nothing(&mut tx, &user).await?;
    }
    let (before, has_new_password) = (UserBody::from(user), password_hash.is_some());
    let ends_sign_ins = new_role.is_some() || password_hash.is_some();
    let is_new_email = change.email.is_some();
    let change = UserChange {
        email: change.email,
        full_name: change.full_name,
        role: change.role,
        roll_number: change.roll_number,
        password_hash,
    };
    users::update(&mut tx, id, &change, api.clock().now()).await?;
    if is_new_email {
        // What a person entered is believed; what a program sends may have come from anywhere.
        users::confirm_email(&mut tx, id, !caller.is_integration()).await?;
    }
    let user = UserBody::from(find(&mut tx, id).await?);
    let act = Act::of("user.updated", id).before(&before).after(&user);
    audit.record(&mut tx, act.with_new_password(has_new_password)).await?;
    let messages = if ends_sign_ins { end_everywhere(&api, &mut tx, id).await? } else { vec![] };
    api.commit(tx, messages).await?;
    Ok(Success::ok(UserData { user }))
}

/// Delete a person.
///
/// The records that point to them stay; they can no longer sign in, leave their classes, and their face is erased.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{id}",
    tag = "users",
    params(("id" = Uuid, Path, description = "The person")),
    responses(
        (status = 200, description = "The person as they were", body = SuccessEnvelope<UserData>),
        (status = 409, description = "`CONFLICT`: oneself, or the teacher of classes", body = ErrorEnvelope),
    )
)]
pub(crate) async fn delete_user(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Path(id): Path<UserId>,
) -> Reply<UserData> {
    if id == caller.id() {
        return Err(Problem::conflict("nobody can delete themselves").into());
    }
    let mut tx = api.begin().await?;
    let user = find(&mut tx, id).await?;
    may_manage(&caller, user.role)?;
    teaches_nothing(&mut tx, &user).await?;
    let now = api.clock().now();
    enrolments::end(&mut tx, id, None, now).await?;
    users::delete(&mut tx, id, now).await?;
    let user = UserBody::from(user);
    audit.record(&mut tx, Act::of("user.deleted", id).before(&user)).await?;
    let mut messages = end_everywhere(&api, &mut tx, id).await?;
    messages.push(erasure(&api, &caller, id));
    api.commit(tx, messages).await?;
    Ok(Success::new(http::StatusCode::OK, "USER_DELETED", UserData { user }))
}
