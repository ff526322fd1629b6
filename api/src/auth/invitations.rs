//! `POST /auth/invitations`.

use super::token::OpaqueToken;
use crate::{
    admin::SystemConfig,
    audit::{Act, Audit},
    config::Registration,
    extract::{Body, Caller},
    reply::Reply,
    state::Api,
    users::may_manage,
};
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use garde::Validate;
use rollcall_schemas::role::Role;
use rollcall_service::http::{ErrorEnvelope, Problem, Success, SuccessEnvelope};
use rollcall_store::invitations::{self, Invitation};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

const A_WEEK_H: u32 = 7 * 24;

/// Whom to invite.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "role": "teacher", "email": "tina@school.example" }))]
pub(crate) struct NewInvitation {
    /// The role they get: `admin`, `operator`, `teacher` or `student`.
    #[garde(skip)]
    role: Role,
    /// The address they must have; without it, whoever holds the invitation may use it.
    #[garde(inner(email, length(max = 254)))]
    email: Option<String>,
    /// Hours that it is good for: a week unless said otherwise, 30 days at most.
    #[garde(range(min = 1, max = 30 * 24))]
    #[serde(default = "a_week")]
    expires_in_hours: u32,
}

fn a_week() -> u32 {
    A_WEEK_H
}

/// An invitation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InvitationData {
    /// What the invited person sends when they register. It is shown this once and kept nowhere.
    invitation: String,
    #[schema(value_type = String)]
    role: Role,
    email: Option<String>,
    expires_at: DateTime<Utc>,
}

/// Invite somebody to register. The invitation is good once.
///
/// Operators invite teachers and students; only administrators invite operators and administrators.
#[utoipa::path(
    post,
    path = "/api/v1/auth/invitations",
    tag = "auth",
    request_body = NewInvitation,
    responses(
        (status = 201, description = "Invited", body = SuccessEnvelope<InvitationData>),
        (status = 409, description = "`CONFLICT`: the e-mail address is taken", body = ErrorEnvelope),
    )
)]
pub(crate) async fn create_invitation(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Body(new): Body<NewInvitation>,
) -> Reply<InvitationData> {
    may_manage(&caller, new.role)?;
    let policy = SystemConfig::present(&api, &mut *api.connection().await?).await?.registration;
    if policy == Registration::Closed {
        return Err(
            Problem::conflict("registration is closed: the system setting registration opens it").into()
        );
    }
    let now = api.clock().now();
    let token = OpaqueToken::draw(api.entropy());
    let invitation = Invitation {
        token_sha256: token.sha256(),
        role: new.role,
        email: new.email,
        invited_by: caller.id(),
        created_at: now,
        expires_at: now + TimeDelta::hours(new.expires_in_hours.into()),
    };
    let mut tx = api.begin().await?;
    invitations::create(&mut tx, &invitation).await?;
    let after =
        json!({ "role": invitation.role, "email": invitation.email, "expiresAt": invitation.expires_at });
    audit.record(&mut tx, Act::on_all("invitation.created").after(&after)).await?;
    api.commit(tx, vec![]).await?;
    let Invitation { role, email, expires_at, .. } = invitation;
    let data = InvitationData { invitation: token.reveal().to_owned(), role, email, expires_at };
    Ok(Success::created("INVITATION_CREATED", data))
}
