//! `GET`, `PUT` and `DELETE /admin/operators/{id}`.

use super::{OperatorData, find};
use crate::{
    audit::{Act, Audit},
    auth::end_everywhere,
    extract::Body,
    passwords,
    reply::Reply,
    state::Api,
    users::UserBody,
};
use axum::extract::State;
use garde::Validate;
use rollcall_schemas::id::UserId;
use rollcall_service::http::{ErrorEnvelope, Path, Success, SuccessEnvelope};
use rollcall_store::users::{self, UserChange};
use serde::Deserialize;
use utoipa::ToSchema;

/// Read one operator.
#[utoipa::path(
    get,
    path = "/api/v1/admin/operators/{id}",
    tag = "admin",
    params(("id" = Uuid, Path, description = "The operator")),
    responses((status = 200, description = "The operator", body = SuccessEnvelope<OperatorData>))
)]
pub(crate) async fn get_operator(State(api): State<Api>, Path(id): Path<UserId>) -> Reply<OperatorData> {
    let operator = find(&mut *api.connection().await?, id).await?;
    Ok(Success::ok(OperatorData { operator: operator.into() }))
}

/// What changes about an operator; what is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "fullName": "Olga O. Operator" }))]
pub(crate) struct OperatorChange {
    /// The e-mail address.
    #[garde(email, length(max = 254))]
    email: Option<String>,
    /// The full name.
    #[garde(length(chars, min = 1, max = 200))]
    full_name: Option<String>,
    /// The password. A new one ends the access tokens that the operator holds.
    #[garde(custom(passwords::is_good_if_given))]
    password: Option<String>,
}

/// Change an operator.
#[utoipa::path(
    put,
    path = "/api/v1/admin/operators/{id}",
    tag = "admin",
    params(("id" = Uuid, Path, description = "The operator")),
    request_body = OperatorChange,
    responses(
        (status = 200, description = "The operator as changed", body = SuccessEnvelope<OperatorData>),
        (status = 409, description = "`CONFLICT`: the e-mail address is taken", body = ErrorEnvelope),
    )
)]
pub(crate) async fn update_operator(
    State(api): State<Api>,
    audit: Audit,
    Path(id): Path<UserId>,
    Body(change): Body<OperatorChange>,
) -> Reply<OperatorData> {
    let password_hash = match change.password {
        Some(password) => Some(api.passwords().hash(password).await?),
        None => None,
    };
    let (is_new_password, is_new_email) = (password_hash.is_some(), change.email.is_some());
    let mut tx = api.begin().await?;
    let before = UserBody::from(find(&mut tx, id).await?);
    let change = UserChange {
        email: change.email,
        full_name: change.full_name,
        password_hash,
        ..UserChange::default()
    };
    users::update(&mut tx, id, &change, api.clock().now()).await?;
    if is_new_email {
        users::confirm_email(&mut tx, id, true).await?;
    }
    let messages = if is_new_password { end_everywhere(&api, &mut tx, id).await? } else { vec![] };
    let operator = UserBody::from(find(&mut tx, id).await?);
    let act = Act::of("user.updated", id).before(&before).after(&operator);
    audit.record(&mut tx, act.with_new_password(is_new_password)).await?;
    api.commit(tx, messages).await?;
    Ok(Success::ok(OperatorData { operator }))
}

/// Delete an operator.
///
/// What they did stays on record; they can no longer sign in. They can be restored like everybody else.
#[utoipa::path(
    delete,
    path = "/api/v1/admin/operators/{id}",
    tag = "admin",
    params(("id" = Uuid, Path, description = "The operator")),
    responses((status = 200, description = "The operator as they were", body = SuccessEnvelope<OperatorData>))
)]
pub(crate) async fn delete_operator(
    State(api): State<Api>,
    audit: Audit,
    Path(id): Path<UserId>,
) -> Reply<OperatorData> {
    let mut tx = api.begin().await?;
    let operator = UserBody::from(find(&mut tx, id).await?);
    users::delete(&mut tx, id, api.clock().now()).await?;
    audit.record(&mut tx, Act::of("user.deleted", id).before(&operator)).await?;
    let messages = end_everywhere(&api, &mut tx, id).await?;
    api.commit(tx, messages).await?;
    Ok(Success::new(http::StatusCode::OK, "OPERATOR_DELETED", OperatorData { operator }))
}
