//! `POST /admin/operators`.

use super::{OperatorData, find};
use crate::{
    audit::{Act, Audit},
    extract::Body,
    passwords,
    reply::Reply,
    state::Api,
    users::{UserBody, organisation},
};
use axum::extract::State;
use garde::Validate;
use rollcall_schemas::{id::UserId, role::Role};
use rollcall_service::http::{ErrorEnvelope, Success, SuccessEnvelope};
use rollcall_store::users::{self, NewUser};
use serde::Deserialize;
use utoipa::ToSchema;

/// An operator to be added.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "email": "olga@school.example", "fullName": "Olga Operator", "password": "Correct-horse-1" }))]
pub(crate) struct NewOperator {
    /// The e-mail address.
    #[garde(email, length(max = 254))]
    email: String,
    /// The full name.
    #[garde(length(chars, min = 1, max = 200))]
    full_name: String,
    /// The password; without one the operator cannot sign in.
    #[garde(custom(passwords::is_good_if_given))]
    password: Option<String>,
}

/// Add an operator.
#[utoipa::path(
    post,
    path = "/api/v1/admin/operators",
    tag = "admin",
    request_body = NewOperator,
    responses(
        (status = 201, description = "Added", body = SuccessEnvelope<OperatorData>),
        (status = 409, description = "`CONFLICT`: the e-mail address is taken", body = ErrorEnvelope),
    )
)]
pub(crate) async fn create_operator(
    State(api): State<Api>,
    audit: Audit,
    Body(new): Body<NewOperator>,
) -> Reply<OperatorData> {
    let password_hash = match new.password {
        Some(password) => Some(api.passwords().hash(password).await?),
        None => None,
    };
    let mut tx = api.begin().await?;
    let operator = NewUser {
        id: UserId(api.entropy().uuid_v4()),
        organisation_id: organisation(&mut tx).await?,
        email: new.email,
        full_name: new.full_name,
        role: Role::Operator,
        roll_number: None,
        password_hash,
        created_at: api.clock().now(),
    };
    users::create(&mut tx, &operator).await?;
    let id = operator.id;
    let operator = UserBody::from(find(&mut tx, id).await?);
    audit.record(&mut tx, Act::of("user.created", id).after(&operator)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::created("OPERATOR_CREATED", OperatorData { operator }))
}
