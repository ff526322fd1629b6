//! Browsers that are at an identity provider just now. Written by the api.

use crate::{StoreError, sign_ins::TokenHash};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::fmt;

/// A visit to a provider.
#[derive(Clone)]
pub struct Visit {
    /// The hash of the state that comes back with the browser.
    pub state_sha256: TokenHash,
    /// The hash of the secret that the browser's cookie holds.
    pub browser_sha256: TokenHash,
    /// The provider, by its configured name.
    pub provider: String,
    /// What the identity token must repeat.
    pub nonce: String,
    /// What the code is exchanged with (RFC 7636).
    pub pkce_verifier: String,
    /// After this the browser need not come back.
    pub expires_at: DateTime<Utc>,
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Visit({})", self.provider)
    }
}

/// Whoever comes back.
#[derive(Clone, Copy, Debug)]
pub struct Return<'a> {
    /// The hash of the state.
    pub state_sha256: &'a TokenHash,
    /// The hash of the secret in the browser's cookie.
    pub browser_sha256: &'a TokenHash,
    /// The provider, by its configured name.
    pub provider: &'a str,
}

/// Begins a visit.
///
/// # Errors
/// When the database does not do it.
pub async fn begin(conn: &mut PgConnection, visit: &Visit) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO provider_visits (state_sha256, browser_sha256, provider, nonce, pkce_verifier, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        visit.state_sha256.as_slice(),
        visit.browser_sha256.as_slice(),
        visit.provider,
        visit.nonce,
        visit.pkce_verifier,
        visit.expires_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends a visit, and gives its nonce and its PKCE verifier. `None` when there is none of this state, browser and provider,
/// or it took too long; nobody ends it twice.
///
/// # Errors
/// When the database does not do it.
pub async fn end(
    conn: &mut PgConnection,
    returned: Return<'_>,
    at: DateTime<Utc>,
) -> Result<Option<(String, String)>, StoreError> {
    let ended = sqlx::query!(
        "DELETE FROM provider_visits
         WHERE state_sha256 = $1 AND browser_sha256 = $2 AND provider = $3 AND expires_at > $4
         RETURNING nonce, pkce_verifier",
        returned.state_sha256.as_slice(),
        returned.browser_sha256.as_slice(),
        returned.provider,
        at
    )
    .fetch_optional(conn)
    .await?;
    Ok(ended.map(|row| (row.nonce, row.pkce_verifier)))
}

/// Forgets visits from which nobody came back.
///
/// # Errors
/// When the database does not do it.
pub async fn forget_old(conn: &mut PgConnection, at: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM provider_visits WHERE expires_at <= $1", at).execute(conn).await?;
    Ok(())
}
