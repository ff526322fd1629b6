//! The audit: who did what, append-only and chained. Written by the api and by the command line.
//!
//! [`append`] takes no lock and may stand anywhere in a transaction. The place in the chain is given after the commit, by
//! [`chain::seal`]. What is personal (addresses, values before and after) lies apart from the chain, which holds no more
//! than its salted hash, and can be erased.

pub mod chain;

use crate::{StoreError, pages::Paged};
use chrono::{DateTime, Utc};
use rollcall_schemas::id::{ApiKeyId, UserId};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use std::borrow::Cow;
use uuid::Uuid;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A user.
    User(UserId),
    /// Whatever holds an API key.
    ApiKey(ApiKeyId),
    /// Somebody without credentials.
    Anonymous,
    /// Rollcall itself.
    System,
    /// Somebody at the command line of the server.
    Cli,
}

impl Actor {
    /// `user`, `api_key`, `anonymous`, `system` or `cli`.
    pub fn kind(self) -> &'static str {
        match self {
            Actor::User(_) => "user",
            Actor::ApiKey(_) => "api_key",
            Actor::Anonymous => "anonymous",
            Actor::System => "system",
            Actor::Cli => "cli",
        }
    }

    /// The id, of what has one.
    pub fn id(self) -> Option<Uuid> {
        match self {
            Actor::User(id) => Some(id.0),
            Actor::ApiKey(id) => Some(id.0),
            Actor::Anonymous | Actor::System | Actor::Cli => None,
        }
    }

    fn read(kind: &str, id: Option<Uuid>) -> Result<Self, StoreError> {
        match (kind, id) {
            ("user", Some(id)) => Ok(Actor::User(id.into())),
            ("api_key", Some(id)) => Ok(Actor::ApiKey(id.into())),
            ("anonymous", None) => Ok(Actor::Anonymous),
            ("system", None) => Ok(Actor::System),
            ("cli", None) => Ok(Actor::Cli),
            _ => Err(StoreError::corrupt("audit_entries", "actor_kind", kind)),
        }
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused for want of authority.
    Refused,
}

impl Outcome {
    /// `done` or `refused`.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Refused => "refused",
        }
    }

    /// The outcome of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Outcome::Done, Outcome::Refused].into_iter().find(|outcome| outcome.as_str() == name)
    }
}

/// What was acted upon.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// What kind of thing: `camera`.
    pub kind: Cow<'static, str>,
    /// Which of them, unless it is all or there is one only.
    pub id: Option<String>,
}

/// One line of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: Actor,
    /// What: a noun and a verb, such as `camera.created`.
    pub action: Cow<'static, str>,
    /// What became of it.
    pub outcome: Outcome,
    /// What was acted upon.
    pub target: Target,
    /// How many times: more than one for refusals that came again within a minute.
    pub occurrences: u32,
    /// The id of the call.
    pub request_id: Option<String>,
    /// The id of the trace.
    pub trace_id: Option<String>,
    /// Where from, and what changed.
    pub details: Option<Details>,
}

/// What lies apart from the chain, because it may be personal.
#[derive(Clone, PartialEq, Eq)]
pub struct Details {
    salt: [u8; 16],
    /// JSON, kept letter by letter because it is hashed.
    text: String,
}

impl Details {
    /// Details with their salt, which must be drawn for each: without it, short values could be guessed from the hash that
    /// stays behind when they are erased.
    pub fn new(salt: [u8; 16], details: &Value) -> Self {
        Self { salt, text: details.to_string() }
    }

    /// The details.
    ///
    /// # Errors
    /// When they are not JSON.
    pub fn value(&self) -> Result<Value, StoreError> {
        serde_json::from_str(&self.text)
            .map_err(|error| StoreError::Corrupt { table: "audit_details", reason: error.to_string() })
    }

    /// SHA-256 of the salt followed by the text.
    pub fn sha256(&self) -> Hash {
        Sha256::new().chain_update(self.salt).chain_update(&self.text).finalize().into()
    }
}

impl std::fmt::Debug for Details {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Details(..)")
    }
}

/// A line as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its number: unique, and not without gaps.
    pub id: i64,
    /// The line; its details are absent once they are erased.
    pub entry: Entry,
    /// The hash of the details, erased or not.
    pub details_sha256: Option<Hash>,
    /// Its place in the chain; given within a second or so.
    pub seal: Option<Seal>,
}

/// A place in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// From 1, without gaps.
    pub position: i64,
    /// The hash of the line before; zeros for the first.
    pub previous_sha256: Hash,
    /// The hash of this line.
    pub sha256: Hash,
}

/// Which lines are wanted; what is absent does not narrow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditFilter {
    /// Of this user or API key.
    pub actor_id: Option<Uuid>,
    /// Of this kind of actor.
    pub actor_kind: Option<String>,
    /// This action.
    pub action: Option<String>,
    /// On this kind of target.
    pub target_kind: Option<String>,
    /// On this target.
    pub target_id: Option<String>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// From this time on.
    pub from: Option<DateTime<Utc>>,
    /// Before this time.
    pub to: Option<DateTime<Utc>>,
}

/// A place in the list: the line there and everything newer was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When the line was.
    pub at: DateTime<Utc>,
    /// Its number.
    pub id: i64,
}

impl Recorded {
    /// The place of this line in the list.
    pub fn seen(&self) -> Seen {
        Seen { at: self.entry.at, id: self.id }
    }
}

/// Adds a line. It is there when the transaction commits, and not otherwise.
///
/// # Errors
/// When the database does not do it.
pub async fn append(conn: &mut PgConnection, entry: &Entry) -> Result<(), StoreError> {
    let hash = entry.details.as_ref().map(Details::sha256);
    sqlx::query!(
        "WITH entry AS (
             INSERT INTO audit_entries (at, actor_kind, actor_id, action, outcome, target_kind, target_id, occurrences,
                                        request_id, trace_id, details_sha256)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id)
         INSERT INTO audit_details (entry_id, salt, details)
         SELECT id, $12::bytea, $13::text FROM entry WHERE $13 IS NOT NULL",
        entry.at,
        entry.actor.kind(),
        entry.actor.id(),
        &*entry.action,
        entry.outcome.as_str(),
        &*entry.target.kind,
        entry.target.id,
        i32::try_from(entry.occurrences).unwrap_or(i32::MAX),
        entry.request_id,
        entry.trace_id,
        hash.as_ref().map(<[u8; 32]>::as_slice),
        entry.details.as_ref().map(|details| details.salt.as_slice()),
        entry.details.as_ref().map(|details| details.text.as_str())
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The newest lines that the filter wants, after those `seen`, and how many it wants in all.
///
/// # Errors
/// When the database does not answer.
pub async fn list(
    conn: &mut PgConnection,
    filter: &AuditFilter,
    seen: Option<Seen>,
    limit: i64,
) -> Result<Paged<Recorded>, StoreError> {
    let total = sqlx::query_scalar!(
        r#"SELECT count(*) AS "total!" FROM audit_entries
           WHERE ($1::uuid IS NULL OR actor_id = $1) AND ($2::text IS NULL OR actor_kind = $2)
             AND ($3::text IS NULL OR action = $3) AND ($4::text IS NULL OR target_kind = $4)
             AND ($5::text IS NULL OR target_id = $5) AND ($6::text IS NULL OR outcome = $6)
             AND ($7::timestamptz IS NULL OR at >= $7) AND ($8::timestamptz IS NULL OR at < $8)"#,
        filter.actor_id,
        filter.actor_kind,
        filter.action,
        filter.target_kind,
        filter.target_id,
        filter.outcome.map(Outcome::as_str),
        filter.from,
        filter.to
    )
    .fetch_one(&mut *conn)
    .await?;
    Ok(Paged { rows: page(conn, filter, seen, limit).await?, total })
}

/// The newest lines that the filter wants, after those `seen`.
///
/// # Errors
/// When the database does not answer.
pub async fn page(
    conn: &mut PgConnection,
    filter: &AuditFilter,
    seen: Option<Seen>,
    limit: i64,
) -> Result<Vec<Recorded>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT e.*, d.salt AS "salt?", d.details AS "details?"
           FROM audit_entries e LEFT JOIN audit_details d ON d.entry_id = e.id
           WHERE ($1::uuid IS NULL OR actor_id = $1) AND ($2::text IS NULL OR actor_kind = $2)
             AND ($3::text IS NULL OR action = $3) AND ($4::text IS NULL OR target_kind = $4)
             AND ($5::text IS NULL OR target_id = $5) AND ($6::text IS NULL OR outcome = $6)
             AND ($7::timestamptz IS NULL OR at >= $7) AND ($8::timestamptz IS NULL OR at < $8)
             AND ($9::timestamptz IS NULL OR (at, id) < ($9, $10::bigint))
           ORDER BY at DESC, id DESC LIMIT $11"#,
        filter.actor_id,
        filter.actor_kind,
        filter.action,
        filter.target_kind,
        filter.target_id,
        filter.outcome.map(Outcome::as_str),
        filter.from,
        filter.to,
        seen.map(|seen| seen.at),
        seen.map(|seen| seen.id),
        limit
    );
    rows.fetch_all(conn).await?.into_iter().map(Recorded::try_from).collect()
}

/// Erases the details of every line that is about a person or that they caused, and returns how many there were. The
/// chain still holds.
///
/// # Errors
/// When the database does not do it.
pub async fn erase_details(conn: &mut PgConnection, person: UserId) -> Result<u64, StoreError> {
    let erased = sqlx::query!(
        "DELETE FROM audit_details WHERE entry_id IN
             (SELECT id FROM audit_entries WHERE actor_id = $1
              UNION SELECT id FROM audit_entries WHERE target_kind IN ('user', 'student') AND target_id = $1::text)",
        person.0
    )
    .execute(conn)
    .await?;
    Ok(erased.rows_affected())
}

struct Row {
    id: i64,
    at: DateTime<Utc>,
    actor_kind: String,
    actor_id: Option<Uuid>,
    action: String,
    outcome: String,
    target_kind: String,
    target_id: Option<String>,
    occurrences: i32,
    request_id: Option<String>,
    trace_id: Option<String>,
    details_sha256: Option<Vec<u8>>,
    position: Option<i64>,
    previous_sha256: Option<Vec<u8>>,
    sha256: Option<Vec<u8>>,
    salt: Option<Vec<u8>>,
    details: Option<String>,
}

impl TryFrom<Row> for Recorded {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let details = match (row.salt, row.details) {
            (Some(salt), Some(text)) => Some(Details { salt: bytes("salt", salt)?, text }),
            _ => None,
        };
        let seal = match (row.position, row.previous_sha256, row.sha256) {
            (Some(position), Some(previous), Some(hash)) => Some(Seal {
                position,
                previous_sha256: bytes("previous_sha256", previous)?,
                sha256: bytes("sha256", hash)?,
            }),
            _ => None,
        };
        let outcome = Outcome::parse(&row.outcome)
            .ok_or_else(|| StoreError::corrupt("audit_entries", "outcome", &row.outcome))?;
        Ok(Self {
            id: row.id,
            entry: Entry {
                at: row.at,
                actor: Actor::read(&row.actor_kind, row.actor_id)?,
                action: row.action.into(),
                outcome,
                target: Target { kind: row.target_kind.into(), id: row.target_id },
                occurrences: row.occurrences.unsigned_abs(),
                request_id: row.request_id,
                trace_id: row.trace_id,
                details,
            },
            details_sha256: row.details_sha256.map(|hash| bytes("details_sha256", hash)).transpose()?,
            seal,
        })
    }
}

fn bytes<const N: usize>(column: &str, value: Vec<u8>) -> Result<[u8; N], StoreError> {
    value.try_into().map_err(|value: Vec<u8>| {
        StoreError::corrupt("audit_entries", column, &format!("{} bytes", value.len()))
    })
}
