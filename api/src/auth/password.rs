//! `PUT /auth/password`.

use super::{end::end_others, lock::Counter};
use crate::{
    audit::{Act, Audit},
    extract::{Body, Caller},
    passwords,
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use garde::Validate;
use rollcall_schemas::code::Code;
use rollcall_service::http::{ErrorEnvelope, Problem, Success, SuccessEnvelope};
use rollcall_store::{
    sign_in_failures,
    users::{self, UserChange},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The old password and the new one.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "currentPassword": "Correct-horse-1", "newPassword": "Correct-horse-2" }))]
pub(crate) struct PasswordChange {
    /// The present password.
    #[garde(length(bytes, min = 1, max = 72))]
    current_password: String,
    /// The new password.
    #[garde(custom(passwords::is_good))]
    new_password: String,
}

/// What has been done.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PasswordChanged {
    /// How many other sign-ins of oneself were ended.
    ended_sign_ins: usize,
}

/// Change one's own password.
///
/// Ends all other sign-ins of oneself. Wrong present passwords count as failed sign-ins, and lock the account as those do.
#[utoipa::path(
    put,
    path = "/api/v1/auth/password",
    tag = "auth",
    request_body = PasswordChange,
    responses(
        (status = 200, description = "Changed", body = SuccessEnvelope<PasswordChanged>),
        (status = 401, description = "`AUTH_INVALID_CREDENTIALS`: the present password is wrong", body = ErrorEnvelope),
        (status = 409, description = "`CONFLICT`: the caller signs in without a password", body = ErrorEnvelope),
        (status = 423, description = "`AUTH_ACCOUNT_LOCKED`: too many failures", body = ErrorEnvelope),
    )
)]
pub(crate) async fn change_password(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Body(change): Body<PasswordChange>,
) -> Reply<PasswordChanged> {
    let place = api.passwords().place()?;
    let counter = Counter::of_account(caller.id());
    let _turn = counter.turn(api.turns()).await;
    let present_hash = {
        let mut db = api.connection().await?;
        let hash = users::password_hash(&mut db, caller.id()).await?;
        let hash = hash.ok_or_else(|| {
            Problem::conflict("you sign in without a password; ask your school's staff to set one")
        })?;
        counter.count(&api, &mut db).await?;
        hash
    };
    if !api.passwords().verify(place, change.current_password, Some(present_hash)).await? {
        return Err(Problem::new(Code::AuthInvalidCredentials, "the present password is wrong").into());
    }
    let password_hash = Some(api.passwords().hash(change.new_password).await?);
    let mut tx = api.begin().await?;
    counter.clear(&mut tx).await?;
    let change = UserChange { password_hash, ..UserChange::default() };
    users::update(&mut tx, caller.id(), &change, api.clock().now()).await?;
    sign_in_failures::forget_devices(&mut tx, caller.id()).await?;
    let messages = end_others(&api, &mut tx, caller.id(), caller.sign_in_id()).await?;
    let ended_sign_ins = messages.len();
    audit.record(&mut tx, Act::of("user.password_changed", caller.id())).await?;
    api.commit(tx, messages).await?;
    Ok(Success::ok(PasswordChanged { ended_sign_ins }))
}
