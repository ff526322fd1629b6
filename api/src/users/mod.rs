//! People of every role: accounts, and one's own profile.
//!
//! Operators manage teachers and students; only administrators manage operators and administrators.

mod create;
mod import;
mod list;
mod notifications;
mod one;
mod own;
mod profile;
mod restore;
mod unsubscribe;

pub(crate) use list::usable;

use crate::{caching, error::ApiError, extract::Caller, state::Api};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    id::{OrganisationId, UserId},
    role::Role,
};
use rollcall_service::http::Problem;
use rollcall_store::{
    PgConnection,
    classes::{self, ClassFilter},
    organisations,
    pages::Page,
    users::{self, User},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list::list_users, create::create_user))
        .routes(routes!(profile::get_profile, profile::update_profile))
        .routes(routes!(notifications::get_notifications, notifications::set_notifications))
        .routes(routes!(unsubscribe::ask_to_unsubscribe, unsubscribe::unsubscribe))
        .routes(caching::of_classes(routes!(own::list_own_classes)))
        .routes(caching::of_enrolments(routes!(own::list_own_enrolments)))
        .routes(routes!(import::import_users))
        .routes(routes!(one::get_user, one::update_user, one::delete_user))
        .routes(routes!(restore::restore_user))
}

/// A person as the api shows one.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserBody {
    #[schema(value_type = Uuid)]
    id: UserId,
    email: String,
    full_name: String,
    /// `admin`, `operator`, `teacher` or `student`.
    role: Role,
    /// For students.
    roll_number: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// When they were deleted; null for those who were not.
    deleted_at: Option<DateTime<Utc>>,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            full_name: user.full_name,
            role: user.role,
            roll_number: user.roll_number,
            created_at: user.created_at,
            updated_at: user.updated_at,
            deleted_at: user.deleted_at,
        }
    }
}

/// One person.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserData {
    pub(crate) user: UserBody,
}

/// A person who must exist.
pub(crate) async fn find(db: &mut PgConnection, id: UserId) -> Result<User, ApiError> {
    Ok(users::find(db, id).await?.ok_or_else(|| Problem::not_found("user"))?)
}

/// The organisation that new people belong to.
pub(crate) async fn organisation(db: &mut PgConnection) -> Result<OrganisationId, ApiError> {
    let found = organisations::find(db).await?;
    Ok(found.ok_or_else(|| Problem::internal("somebody is signed in, and there is no organisation"))?.id)
}

/// Refuses another program that would set the password of anybody but a student: with that of a teacher it could do what no
/// key may.
fn may_set_password(caller: &Caller, role: Role) -> Result<(), Problem> {
    if caller.is_integration() && role != Role::Student {
        return Err(Problem::forbidden(
            "an API key sets the passwords of students only: leave `password` out",
        ));
    }
    Ok(())
}

/// Refuses an operator who would manage an equal or a better.
pub(crate) fn may_manage(caller: &Caller, role: Role) -> Result<(), Problem> {
    match (caller.role(), role) {
        (Role::Admin, _) | (Role::Operator, Role::Teacher | Role::Student) => Ok(()),
        _ => Err(Problem::forbidden("only an administrator manages administrators and operators")),
    }
}

/// Refuses to take the teacher away from classes that still exist.
async fn teaches_nothing(db: &mut PgConnection, user: &User) -> Result<(), ApiError> {
    let current = ClassFilter { teacher: Some(user.id), archived: false };
    let taught = classes::list(db, current, Page { limit: 1, offset: 0 }).await?.total;
    if taught == 0 {
        return Ok(());
    }
    Err(Problem::conflict("the person still teaches classes: give them to another teacher first").into())
}

#[cfg(test)]
mod tests;
