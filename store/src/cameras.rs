//! Cameras. Written by the api.
//!
//! Every change raises the revision, which orders the entries of the CAMERAS feed that tell of it.

use crate::{
    StoreError,
    pages::{Page, Paged},
};
use chrono::{DateTime, Utc};
use rollcall_schemas::id::{CameraId, OrganisationId};
use sqlx::PgConnection;
use uuid::Uuid;

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

macro_rules! select_cameras {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Camera,
            "SELECT id, name, enabled, max_frames_per_second, revision, created_at FROM cameras " + $rest,
            $($argument),*
        )
    };
}

struct EvenDeleted {
    id: CameraId,
    name: String,
    enabled: bool,
    max_frames_per_second: i32,
    revision: i64,
    created_at: DateTime<Utc>,
    deleted: bool,
}

impl EvenDeleted {
    fn split(self) -> (Camera, bool) {
        let Self { id, name, enabled, max_frames_per_second, revision, created_at, deleted } = self;
        (Camera { id, name, enabled, max_frames_per_second, revision, created_at }, deleted)
    }
}

macro_rules! select_even_deleted {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            EvenDeleted,
            r#"SELECT id, name, enabled, max_frames_per_second, revision, created_at,
                      deleted_at IS NOT NULL AS "deleted!"
               FROM cameras "# + $rest,
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
/// revoked by [`crate::api_keys::revoke_those_of`].
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

/// Every camera there ever was, with whether it was deleted: what the CAMERAS feed must agree with.
///
/// # Errors
/// When the database does not answer.
pub async fn every(conn: &mut PgConnection) -> Result<Vec<(Camera, bool)>, StoreError> {
    Ok(select_even_deleted!("ORDER BY id")
        .fetch_all(conn)
        .await?
        .into_iter()
        .map(EvenDeleted::split)
        .collect())
}

/// The cameras of these ids, deleted or not, held so that they stay as they are.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_each(conn: &mut PgConnection, ids: &[CameraId]) -> Result<Vec<(Camera, bool)>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = select_even_deleted!("WHERE id = ANY($1) ORDER BY id FOR UPDATE", &ids);
    Ok(rows.fetch_all(conn).await?.into_iter().map(EvenDeleted::split).collect())
}

/// Raises the revision of a camera to `revision`, where it is lower.
///
/// # Errors
/// When the database does not do it.
pub async fn raise_revision(conn: &mut PgConnection, id: CameraId, revision: i64) -> Result<(), StoreError> {
    sqlx::query!("UPDATE cameras SET revision = $2 WHERE id = $1 AND revision < $2", id.0, revision)
        .execute(conn)
        .await?;
    Ok(())
}
