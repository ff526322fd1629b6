//! What an administrator configures at run time: every version of it, the newest is the present one. Written by the api.

use crate::StoreError;
use chrono::{DateTime, Utc};
use rollcall_schemas::id::UserId;
use serde_json::Value;
use sqlx::PgConnection;

/// Whose clocks an organisation goes by that has not said so.
pub const DEFAULT_TIME_ZONE: &str = "UTC";

/// Whose configuration it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Of the school or the site: its name, what its classes begin with.
    Organisation,
    /// Of the deployment: how long tokens live, when accounts are locked.
    System,
}

impl Scope {
    fn as_str(self) -> &'static str {
        match self {
            Scope::Organisation => "organisation",
            Scope::System => "system",
        }
    }
}

/// A version of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// From 1.
    pub revision: i64,
    /// The settings that were set; the others have their defaults.
    pub settings: Value,
    /// Since when.
    pub valid_from: DateTime<Utc>,
    /// By whom.
    pub changed_by: UserId,
}

/// The newest versions of a configuration, at most `limit`, newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn newest(conn: &mut PgConnection, scope: Scope, limit: i64) -> Result<Vec<Revision>, StoreError> {
    let revisions = sqlx::query_as!(
        Revision,
        "SELECT revision, settings, valid_from, changed_by FROM configurations
         WHERE scope = $1 ORDER BY revision DESC LIMIT $2",
        scope.as_str(),
        limit
    );
    Ok(revisions.fetch_all(conn).await?)
}

/// Adds a version.
///
/// # Errors
/// [`StoreError::Taken`] with `configurations_pkey` when somebody else added it first, or when the database does not do it.
pub async fn add(conn: &mut PgConnection, scope: Scope, revision: &Revision) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO configurations (scope, revision, settings, valid_from, changed_by) VALUES ($1, $2, $3, $4, $5)",
        scope.as_str(),
        revision.revision,
        revision.settings,
        revision.valid_from,
        revision.changed_by.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether the database knows a time zone of that name, as the IANA database names them: `Europe/Vienna`.
///
/// # Errors
/// When the database does not answer.
pub async fn is_time_zone(conn: &mut PgConnection, name: &str) -> Result<bool, StoreError> {
    let known = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM pg_timezone_names WHERE name = $1) AS "known!""#,
        name
    );
    Ok(known.fetch_one(conn).await?)
}

/// Whose clocks the organisation goes by, as the IANA database names them.
///
/// # Errors
/// When the database does not answer.
pub async fn time_zone(conn: &mut PgConnection) -> Result<String, StoreError> {
    let set = sqlx::query_scalar!(
        "SELECT settings ->> 'timeZone' FROM configurations
         WHERE scope = 'organisation' ORDER BY revision DESC LIMIT 1"
    );
    Ok(set.fetch_optional(conn).await?.flatten().unwrap_or_else(|| DEFAULT_TIME_ZONE.into()))
}

/// For how many hours after its end a session may be opened again, where the organisation has not said so.
pub const DEFAULT_REOPEN_WITHIN_HOURS: i32 = 24;

/// For how many hours after its end a session may be opened again, as of `at`.
///
/// # Errors
/// When the database does not answer.
pub async fn reopen_within_hours(conn: &mut PgConnection, at: DateTime<Utc>) -> Result<i32, StoreError> {
    let set = sqlx::query_scalar!(
        "SELECT (settings ->> 'reopenWithinHours')::integer FROM configurations
         WHERE scope = 'organisation' AND valid_from <= $1 ORDER BY revision DESC LIMIT 1",
        at
    );
    Ok(set.fetch_optional(conn).await?.flatten().unwrap_or(DEFAULT_REOPEN_WITHIN_HOURS))
}
