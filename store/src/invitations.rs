//! Invitations to register. Written by the api.

use crate::{StoreError, sign_ins::TokenHash};
use chrono::{DateTime, Utc};
use rollcall_schemas::{id::UserId, role::Role};
use sqlx::PgConnection;

/// An invitation.
#[derive(Clone)]
pub struct Invitation {
    /// The hash of what the invited person shows.
    pub token_sha256: TokenHash,
    /// The role they get.
    pub role: Role,
    /// The address they must have, if it is for one person only.
    pub email: Option<String>,
    /// Who invites.
    pub invited_by: UserId,
    /// When.
    pub created_at: DateTime<Utc>,
    /// After this it is no longer taken.
    pub expires_at: DateTime<Utc>,
}

/// What a good invitation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invited {
    /// The role that the person gets.
    pub role: Role,
    /// The address that the person must have.
    pub email: Option<String>,
}

/// Adds an invitation.
///
/// # Errors
/// When the database does not do it.
pub async fn create(conn: &mut PgConnection, invitation: &Invitation) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO invitations (token_sha256, role, email, invited_by, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        invitation.token_sha256.as_slice(),
        invitation.role.as_str(),
        invitation.email,
        invitation.invited_by.0,
        invitation.created_at,
        invitation.expires_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What an invitation says, if it can still be used and whoever invited is still there. Until the transaction ends nobody
/// else can use it.
///
/// # Errors
/// When the database does not answer.
pub async fn present(
    tx: &mut PgConnection,
    token_sha256: &TokenHash,
    at: DateTime<Utc>,
) -> Result<Option<Invited>, StoreError> {
    let row = sqlx::query!(
        "SELECT i.role, i.email FROM invitations i JOIN users u ON u.id = i.invited_by AND u.deleted_at IS NULL
         WHERE i.token_sha256 = $1 AND i.used_by IS NULL AND i.expires_at > $2 FOR UPDATE OF i",
        token_sha256.as_slice(),
        at
    )
    .fetch_optional(tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let role = Role::parse(&row.role).ok_or_else(|| StoreError::corrupt("invitations", "role", &row.role))?;
    Ok(Some(Invited { role, email: row.email }))
}

/// Notes who used an invitation.
///
/// # Errors
/// When the database does not do it.
pub async fn use_up(tx: &mut PgConnection, token_sha256: &TokenHash, user: UserId) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE invitations SET used_by = $2 WHERE token_sha256 = $1",
        token_sha256.as_slice(),
        user.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets invitations that ended before a time.
///
/// # Errors
/// When the database does not do it.
pub async fn forget_old(conn: &mut PgConnection, ended_before: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM invitations WHERE expires_at < $1", ended_before).execute(conn).await?;
    Ok(())
}
