//! SQL, and nothing else: the only crate with queries.
//!
//! One module per group of tables, each saying who writes it. Functions take a connection or a pool, return typed
//! rows, and hold no rule of the house: rules are in `attendance-worker::policy`, and time and ids come from the caller.
//! Every query is checked against the schema at compile time (`.sqlx`), and every statement fits an index.

pub mod api_keys;
pub mod attendance;
pub mod attendance_views;
pub mod audiences;
pub mod audit;
pub mod cameras;
pub mod classes;
pub mod configuration;
pub mod deliveries;
pub mod digests;
pub mod enrolments;
pub mod faces;
pub mod guardians;
pub mod identities;
pub mod import;
pub mod invitations;
pub mod keyed_calls;
pub mod ledger;
pub mod lessons;
pub mod looks;
pub mod organisations;
pub mod outbox;
pub mod pages;
pub mod preferences;
pub mod protections;
pub mod provider_visits;
pub mod qr_codes;
pub mod reports;
pub mod review_views;
pub mod reviews;
pub mod session_views;
pub mod sessions;
pub mod sign_in_failures;
pub mod sign_ins;
pub mod statistics;
pub mod timetables;
pub mod users;
pub mod webhook_sending;
pub mod webhooks;

use sqlx::{
    PgPool,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{str::FromStr, time::Duration};

pub use sqlx::{PgConnection, PgTransaction, Pool, Postgres};

/// The migrations, in order, append-only.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// How statements are planned. Plans are kept with their connection, so one that was made while a table was nearly empty
/// must not read all of it when it is full: every statement fits an index, and uses it. Compiling them never pays.
const PLANS: [(&str, &str); 2] = [("enable_seqscan", "off"), ("jit", "off")];

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, or is shutting down: the same call may succeed later.
    #[error("the database cannot be reached: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// A row with the same key exists; the name is the constraint's.
    #[error("{constraint} is already taken")]
    Taken {
        /// The violated unique constraint.
        constraint: String,
    },
    /// A row that excludes this one exists, such as a session in the same room at the same time; the name is the
    /// constraint's.
    #[error("{constraint} excludes it")]
    Excluded {
        /// The violated exclusion constraint.
        constraint: String,
    },
    /// A row that this one points to does not exist; the name is the constraint's.
    #[error("{constraint} points to nothing")]
    Dangling {
        /// The violated foreign key.
        constraint: String,
    },
    /// A value that the database cannot hold, such as a text with a null character or a date out of range. It came from a
    /// caller, who may send another.
    #[error("a value cannot be stored: {0}")]
    Unusable(#[source] sqlx::Error),
    /// Anything else: a fault of ours.
    #[error("the database refused a statement: {0}")]
    Fault(#[source] sqlx::Error),
    /// A row that does not read as what it must be: a fault of ours.
    #[error("a row of {table} cannot be read: {reason}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl StoreError {
    /// A value outside the closed list that `column` of `table` may hold.
    pub(crate) fn corrupt(table: &'static str, column: &str, value: &str) -> Self {
        Self::Corrupt { table, reason: format!("{column} is {value:?}") }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::error::ErrorKind;
        let Some(database) = error.as_database_error() else {
            return match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => StoreError::Unavailable(error),
                _ => StoreError::Fault(error),
            };
        };
        let constraint = database.constraint().unwrap_or("a key").to_owned();
        match database.kind() {
            ErrorKind::UniqueViolation => StoreError::Taken { constraint },
            ErrorKind::ExclusionViolation => StoreError::Excluded { constraint },
            ErrorKind::ForeignKeyViolation => StoreError::Dangling { constraint },
            _ if database.code().is_some_and(|code| is_transient(&code)) => StoreError::Unavailable(error),
            _ if database.code().is_some_and(|code| is_data_exception(&code)) => StoreError::Unusable(error),
            _ => StoreError::Fault(error),
        }
    }
}

/// SQLSTATE classes after which the same transaction may succeed: 08 connection exception, 40 transaction rollback,
/// 53 insufficient resources, 57P operator intervention (PostgreSQL manual, appendix A).
fn is_transient(sqlstate: &str) -> bool {
    ["08", "40", "53", "57P"].iter().any(|class| sqlstate.starts_with(class))
}

/// SQLSTATE class 22, data exception (PostgreSQL manual, appendix A).
fn is_data_exception(sqlstate: &str) -> bool {
    sqlstate.starts_with("22")
}

/// Opens a pool of at most `max_connections`; connections are made when first needed, so the database may be down.
///
/// # Errors
/// When `url` is not a PostgreSQL URL.
pub fn open(url: &str, max_connections: u32) -> Result<PgPool, StoreError> {
    let options = PgConnectOptions::from_str(url)?.application_name("rollcall").options(PLANS);
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(Duration::from_secs(5))
        // A dead connection shows itself by an error that is handled anyway; testing first costs a round trip each.
        .test_before_acquire(false)
        .connect_lazy_with(options))
}

/// Brings the schema up to date.
///
/// # Errors
/// When the database cannot be reached or holds migrations this binary does not know.
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    MIGRATOR.run(pool).await
}

/// Whether the database answers.
///
/// # Errors
/// When it does not.
pub async fn ping(pool: &PgPool) -> Result<(), StoreError> {
    sqlx::query!("SELECT 1 AS one").fetch_one(pool).await?;
    Ok(())
}
