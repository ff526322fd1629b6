//! API keys of cameras and integrations. Written by the api.
//!
//! The secret is not known here, only its hash. Every change raises the revision, which orders the entries of the AUTH
//! feed that tell of it; the minute of the last use is no change.

use crate::{
    StoreError,
    pages::{Page, Paged},
};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    id::{ApiKeyId, CameraId},
    request::KeyUse,
    scope::Scope,
};
use sqlx::PgConnection;
use uuid::Uuid;

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The public part.
    pub id: ApiKeyId,
    /// The camera that it stands for; absent for an integration.
    pub camera_id: Option<CameraId>,
    /// What people call the integration; absent for a camera.
    pub name: Option<String>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// SHA-256 of the secret, in hexadecimal.
    pub secret_sha256: String,
    /// Grows with every change.
    pub revision: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// After this it is no longer taken.
    pub expires_at: Option<DateTime<Utc>>,
    /// Since when it is no longer taken.
    pub revoked_at: Option<DateTime<Utc>>,
    /// The key that rotation put in its place.
    pub replaced_by: Option<ApiKeyId>,
    /// The minute of its last use, as far as it is known.
    pub last_used_at: Option<DateTime<Utc>>,
}

struct Row {
    id: Uuid,
    camera_id: Option<Uuid>,
    name: Option<String>,
    scopes: Vec<String>,
    secret_sha256: String,
    revision: i64,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    replaced_by: Option<Uuid>,
    last_used_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for ApiKey {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let scope =
            |name: &String| Scope::parse(name).ok_or_else(|| StoreError::corrupt("api_keys", "scopes", name));
        Ok(Self {
            id: row.id.into(),
            camera_id: row.camera_id.map(CameraId),
            name: row.name,
            scopes: row.scopes.iter().map(scope).collect::<Result<_, _>>()?,
            secret_sha256: row.secret_sha256,
            revision: row.revision,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            replaced_by: row.replaced_by.map(ApiKeyId),
            last_used_at: row.last_used_at,
        })
    }
}

fn keys(rows: Vec<Row>) -> Result<Vec<ApiKey>, StoreError> {
    rows.into_iter().map(ApiKey::try_from).collect()
}

macro_rules! select_keys {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            "SELECT id, camera_id, name, scopes, secret_sha256, revision, created_at, expires_at, revoked_at, replaced_by,
                    last_used_at
             FROM api_keys " + $rest,
            $($argument),*
        )
    };
}

macro_rules! update_keys {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            "UPDATE api_keys SET revision = revision + 1, " + $rest
                + " RETURNING id, camera_id, name, scopes, secret_sha256, revision, created_at, expires_at, revoked_at,
                    replaced_by, last_used_at",
            $($argument),*
        )
    };
}

/// Adds a key; it begins at revision 1.
///
/// # Errors
/// When the database does not do it.
pub async fn create(conn: &mut PgConnection, key: &ApiKey) -> Result<(), StoreError> {
    let scopes: Vec<String> = key.scopes.iter().map(ToString::to_string).collect();
    sqlx::query!(
        "INSERT INTO api_keys (id, camera_id, name, scopes, secret_sha256, revision, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        key.id.0,
        key.camera_id.map(Uuid::from),
        key.name,
        &scopes,
        key.secret_sha256,
        key.revision,
        key.created_at,
        key.expires_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A page of the keys of a camera that were not revoked, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn of_camera(
    conn: &mut PgConnection,
    camera: CameraId,
    page: Page,
) -> Result<Paged<ApiKey>, StoreError> {
    let total = sqlx::query_scalar!(
        r#"SELECT count(*) AS "total!" FROM api_keys WHERE camera_id = $1 AND revoked_at IS NULL"#,
        camera.0
    )
    .fetch_one(&mut *conn)
    .await?;
    let rows = select_keys!(
        "WHERE camera_id = $1 AND revoked_at IS NULL ORDER BY created_at, id LIMIT $2 OFFSET $3",
        camera.0,
        page.limit,
        page.offset
    );
    Ok(Paged { rows: keys(rows.fetch_all(conn).await?)?, total })
}

/// A page of the keys of integrations that were not revoked, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn of_integrations(conn: &mut PgConnection, page: Page) -> Result<Paged<ApiKey>, StoreError> {
    let total = sqlx::query_scalar!(
        r#"SELECT count(*) AS "total!" FROM api_keys WHERE camera_id IS NULL AND revoked_at IS NULL"#
    )
    .fetch_one(&mut *conn)
    .await?;
    let rows = select_keys!(
        "WHERE camera_id IS NULL AND revoked_at IS NULL ORDER BY created_at, id LIMIT $1 OFFSET $2",
        page.limit,
        page.offset
    );
    Ok(Paged { rows: keys(rows.fetch_all(conn).await?)?, total })
}

/// A key that was not revoked, of a camera or, without one, of an integration; held so that it stays as it is.
///
/// # Errors
/// When the database does not answer.
pub async fn lock(
    conn: &mut PgConnection,
    camera: Option<CameraId>,
    id: ApiKeyId,
) -> Result<Option<ApiKey>, StoreError> {
    let row = select_keys!(
        "WHERE id = $1 AND camera_id IS NOT DISTINCT FROM $2 AND revoked_at IS NULL FOR UPDATE",
        id.0,
        camera.map(Uuid::from)
    );
    row.fetch_optional(conn).await?.map(ApiKey::try_from).transpose()
}

/// Puts another key in the place of this one, which is taken until `until` unless it expires earlier. `None` when there
/// is no such key.
///
/// # Errors
/// When the database does not do it.
pub async fn replace(
    conn: &mut PgConnection,
    id: ApiKeyId,
    by: ApiKeyId,
    until: DateTime<Utc>,
) -> Result<Option<ApiKey>, StoreError> {
    let row =
        update_keys!("replaced_by = $2, expires_at = least(expires_at, $3) WHERE id = $1", id.0, by.0, until);
    row.fetch_optional(conn).await?.map(ApiKey::try_from).transpose()
}

/// Revokes a key of a camera or, without one, of an integration. `None` when there is none, or it was revoked before.
///
/// # Errors
/// When the database does not do it.
pub async fn revoke(
    conn: &mut PgConnection,
    camera: Option<CameraId>,
    id: ApiKeyId,
    at: DateTime<Utc>,
) -> Result<Option<ApiKey>, StoreError> {
    let row = update_keys!(
        "revoked_at = $3 WHERE id = $1 AND camera_id IS NOT DISTINCT FROM $2 AND revoked_at IS NULL",
        id.0,
        camera.map(Uuid::from),
        at
    );
    row.fetch_optional(conn).await?.map(ApiKey::try_from).transpose()
}

/// Revokes every key of a camera, and returns those that were not revoked before.
///
/// # Errors
/// When the database does not do it.
pub async fn revoke_those_of(
    conn: &mut PgConnection,
    camera: CameraId,
    at: DateTime<Utc>,
) -> Result<Vec<ApiKey>, StoreError> {
    let rows = update_keys!("revoked_at = $2 WHERE camera_id = $1 AND revoked_at IS NULL", camera.0, at);
    keys(rows.fetch_all(conn).await?)
}

/// Every key there ever was: what the AUTH feed must agree with.
///
/// # Errors
/// When the database does not answer.
pub async fn every(conn: &mut PgConnection) -> Result<Vec<ApiKey>, StoreError> {
    keys(select_keys!("ORDER BY id").fetch_all(conn).await?)
}

/// The keys of these ids, held so that they stay as they are.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_each(conn: &mut PgConnection, ids: &[ApiKeyId]) -> Result<Vec<ApiKey>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    keys(select_keys!("WHERE id = ANY($1) ORDER BY id FOR UPDATE", &ids).fetch_all(conn).await?)
}

/// Raises the revision of a key to `revision`, where it is lower.
///
/// # Errors
/// When the database does not do it.
pub async fn raise_revision(conn: &mut PgConnection, id: ApiKeyId, revision: i64) -> Result<(), StoreError> {
    sqlx::query!("UPDATE api_keys SET revision = $2 WHERE id = $1 AND revision < $2", id.0, revision)
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes when keys were used; what is noted already and later stays. Unknown keys are passed over.
///
/// # Errors
/// When the database does not do it.
pub async fn note_uses(conn: &mut PgConnection, uses: &[KeyUse]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = uses.iter().map(|key| key.key_id.0).collect();
    let minutes: Vec<DateTime<Utc>> = uses.iter().map(|key| key.used_at).collect();
    // In order of ids, so that two processes that note the same keys do not wait for each other crosswise.
    sqlx::query!(
        "WITH used AS (
             SELECT k.id, u.used_at FROM UNNEST($1::uuid[], $2::timestamptz[]) AS u (id, used_at)
             JOIN api_keys k ON k.id = u.id
             WHERE k.last_used_at IS NULL OR k.last_used_at < u.used_at
             ORDER BY k.id FOR UPDATE OF k)
         UPDATE api_keys k SET last_used_at = used.used_at FROM used WHERE k.id = used.id",
        &ids,
        &minutes
    )
    .execute(conn)
    .await?;
    Ok(())
}
