//! Which cameras look at which class, by validity.

use crate::StoreError;
use chrono::{DateTime, Utc};
use rollcall_schemas::id::{CameraId, ClassId};
use sqlx::PgConnection;

/// The cameras that look at a class now.
///
/// # Errors
/// When the database does not answer.
pub async fn cameras(conn: &mut PgConnection, id: ClassId) -> Result<Vec<CameraId>, StoreError> {
    let ids = sqlx::query_scalar!(
        "SELECT camera_id FROM class_cameras WHERE class_id = $1 AND valid_to IS NULL ORDER BY camera_id",
        id.0
    );
    Ok(ids.fetch_all(conn).await?.into_iter().map(CameraId::from).collect())
}

/// Lets a camera look at a class from `at` on. Nothing changes when it already does.
///
/// # Errors
/// When the database does not do it.
pub async fn add_camera(
    conn: &mut PgConnection,
    id: ClassId,
    camera: CameraId,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO class_cameras (class_id, camera_id, valid_from) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        id.0,
        camera.0,
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes a camera away from a class from `at` on. `false` when it did not look at it.
///
/// # Errors
/// When the database does not do it.
pub async fn remove_camera(
    conn: &mut PgConnection,
    id: ClassId,
    camera: CameraId,
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let never = sqlx::query!(
        "DELETE FROM class_cameras WHERE class_id = $1 AND camera_id = $2 AND valid_to IS NULL AND valid_from >= $3",
        id.0,
        camera.0,
        at
    )
    .execute(&mut *conn)
    .await?;
    let ended = sqlx::query!(
        "UPDATE class_cameras SET valid_to = $3 WHERE class_id = $1 AND camera_id = $2 AND valid_to IS NULL",
        id.0,
        camera.0,
        at
    )
    .execute(conn)
    .await?;
    Ok(never.rows_affected() + ended.rows_affected() == 1)
}
