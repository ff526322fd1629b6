//! Cameras and their API keys. Written by the api.
//!
//! Every change raises the revision, which orders the entries of the CAMERAS and AUTH feeds that tell of it.

use crate::{
    StoreError,
    pages::{Page, Paged},
};
use chrono::{DateTime, Utc};
use rollcall_schemas::id::{ApiKeyId, CameraId, OrganisationId};
use sqlx::PgConnection;

/// A camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Camera {
    /// The id.
    pub id: CameraId,
    /// What people call it.
    pub name: String,
    /// Whether its frames are taken.
    pub enabled: bool,
    /// The most frames a second that are taken from it.
    pub max_frames_per_second: i32,
    /// Grows with every change.
    pub revision: i64,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

/// A camera to be added; it begins at revision 1.
#[derive(Clone, Debug)]
pub struct NewCamera {
    /// The id.
    pub id: CameraId,
    /// The organisation.
    pub organisation_id: OrganisationId,
    /// What people call it.
    pub name: String,
    /// Whether its frames are taken.
    pub enabled: bool,
    /// The most frames a second that are taken from it.
    pub max_frames_per_second: i32,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// What changes about a camera; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct CameraChange {
    /// What people call it.
    pub name: Option<String>,
    /// Whether its frames are taken.
    pub enabled: Option<bool>,
    /// The most frames a second that are taken from it.
    pub max_frames_per_second: Option<i32>,
}

/// An API key of a camera. The secret is not known here, only its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The public part.
    pub id: ApiKeyId,
    /// The camera.
    pub camera_id: CameraId,
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
}

macro_rules! select_cameras {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Camera,
            "SELECT id, name, enabled, max_frames_per_second, revision, created_at FROM cameras " + $rest,
            $($argument),*
        )
    };
}

/// The camera of that id.
///
/// # Errors
/// When the database does not answer.
pub async fn find(conn: &mut PgConnection, id: CameraId) -> Result<Option<Camera>, StoreError> {
    Ok(select_cameras!("WHERE id = $1 AND deleted_at IS NULL", id.0).fetch_optional(conn).await?)
}

/// A page of cameras, by name.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut PgConnection, page: Page) -> Result<Paged<Camera>, StoreError> {
    let total = sqlx::query_scalar!(r#"SELECT count(*) AS "total!" FROM cameras WHERE deleted_at IS NULL"#)
        .fetch_one(&mut *conn)
        .await?;
    let rows = select_cameras!(
        "WHERE deleted_at IS NULL ORDER BY name, id LIMIT $1 OFFSET $2",
        page.limit,
        page.offset
    )
    .fetch_all(conn)
    .await?;
    Ok(Paged { rows, total })
}

/// Adds a camera.
///
/// # Errors
/// [`StoreError::Taken`] with `cameras_name`, or when the database does not do it.
pub async fn create(conn: &mut PgConnection, camera: &NewCamera) -> Result<Camera, StoreError> {
    let created = sqlx::query_as!(
        Camera,
        "INSERT INTO cameras (id, organisation_id, name, enabled, max_frames_per_second, revision, created_at)
         VALUES ($1, $2, $3, $4, $5, 1, $6)
         RETURNING id, name, enabled, max_frames_per_second, revision, created_at",
        camera.id.0,
        camera.organisation_id.0,
        camera.name,
        camera.enabled,
        camera.max_frames_per_second,
        camera.created_at
    );
    Ok(created.fetch_one(conn).await?)
}

/// Changes a camera. `None` when there is none of that id.
///
/// # Errors
/// [`StoreError::Taken`] with `cameras_name`, or when the database does not do it.
pub async fn update(
    conn: &mut PgConnection,
    id: CameraId,
    change: &CameraChange,
) -> Result<Option<Camera>, StoreError> {
    let updated = sqlx::query_as!(
        Camera,
        "UPDATE cameras SET name = coalesce($2, name), enabled = coalesce($3, enabled),
             max_frames_per_second = coalesce($4, max_frames_per_second), revision = revision + 1
         WHERE id = $1 AND deleted_at IS NULL
         RETURNING id, name, enabled, max_frames_per_second, revision, created_at",
        id.0,
        change.name,
        change.enabled,
        change.max_frames_per_second
    );
    Ok(updated.fetch_optional(conn).await?)
}

/// Marks a camera as deleted and takes it away from its classes. `None` when there is none of that id. Its keys are
/// revoked by [`revoke_keys`].
///
/// # Errors
/// When the database does not do it.
pub async fn delete(
    conn: &mut PgConnection,
    id: CameraId,
    at: DateTime<Utc>,
) -> Result<Option<Camera>, StoreError> {
    sqlx::query!(
        "DELETE FROM class_cameras WHERE camera_id = $1 AND valid_to IS NULL AND valid_from >= $2",
        id.0,
        at
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE class_cameras SET valid_to = $2 WHERE camera_id = $1 AND valid_to IS NULL",
        id.0,
        at
    )
    .execute(&mut *conn)
    .await?;
    let deleted = sqlx::query_as!(
        Camera,
        "UPDATE cameras SET deleted_at = $2, revision = revision + 1 WHERE id = $1 AND deleted_at IS NULL
         RETURNING id, name, enabled, max_frames_per_second, revision, created_at",
        id.0,
        at
    );
    Ok(deleted.fetch_optional(conn).await?)
}

/// Adds a key; it begins at revision 1.
///
/// # Errors
/// When the database does not do it.
pub async fn add_key(conn: &mut PgConnection, key: &ApiKey) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO api_keys (id, camera_id, secret_sha256, revision, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        key.id.0,
        key.camera_id.0,
        key.secret_sha256,
        key.revision,
        key.created_at,
        key.expires_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The keys of a camera that were not revoked, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn keys(conn: &mut PgConnection, camera: CameraId) -> Result<Vec<ApiKey>, StoreError> {
    let keys = sqlx::query_as!(
        ApiKey,
        "SELECT id, camera_id, secret_sha256, revision, created_at, expires_at, revoked_at FROM api_keys
         WHERE camera_id = $1 AND revoked_at IS NULL ORDER BY created_at, id",
        camera.0
    );
    Ok(keys.fetch_all(conn).await?)
}

/// Revokes one key of a camera, or all of them, and returns those that were not revoked before.
///
/// # Errors
/// When the database does not do it.
pub async fn revoke_keys(
    conn: &mut PgConnection,
    camera: CameraId,
    only: Option<ApiKeyId>,
    at: DateTime<Utc>,
) -> Result<Vec<ApiKey>, StoreError> {
    let revoked = sqlx::query_as!(
        ApiKey,
        "UPDATE api_keys SET revoked_at = $3, revision = revision + 1
         WHERE camera_id = $1 AND ($2::uuid IS NULL OR id = $2) AND revoked_at IS NULL
         RETURNING id, camera_id, secret_sha256, revision, created_at, expires_at, revoked_at",
        camera.0,
        only.map(|id| id.0),
        at
    );
    Ok(revoked.fetch_all(conn).await?)
}
