//! Who is signed in where: sign-ins and their refresh tokens. Written by the api.
//!
//! Whether a refresh token is good is the api's to say; here is what is known of it.

use crate::StoreError;
use chrono::{DateTime, Utc};
use rollcall_schemas::id::{SignInId, UserId};
use sqlx::PgConnection;

/// SHA-256 of a token.
pub type TokenHash = [u8; 32];

/// A sign-in to be begun.
#[derive(Clone, Copy, Debug)]
pub struct NewSignIn {
    /// The id.
    pub id: SignInId,
    /// Who signs in.
    pub user_id: UserId,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When the last of its tokens ends.
    pub expires_at: DateTime<Utc>,
}

/// A refresh token to be issued.
#[derive(Clone, Copy)]
pub struct NewRefreshToken {
    /// Its hash.
    pub token_sha256: TokenHash,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// What is known of a refresh token that somebody presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented {
    /// The sign-in it belongs to.
    pub sign_in_id: SignInId,
    /// Whose it is.
    pub user_id: UserId,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// When it was exchanged for its successor, if it was.
    pub used_at: Option<DateTime<Utc>>,
    /// When the sign-in was ended, if it was.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Begins a sign-in with its first refresh token.
///
/// # Errors
/// When the database does not do it.
pub async fn begin(
    tx: &mut PgConnection,
    sign_in: &NewSignIn,
    token: &NewRefreshToken,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO sign_ins (id, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        sign_in.id.0,
        sign_in.user_id.0,
        sign_in.created_at,
        sign_in.expires_at
    )
    .execute(&mut *tx)
    .await?;
    add_token(tx, sign_in.id, token).await
}

/// What is known of a refresh token. Until the transaction ends nobody else learns it of the same sign-in, so that of
/// those who present a token at once one is first.
///
/// # Errors
/// When the database does not answer.
pub async fn present(
    tx: &mut PgConnection,
    token_sha256: &TokenHash,
) -> Result<Option<Presented>, StoreError> {
    let presented = sqlx::query_as!(
        Presented,
        "SELECT t.sign_in_id, s.user_id, t.expires_at, t.used_at, s.ended_at
         FROM refresh_tokens t JOIN sign_ins s ON s.id = t.sign_in_id
         WHERE t.token_sha256 = $1 FOR UPDATE",
        token_sha256.as_slice()
    );
    Ok(presented.fetch_optional(tx).await?)
}

/// Exchanges a refresh token for its successor. The sign-in then lasts until `expires_at`.
///
/// # Errors
/// When the database does not do it.
pub async fn rotate(
    tx: &mut PgConnection,
    used: &TokenHash,
    at: DateTime<Utc>,
    next: &NewRefreshToken,
    expires_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let sign_in = sqlx::query_scalar!(
        "UPDATE refresh_tokens SET used_at = $2 WHERE token_sha256 = $1 RETURNING sign_in_id",
        used.as_slice(),
        at
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query!("UPDATE sign_ins SET expires_at = $2 WHERE id = $1", sign_in, expires_at)
        .execute(&mut *tx)
        .await?;
    add_token(tx, sign_in.into(), next).await
}

async fn add_token(
    tx: &mut PgConnection,
    sign_in: SignInId,
    token: &NewRefreshToken,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO refresh_tokens (token_sha256, sign_in_id, expires_at) VALUES ($1, $2, $3)",
        token.token_sha256.as_slice(),
        sign_in.0,
        token.expires_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Ends one sign-in, and says whether it went on until then. One that had ended before stays as it is.
///
/// # Errors
/// When the database does not do it.
pub async fn end(conn: &mut PgConnection, id: SignInId, at: DateTime<Utc>) -> Result<bool, StoreError> {
    let ended =
        sqlx::query!("UPDATE sign_ins SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL", id.0, at)
            .execute(conn)
            .await?;
    Ok(ended.rows_affected() == 1)
}

/// Sign-ins that somebody ended after a time, and when.
///
/// # Errors
/// When the database does not answer.
pub async fn ended_since(
    conn: &mut PgConnection,
    after: DateTime<Utc>,
) -> Result<Vec<(SignInId, DateTime<Utc>)>, StoreError> {
    let rows = sqlx::query!(r#"SELECT id, ended_at AS "ended_at!" FROM sign_ins WHERE ended_at > $1"#, after);
    Ok(rows.fetch_all(conn).await?.into_iter().map(|row| (row.id.into(), row.ended_at)).collect())
}

/// Ends the sign-ins of a person, all or all but one, and names them.
///
/// # Errors
/// When the database does not do it.
pub async fn end_all(
    conn: &mut PgConnection,
    user: UserId,
    but: Option<SignInId>,
    at: DateTime<Utc>,
) -> Result<Vec<SignInId>, StoreError> {
    let ended = sqlx::query_scalar!(
        "UPDATE sign_ins SET ended_at = $3
         WHERE user_id = $1 AND ended_at IS NULL AND ($2::uuid IS NULL OR id <> $2) RETURNING id",
        user.0,
        but.map(|id| id.0),
        at
    );
    Ok(ended.fetch_all(conn).await?.into_iter().map(SignInId).collect())
}

/// Sign-ins whose tokens have all ended by themselves, the oldest first, and whether somebody had ended them before.
///
/// # Errors
/// When the database does not answer.
pub async fn expired(
    conn: &mut PgConnection,
    at: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<(SignInId, bool)>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT id, ended_at IS NOT NULL AS "was_ended!" FROM sign_ins WHERE expires_at <= $1
           ORDER BY expires_at LIMIT $2"#,
        at,
        limit
    );
    let rows = rows.fetch_all(conn).await?;
    Ok(rows.into_iter().map(|row| (row.id.into(), row.was_ended)).collect())
}

/// Forgets sign-ins and their refresh tokens.
///
/// # Errors
/// When the database does not do it.
pub async fn forget(conn: &mut PgConnection, ids: &[SignInId]) -> Result<(), StoreError> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    sqlx::query!("DELETE FROM sign_ins WHERE id = ANY($1)", &ids).execute(conn).await?;
    Ok(())
}
