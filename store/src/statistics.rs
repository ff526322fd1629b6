//! How the database is, and how much there is in it. Read only.

use crate::StoreError;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// How the database is (PostgreSQL manual, `pg_stat_database`). Counts begin when its statistics were last reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseStatistics {
    /// Bytes on disk.
    pub size_bytes: i64,
    /// Connections to it, of everybody.
    pub connections: i32,
    /// Connections that the server takes.
    pub max_connections: i32,
    /// Transactions that were committed.
    pub commits: i64,
    /// Transactions that were rolled back.
    pub rollbacks: i64,
    /// Blocks that were found in memory.
    pub blocks_hit: i64,
    /// Blocks that were read.
    pub blocks_read: i64,
    /// Deadlocks.
    pub deadlocks: i64,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Administrators.
    pub admins: i64,
    /// Operators.
    pub operators: i64,
    /// Teachers.
    pub teachers: i64,
    /// Students.
    pub students: i64,
    /// Classes.
    pub classes: i64,
    /// Cameras.
    pub cameras: i64,
    /// Cameras whose frames are taken.
    pub enabled_cameras: i64,
    /// Sessions that are open.
    pub active_sessions: i64,
    /// Open questions about faces.
    pub open_reviews: i64,
    /// Sign-ins that somebody can go on with.
    pub sign_ins: i64,
}

/// How the database is.
///
/// # Errors
/// When it does not answer.
pub async fn database(conn: &mut PgConnection) -> Result<DatabaseStatistics, StoreError> {
    let statistics = sqlx::query_as!(
        DatabaseStatistics,
        r#"SELECT pg_database_size(datid) AS "size_bytes!", numbackends AS "connections!",
                  current_setting('max_connections')::int AS "max_connections!",
                  xact_commit AS "commits!", xact_rollback AS "rollbacks!",
                  blks_hit AS "blocks_hit!", blks_read AS "blocks_read!", deadlocks AS "deadlocks!"
           FROM pg_stat_database WHERE datname = current_database()"#
    );
    Ok(statistics.fetch_one(conn).await?)
}

/// How much there is at a time.
///
/// # Errors
/// When the database does not answer.
pub async fn counts(conn: &mut PgConnection, at: DateTime<Utc>) -> Result<Counts, StoreError> {
    let counts = sqlx::query_as!(
        Counts,
        r#"SELECT
             (SELECT count(*) FROM users WHERE role = 'admin' AND deleted_at IS NULL) AS "admins!",
             (SELECT count(*) FROM users WHERE role = 'operator' AND deleted_at IS NULL) AS "operators!",
             (SELECT count(*) FROM users WHERE role = 'teacher' AND deleted_at IS NULL) AS "teachers!",
             (SELECT count(*) FROM users WHERE role = 'student' AND deleted_at IS NULL) AS "students!",
             (SELECT count(*) FROM classes WHERE deleted_at IS NULL) AS "classes!",
             (SELECT count(*) FROM cameras WHERE deleted_at IS NULL) AS "cameras!",
             (SELECT count(*) FROM cameras WHERE deleted_at IS NULL AND enabled) AS "enabled_cameras!",
             (SELECT count(*) FROM sessions WHERE state = 'active') AS "active_sessions!",
             (SELECT count(*) FROM reviews WHERE resolved_at IS NULL) AS "open_reviews!",
             (SELECT count(*) FROM sign_ins WHERE expires_at > $1 AND ended_at IS NULL) AS "sign_ins!""#,
        at
    );
    Ok(counts.fetch_one(conn).await?)
}
