//! `POST /users/{id}/restore`.

use super::{UserBody, UserData, find, may_manage};
use crate::{
    audit::{Act, Audit},
    extract::Caller,
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use rollcall_schemas::id::UserId;
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Success, SuccessEnvelope};
use rollcall_store::users;

/// Restore a deleted person.
///
/// Their records are theirs again. Their password, their classes and their face are gone for good: they get a new password,
/// and are enrolled anew. Refused (`CONFLICT`) while somebody else has their e-mail address or roll number.
#[utoipa::path(
    post,
    path = "/api/v1/users/{id}/restore",
    tag = "users",
    params(("id" = Uuid, Path, description = "The person")),
    responses(
        (status = 200, description = "The person as restored", body = SuccessEnvelope<UserData>),
        (status = 409, description = "`CONFLICT`: the e-mail address or the roll number is taken meanwhile, or not deleted", body = ErrorEnvelope),
    )
)]
pub(crate) async fn restore_user(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Path(id): Path<UserId>,
) -> Reply<UserData> {
    let mut tx = api.begin().await?;
    let deleted = users::lock_deleted(&mut tx, id).await?;
    let deleted = deleted.ok_or_else(|| Problem::not_found("deleted user"))?;
    may_manage(&caller, deleted.role)?;
    users::restore(&mut tx, id, api.clock().now()).await?;
    let user = UserBody::from(find(&mut tx, id).await?);
    audit.record(&mut tx, Act::of("user.restored", id).after(&user)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::new(http::StatusCode::OK, "USER_RESTORED", UserData { user }))
}
