//! The first account of a deployment, and any other that is made from the command line.

use crate::passwords::{self, Passwords};
use garde::Validate;
use rollcall_schemas::{
    id::{OrganisationId, UserId},
    role::Role,
};
use rollcall_service::{
    clock::{Clock, Entropy},
    config::Secret,
    telemetry::current_trace_id,
};
use rollcall_store::{
    PgConnection, Pool, Postgres, StoreError,
    audit::{self, Actor, Details, Entry, Outcome, Target},
    organisations::{self, Organisation},
    users::{self, NewUser},
};
use serde_json::json;

/// An account to be made without being signed in.
pub struct FirstUser {
    /// The name of the organisation, which is made when there is none yet.
    pub organisation: String,
    /// The e-mail address.
    pub email: String,
    /// The full name.
    pub full_name: String,
    /// The role.
    pub role: Role,
    /// The password. There is no default.
    pub password: Secret,
    /// The bcrypt cost, as in [`crate::ApiConfig::bcrypt_cost`].
    pub bcrypt_cost: u32,
}

/// Why the account was not made.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// A value breaks a rule; the text names it.
    #[error("{0}")]
    Invalid(String),
    /// The password could not be hashed.
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
    /// The database did not do it: [`StoreError::Taken`] when there is such an account already.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The rules that the values keep, the same as over HTTP.
#[derive(Validate)]
struct Rules<'a> {
    #[garde(length(chars, min = 1, max = 200))]
    organisation: &'a str,
    #[garde(email, length(max = 254))]
    email: &'a str,
    #[garde(length(chars, min = 1, max = 200))]
    full_name: &'a str,
    #[garde(custom(passwords::is_good))]
    password: &'a str,
}

/// Makes an account, and the organisation when there is none yet.
///
/// # Errors
/// When a value breaks a rule, there is such an account already, or the database does not do it.
pub async fn create_user(
    pool: &Pool<Postgres>,
    clock: &Clock,
    entropy: &Entropy,
    user: FirstUser,
) -> Result<UserId, BootstrapError> {
    let password = user.password.reveal();
    let rules =
        Rules { organisation: &user.organisation, email: &user.email, full_name: &user.full_name, password };
    rules.validate().map_err(|report| BootstrapError::Invalid(report.to_string().trim().to_owned()))?;
    let hasher = Passwords::new(user.bcrypt_cost, entropy.clone())
        .map_err(|error| BootstrapError::Hash(error.to_string()))?;
    let password_hash =
        hasher.hash(password.to_owned()).await.map_err(|error| BootstrapError::Hash(error.to_string()))?;
    let mut tx = pool.begin().await.map_err(StoreError::from)?;
    let new = NewUser {
        id: UserId(entropy.uuid_v4()),
        organisation_id: organisation(&mut tx, clock, entropy, user.organisation).await?,
        email: user.email,
        full_name: user.full_name,
        role: user.role,
        roll_number: None,
        password_hash: Some(password_hash),
        created_at: clock.now(),
    };
    users::create(&mut tx, &new).await?;
    audit::append(&mut tx, &line(&new, entropy)).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(new.id)
}

/// What the audit says of an account that was made from the command line.
fn line(user: &NewUser, entropy: &Entropy) -> Entry {
    let after = json!({ "email": user.email, "fullName": user.full_name, "role": user.role });
    Entry {
        at: user.created_at,
        actor: Actor::Cli,
        action: "user.created".into(),
        outcome: Outcome::Done,
        target: Target { kind: "user".into(), id: Some(user.id.to_string()) },
        occurrences: 1,
        request_id: None,
        trace_id: current_trace_id(),
        details: Some(Details::new(entropy.bytes(), &json!({ "after": after }))),
    }
}

/// The organisation that is there, or a new one.
async fn organisation(
    db: &mut PgConnection,
    clock: &Clock,
    entropy: &Entropy,
    name: String,
) -> Result<OrganisationId, StoreError> {
    if let Some(found) = organisations::find(db).await? {
        return Ok(found.id);
    }
    let new = Organisation { id: OrganisationId(entropy.uuid_v4()), name };
    organisations::create(db, &new, clock.now()).await?;
    Ok(new.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_test_support::{TestDatabase, test_clock};

    #[tokio::test]
    async fn the_organisation_is_made_once_and_rules_hold() {
        let (database, clock, entropy) = (TestDatabase::create().await, test_clock(), Entropy::seeded(1));
        let user = |email: &str, password: &str| FirstUser {
            organisation: "School".into(),
            email: email.into(),
            full_name: "Ada".into(),
            role: Role::Admin,
            password: Secret::new(password),
            bcrypt_cost: 4,
        };
        let create = async |user| create_user(database.pool(), &clock, &entropy, user).await;
        let first = create(user("a@school.example", "Correct-horse-1")).await.unwrap();
        let second = create(user("b@school.example", "Correct-horse-1")).await.unwrap();
        let mut db = database.pool().acquire().await.unwrap();
        let first = users::find(&mut db, first).await.unwrap().unwrap();
        let second = users::find(&mut db, second).await.unwrap().unwrap();
        assert_eq!(first.organisation_id, second.organisation_id);

        let again = create(user("A@school.example", "Correct-horse-1")).await;
        assert!(matches!(again, Err(BootstrapError::Store(StoreError::Taken { .. }))));
        let weak = create(user("c@school.example", "password")).await;
        assert!(matches!(weak, Err(BootstrapError::Invalid(text)) if text.contains("password")));
    }
}
