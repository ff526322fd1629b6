//! Accounts at identity providers, linked to people. Written by the api.

use crate::StoreError;
use chrono::{DateTime, Utc};
use rollcall_schemas::id::UserId;
use sqlx::PgConnection;

/// An account at a provider: the pair names a person for ever (OpenID Connect Core, section 5.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// The person there.
    pub subject: String,
}

/// A person by their address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addressee {
    /// The person.
    pub user_id: UserId,
    /// Whether somebody we trust said that the address is theirs.
    pub email_confirmed: bool,
}

/// The person who is linked to an account at a provider.
///
/// # Errors
/// When the database does not answer.
pub async fn find(conn: &mut PgConnection, identity: &Identity) -> Result<Option<UserId>, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT i.user_id FROM identities i JOIN users u ON u.id = i.user_id AND u.deleted_at IS NULL
         WHERE i.issuer = $1 AND i.subject = $2",
        identity.issuer,
        identity.subject
    );
    Ok(found.fetch_optional(conn).await?.map(UserId))
}

/// The person who has an address.
///
/// # Errors
/// When the database does not answer.
pub async fn addressee(conn: &mut PgConnection, email: &str) -> Result<Option<Addressee>, StoreError> {
    let found = sqlx::query_as!(
        Addressee,
        "SELECT id AS user_id, email_confirmed FROM users WHERE lower(email) = lower($1) AND deleted_at IS NULL",
        email
    );
    Ok(found.fetch_optional(conn).await?)
}

/// Links an account at a provider to a person. One that was linked to somebody who has been deleted is linked anew.
///
/// # Errors
/// When the database does not do it.
pub async fn link(
    conn: &mut PgConnection,
    identity: &Identity,
    user: UserId,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO identities (issuer, subject, user_id, linked_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (issuer, subject) DO UPDATE SET user_id = $3, linked_at = $4",
        identity.issuer,
        identity.subject,
        user.0,
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}
