//! The organisation that runs this deployment. Written by the api.

use crate::StoreError;
use chrono::{DateTime, Utc};
use rollcall_schemas::id::OrganisationId;
use sqlx::PgConnection;

/// Whoever runs this deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organisation {
    /// Its id.
    pub id: OrganisationId,
    /// What it is called.
    pub name: String,
}

/// The organisation, if there is one yet.
///
/// # Errors
/// When the database does not answer.
pub async fn find(conn: &mut PgConnection) -> Result<Option<Organisation>, StoreError> {
    let row =
        sqlx::query_as!(Organisation, "SELECT id, name FROM organisations ORDER BY created_at, id LIMIT 1");
    Ok(row.fetch_optional(conn).await?)
}

/// Adds the organisation.
///
/// # Errors
/// When the database does not do it.
pub async fn create(
    conn: &mut PgConnection,
    organisation: &Organisation,
    created_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO organisations (id, name, created_at) VALUES ($1, $2, $3)",
        organisation.id.0,
        organisation.name,
        created_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives the organisation another name.
///
/// # Errors
/// When the database does not do it.
pub async fn rename(conn: &mut PgConnection, id: OrganisationId, name: &str) -> Result<(), StoreError> {
    sqlx::query!("UPDATE organisations SET name = $2 WHERE id = $1", id.0, name).execute(conn).await?;
    Ok(())
}
