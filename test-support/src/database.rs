//! A real, migrated database for each test.
//!
//! Making and migrating a cluster takes seconds, so it is done once for each set of migrations and kept; a test process
//! starts a server on a copy of its own, and each test clones the migrated database in it.

use crate::folders;
use rollcall_service::{
    clock::Entropy,
    servers::{PostgresOptions, PostgresServer},
};
use rollcall_store::MIGRATOR;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::sync::OnceCell;

/// Enough for every pool of every test of a crate that run at the same time.
const MAX_CONNECTIONS: u16 = 200;
/// How long a migrated cluster is used.
const TEMPLATE_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Connections of the pool that a test is given.
const POOL: u32 = 8;

/// A migrated database on this process's PostgreSQL.
#[derive(Clone, Debug)]
pub struct TestDatabase {
    url: String,
    pool: PgPool,
}

impl TestDatabase {
    /// A fresh database with the schema and nothing in it.
    pub async fn create() -> Self {
        static SERVER: OnceCell<PostgresServer> = OnceCell::const_new();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = SERVER.get_or_init(own_postgres).await;
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut admin = connect(&server.url_of("postgres")).await;
        let create = format!("CREATE DATABASE {name} TEMPLATE rollcall");
        admin.execute(AssertSqlSafe(create)).await.expect("nobody is connected to the template");
        let url = server.url_of(&name);
        let pool = rollcall_store::open(&url, POOL).expect("a well-formed URL");
        Self { url, pool }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Connections to it.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }
}

/// How many connections to the database of `pool` wait for a lock.
pub async fn waiting_for_locks(pool: &PgPool) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    .fetch_one(pool)
    .await
    .expect("the server answers")
}

/// Makes the database refuse what a test says, as a fault would.
#[derive(Debug)]
pub struct Obstacle {
    pool: PgPool,
    table: &'static str,
}

impl Obstacle {
    /// Refuses each `INSERT` or `UPDATE` of `table` that `when` holds for, an expression over `NEW`. One at a time for each
    /// table.
    pub async fn put(pool: &PgPool, (operation, table): (&str, &'static str), when: &str) -> Self {
        let put = format!(
            "CREATE OR REPLACE FUNCTION refuse_{table}() RETURNS trigger LANGUAGE plpgsql
                 AS 'BEGIN RAISE EXCEPTION ''an obstacle''; END';
             CREATE TRIGGER obstacle BEFORE {operation} ON {table} FOR EACH ROW WHEN ({when})
                 EXECUTE FUNCTION refuse_{table}()"
        );
        pool.execute(AssertSqlSafe(put)).await.expect("the server takes it");
        Self { pool: pool.clone(), table }
    }

    /// Takes it away.
    pub async fn remove(self) {
        let remove = format!("DROP TRIGGER obstacle ON {}", self.table);
        self.pool.execute(AssertSqlSafe(remove)).await.expect("the server takes it");
    }
}

/// A PostgreSQL of the test's own, to be killed and restarted. Its database `rollcall` ([`PostgresServer::url`]) has
/// the schema and nothing in it.
pub async fn own_postgres() -> PostgresServer {
    let folder = folders::fresh("postgres");
    copy_template(&folder).await;
    start(folder).await
}

async fn start(folder: PathBuf) -> PostgresServer {
    let options = PostgresOptions { folder, port: None, max_connections: MAX_CONNECTIONS, durable: false };
    PostgresServer::start(options, &Entropy::real()).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the server is up")
}

/// Copies the cluster that has these migrations, which whoever comes first makes.
async fn copy_template(to: &Path) {
    let template = folders::base().join(format!("template-{}", migrations()));
    let turns = folders::lock_file("template.lock");
    turns.lock_shared().expect("an own file can be locked");
    if !is_recent(&template) {
        turns.unlock().expect("it was locked above");
        turns.lock().expect("an own file can be locked");
        if !is_recent(&template) {
            make_template(&template).await;
        }
    }
    let copied = Command::new("cp").args(["-a", "--reflink=auto"]).arg(&template).arg(to).status();
    assert!(copied.expect("cp is installed").success(), "{} could not be copied", template.display());
}

/// Temporary folders are swept by the system, file by file: what is old may not be whole.
fn is_recent(template: &Path) -> bool {
    let made = template.metadata().and_then(|metadata| metadata.modified());
    made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age < TEMPLATE_LIFE))
}

async fn make_template(template: &Path) {
    let folder = folders::fresh("template");
    let mut server = start(folder.clone()).await;
    let mut connection = connect(&server.url()).await;
    MIGRATOR.run(&mut connection).await.expect("the migrations fit together");
    connection.close().await.expect("the server is up");
    server.stop().await;
    for old in std::fs::read_dir(folders::base()).expect("an own folder can be read").flatten() {
        let name = old.file_name();
        // Nobody copies them while we hold the lock; folders that are being made have three parts.
        if name.to_str().is_some_and(|name| name.starts_with("template-") && name.split('-').count() == 2) {
            let _ = std::fs::remove_dir_all(old.path());
        }
    }
    std::fs::rename(&folder, template).expect("both are in the same folder");
}

/// Names the set of migrations.
fn migrations() -> String {
    let mut digest = Sha256::new();
    for migration in MIGRATOR.iter() {
        digest.update(migration.version.to_be_bytes());
        digest.update(&migration.checksum);
    }
    hex::encode(&digest.finalize()[..8])
}
