//! Whose account it is that came back from a provider.
//!
//! An account at a provider that is linked stays linked, whatever becomes of addresses. It is linked by an address that
//! the provider has verified, and only to an account whose address somebody we trust has confirmed: otherwise whoever
//! registers with another's address first would share the account with them.

use super::{
    config::{CreateAccounts, OidcProvider},
    provider::Identified,
};
use crate::{
    error::ApiError,
    state::Api,
    users::{find, organisation},
};
use rollcall_schemas::{id::UserId, role::Role};
use rollcall_service::http::Problem;
use rollcall_store::{
    PgConnection, identities,
    users::{self, NewUser, User},
};

const MAX_NAME_CHARS: usize = 200;

pub(super) async fn resolve(
    api: &Api,
    tx: &mut PgConnection,
    provider: &OidcProvider,
    who: Identified,
) -> Result<User, ApiError> {
    if let Some(user) = identities::find(tx, &who.identity).await? {
        return find(tx, user).await;
    }
    let email = who.verified_email.as_deref().ok_or_else(|| {
        Problem::forbidden("the identity provider does not say that your e-mail address is verified")
    })?;
    if !is_allowed(email, &provider.allowed_domains) {
        return Err(Problem::forbidden("addresses of this domain do not sign in here").into());
    }
    let user = match identities::addressee(tx, email).await? {
        Some(addressee) if addressee.email_confirmed => addressee.user_id,
        Some(_) => {
            return Err(Problem::conflict(
                "there is an account with your address that nobody has confirmed to be yours: sign in with its \
                 password, or ask your school's staff to confirm the address",
            )
            .into());
        }
        None => create(api, tx, provider.create, email, who.name).await?,
    };
    identities::link(tx, &who.identity, user, api.clock().now()).await?;
    tracing::info!(user_id = %user, provider = provider.name, "an account at an identity provider is linked");
    find(tx, user).await
}

async fn create(
    api: &Api,
    tx: &mut PgConnection,
    policy: CreateAccounts,
    email: &str,
    name: Option<String>,
) -> Result<UserId, ApiError> {
    if policy == CreateAccounts::Never {
        return Err(Problem::forbidden("no account has your address; ask your school's staff for one").into());
    }
    let name = name.unwrap_or_else(|| email.to_owned());
    let user = NewUser {
        id: UserId(api.entropy().uuid_v4()),
        organisation_id: organisation(tx).await?,
        email: email.to_owned(),
        full_name: name.chars().take(MAX_NAME_CHARS).collect(),
        role: Role::Student,
        roll_number: None,
        password_hash: None,
        created_at: api.clock().now(),
    };
    users::create(tx, &user).await?;
    Ok(user.id)
}

fn is_allowed(email: &str, domains: &[String]) -> bool {
    let domain = email.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default();
    domains.is_empty() || domains.iter().any(|allowed| allowed.eq_ignore_ascii_case(domain))
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn the_domain_is_all_that_follows_the_last_at_sign() {
        let allowed = ["school.example".to_owned()];
        assert!(is_allowed("ada@School.example", &allowed));
        assert!(!is_allowed("ada@evil.school.example", &allowed));
        assert!(!is_allowed("ada@school.example@evil.example", &allowed));
        assert!(!is_allowed("school.example", &allowed));
        assert!(is_allowed("ada@anywhere.example", &[]));
    }
}
