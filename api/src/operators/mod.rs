//! Operators: people of that role, managed by administrators.

mod create;
mod list;
mod one;

use crate::{error::ApiError, state::Api, users::UserBody};
use rollcall_schemas::{id::UserId, role::Role};
use rollcall_service::http::Problem;
use rollcall_store::{
    PgConnection,
    users::{self, User},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list::list_operators, create::create_operator)).routes(routes!(
        one::get_operator,
        one::update_operator,
        one::delete_operator
    ))
}

/// One operator.
#[derive(Serialize, ToSchema)]
pub(crate) struct OperatorData {
    operator: UserBody,
}

/// An operator who must exist.
async fn find(db: &mut PgConnection, id: UserId) -> Result<User, ApiError> {
    let user = users::find(db, id).await?.filter(|user| user.role == Role::Operator);
    Ok(user.ok_or_else(|| Problem::not_found("operator"))?)
}

#[cfg(test)]
mod tests;
