//! `POST /auth/register`.

use super::{
    begin::{RefreshIn, SignedIn, begin},
    token::OpaqueToken,
};
use crate::{
    admin::SystemConfig,
    audit::{Act, Audit},
    config::Registration,
    error::ApiError,
    extract::Body,
    passwords,
    state::Api,
    users::{UserBody, find},
};
use axum::extract::State;
use axum_extra::extract::CookieJar;
use garde::Validate;
use rollcall_schemas::{id::UserId, role::Role};
use rollcall_service::http::{ErrorEnvelope, Problem, Success, SuccessEnvelope};
use rollcall_store::{
    PgConnection,
    invitations::{self, Invited},
    organisations,
    users::{self, NewUser},
};
use serde::Deserialize;
use utoipa::ToSchema;

/// Who wants an account.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "email": "sara@school.example", "fullName": "Sara Student", "password": "Correct-horse-1" }))]
pub(crate) struct NewAccount {
    /// The e-mail address.
    #[garde(email, length(max = 254))]
    email: String,
    /// The full name.
    #[garde(length(chars, min = 1, max = 200))]
    full_name: String,
    /// The password.
    #[garde(custom(passwords::is_good))]
    password: String,
    /// For students.
    #[garde(length(chars, min = 1, max = 50))]
    roll_number: Option<String>,
    /// The role that is expected: `student`, or what the invitation says. Nobody chooses another.
    #[garde(skip)]
    #[schema(value_type = Option<String>)]
    role: Option<Role>,
    /// The invitation, where there is one.
    #[garde(length(min = 1, max = 100))]
    invitation: Option<String>,
    /// Where the refresh token goes: `cookie` unless said otherwise.
    #[garde(skip)]
    #[serde(default)]
    refresh_in: RefreshIn,
}

/// Register, and be signed in.
///
/// The system setting `registration` says who may: nobody (`closed`), whoever is invited (`invited`), or everybody, as students
/// (`open`). With an invitation one gets the role that it says.
#[utoipa::path(
    post,
    path = "/api/v1/auth/register",
    tag = "auth",
    request_body = NewAccount,
    responses(
        (status = 201, description = "Registered and signed in", body = SuccessEnvelope<SignedIn>),
        (status = 403, description = "`AUTH_UNAUTHORIZED`: nobody may register, or not without an invitation", body = ErrorEnvelope),
        (status = 409, description = "`CONFLICT`: the e-mail address or the roll number is taken", body = ErrorEnvelope),
    )
)]
pub(crate) async fn register(
    State(api): State<Api>,
    jar: CookieJar,
    audit: Audit,
    Body(new): Body<NewAccount>,
) -> Result<(CookieJar, Success<SignedIn>), ApiError> {
    let policy = SystemConfig::present(&api, &mut *api.connection().await?).await?.registration;
    may_register(policy, new.invitation.is_some())?;
    // Before anything is looked up, so that the answer takes as long whether or not the address is taken.
    let _place = api.passwords().place()?;
    let password_hash = api.passwords().hash(new.password.clone()).await?;
    let refresh_in = new.refresh_in;
    let mut tx = api.begin().await?;
    let id = add(&api, &mut tx, new, password_hash).await?;
    let user = find(&mut tx, id).await?;
    let act = Act::of("user.registered", id).after(&UserBody::from(user.clone()));
    audit.by(id).record(&mut tx, act).await?;
    let (jar, signed_in) = begin(&api, &mut tx, user, refresh_in, jar).await?;
    api.commit(tx, vec![]).await?;
    Ok((jar, Success::created("USER_REGISTERED", signed_in)))
}

fn may_register(policy: Registration, is_invited: bool) -> Result<(), Problem> {
    match policy {
        Registration::Closed => Err(Problem::forbidden("registration is closed; staff make accounts")),
        Registration::Invited if !is_invited => Err(Problem::forbidden("registration needs an invitation")),
        Registration::Invited | Registration::Open => Ok(()),
    }
}

async fn add(
    api: &Api,
    tx: &mut PgConnection,
    new: NewAccount,
    password_hash: String,
) -> Result<UserId, ApiError> {
    let invitation = new.invitation.as_deref().map(OpaqueToken::of);
    let invited = match &invitation {
        Some(invitation) => Some(accept(api, tx, invitation, &new.email).await?),
        None => None,
    };
    let role = invited.as_ref().map_or(Role::Student, |invited| invited.role);
    if new.role.is_some_and(|wanted| wanted != role) {
        return Err(Problem::forbidden("the role is not yours to choose; leave it out").into());
    }
    let organisation = organisations::find(tx).await?;
    let organisation = organisation.ok_or_else(|| Problem::conflict("there is no organisation yet"))?;
    let user = NewUser {
        id: UserId(api.entropy().uuid_v4()),
        organisation_id: organisation.id,
        email: new.email,
        full_name: new.full_name,
        role,
        roll_number: new.roll_number,
        password_hash: Some(password_hash),
        created_at: api.clock().now(),
    };
    users::create(tx, &user).await?;
    if let Some(invitation) = invitation {
        invitations::use_up(tx, &invitation.sha256(), user.id).await?;
    }
    // Only an invitation to this very address says whose it is.
    let is_confirmed = invited.is_some_and(|invited| invited.email.is_some());
    users::confirm_email(tx, user.id, is_confirmed).await?;
    Ok(user.id)
}

async fn accept(
    api: &Api,
    tx: &mut PgConnection,
    invitation: &OpaqueToken,
    email: &str,
) -> Result<Invited, ApiError> {
    let invited = invitations::present(tx, &invitation.sha256(), api.clock().now()).await?;
    let invited = invited.filter(|invited| {
        invited.email.as_ref().is_none_or(|invited| invited.to_lowercase() == email.to_lowercase())
    });
    Ok(invited.ok_or_else(|| {
        Problem::forbidden("the invitation is not good (any more), or for another address; ask for a new one")
    })?)
}
