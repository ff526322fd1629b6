//! The chain: each line's hash covers the line and the hash of the line before, so that a change, a gap or another order
//! shows.
//!
//! The hash is SHA-256 of the line as canonical JSON (RFC 8785): whoever has an export can check it without us.

use super::{Hash, Outcome, Recorded, Row, Seal};
use crate::StoreError;
use chrono::SecondsFormat;
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use std::fmt;

/// Whoever seals holds this lock, so that there is one end of the chain to go on from.
const SEALING: i64 = 0x0061_7564_6974;

/// Lines that are read at a time when the chain is verified.
const VERIFIED_AT_ONCE: i64 = 1_000;

/// The end of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many lines there are.
    pub position: i64,
    /// The hash of the last one.
    pub sha256: Hash,
}

impl Head {
    /// The end of a chain without lines.
    pub const EMPTY: Head = Head { position: 0, sha256: [0; 32] };
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Lines before this one are gone.
    #[error("the line before it is missing")]
    Missing,
    /// It does not follow the line before.
    #[error("it does not follow from the line before it")]
    Unlinked,
    /// It is not what was hashed.
    #[error("it was changed")]
    Changed,
    /// Its details are not what was hashed.
    #[error("its details were changed")]
    DetailsChanged,
}

/// Follows the chain from its beginning.
#[derive(Debug)]
pub struct Follower {
    head: Head,
}

impl Default for Follower {
    fn default() -> Self {
        Self { head: Head::EMPTY }
    }
}

impl Follower {
    /// The last line that holds.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Checks the next line.
    ///
    /// # Errors
    /// What is wrong with it. A line without a seal is missing from the chain.
    pub fn follow(&mut self, line: &Recorded) -> Result<(), Fault> {
        let seal = line.seal.ok_or(Fault::Unlinked)?;
        if seal.position != self.head.position + 1 {
            return Err(Fault::Missing);
        }
        if seal.previous_sha256 != self.head.sha256 {
            return Err(Fault::Unlinked);
        }
        if seal.sha256 != hash(line, self.head) {
            return Err(Fault::Changed);
        }
        let details = line.entry.details.as_ref().map(super::Details::sha256);
        if details.is_some() && details != line.details_sha256 {
            return Err(Fault::DetailsChanged);
        }
        self.head = Head { position: seal.position, sha256: seal.sha256 };
        Ok(())
    }
}

/// What is hashed. The names are in the order of RFC 8785, which sorts them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Canonical<'a> {
    action: &'a str,
    actor_id: Option<String>,
    actor_kind: &'a str,
    at: String,
    details_sha256: Option<String>,
    id: i64,
    occurrences: u32,
    outcome: &'a str,
    position: i64,
    previous_sha256: String,
    request_id: Option<&'a str>,
    target_id: Option<&'a str>,
    target_kind: &'a str,
    trace_id: Option<&'a str>,
}

/// The hash of a line that follows `previous`.
fn hash(line: &Recorded, previous: Head) -> Hash {
    let entry = &line.entry;
    let canonical = Canonical {
        action: &entry.action,
        actor_id: entry.actor.id().map(|id| id.to_string()),
        actor_kind: entry.actor.kind(),
        at: entry.at.to_rfc3339_opts(SecondsFormat::Micros, true),
        details_sha256: line.details_sha256.map(|hash| Hex(&hash).to_string()),
        id: line.id,
        occurrences: entry.occurrences,
        outcome: Outcome::as_str(entry.outcome),
        position: previous.position + 1,
        previous_sha256: Hex(&previous.sha256).to_string(),
        request_id: entry.request_id.as_deref(),
        target_id: entry.target.id.as_deref(),
        target_kind: &entry.target.kind,
        trace_id: entry.trace_id.as_deref(),
    };
    let bytes = serde_json::to_vec(&canonical).expect("plain data can be written");
    Sha256::digest(bytes).into()
}

/// A hash in hexadecimal.
pub struct Hex<'a>(pub &'a Hash);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Gives at most `limit` committed lines their places in the chain, and returns how many and the new end. Of several
/// processes one does it; the others find nothing to do.
///
/// # Errors
/// When the database does not do it.
pub async fn seal(tx: &mut PgConnection, limit: i64) -> Result<(usize, Head), StoreError> {
    let mine = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "mine!""#, SEALING);
    if !mine.fetch_one(&mut *tx).await? {
        return Ok((0, Head::EMPTY));
    }
    // Read after the lock is held: whoever held it before has committed.
    let mut end = head(&mut *tx).await?;
    let lines = unsealed(&mut *tx, limit).await?;
    let (mut ids, mut seals) = (Vec::with_capacity(lines.len()), Vec::with_capacity(lines.len()));
    for line in &lines {
        let sha256 = hash(line, end);
        seals.push(Seal { position: end.position + 1, previous_sha256: end.sha256, sha256 });
        ids.push(line.id);
        end = Head { position: end.position + 1, sha256 };
    }
    if !ids.is_empty() {
        save(tx, &ids, &seals).await?;
    }
    Ok((ids.len(), end))
}

/// The end of the chain.
///
/// # Errors
/// When the database does not answer.
pub async fn head(conn: &mut PgConnection) -> Result<Head, StoreError> {
    let row = sqlx::query!(
        r#"SELECT position AS "position!", sha256 AS "sha256!" FROM audit_entries
           WHERE position IS NOT NULL ORDER BY position DESC LIMIT 1"#
    );
    match row.fetch_optional(conn).await? {
        Some(row) => Ok(Head { position: row.position, sha256: super::bytes("sha256", row.sha256)? }),
        None => Ok(Head::EMPTY),
    }
}

async fn unsealed(tx: &mut PgConnection, limit: i64) -> Result<Vec<Recorded>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT e.*, NULL::bytea AS salt, NULL::text AS details FROM audit_entries e
           WHERE position IS NULL ORDER BY id LIMIT $1"#,
        limit
    );
    rows.fetch_all(tx).await?.into_iter().map(Recorded::try_from).collect()
}

async fn save(tx: &mut PgConnection, ids: &[i64], seals: &[Seal]) -> Result<(), StoreError> {
    let positions: Vec<i64> = seals.iter().map(|seal| seal.position).collect();
    let previous: Vec<&[u8]> = seals.iter().map(|seal| seal.previous_sha256.as_slice()).collect();
    let hashes: Vec<&[u8]> = seals.iter().map(|seal| seal.sha256.as_slice()).collect();
    sqlx::query!(
        "UPDATE audit_entries e SET position = s.position, previous_sha256 = s.previous, sha256 = s.hash
         FROM UNNEST($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[]) AS s (id, position, previous, hash)
         WHERE e.id = s.id",
        ids,
        &positions,
        &previous as &[&[u8]],
        &hashes as &[&[u8]]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Lines of the chain after `position`, in its order.
///
/// # Errors
/// When the database does not answer.
pub async fn after(conn: &mut PgConnection, position: i64, limit: i64) -> Result<Vec<Recorded>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT e.*, d.salt AS "salt?", d.details AS "details?"
           FROM audit_entries e LEFT JOIN audit_details d ON d.entry_id = e.id
           WHERE position > $1 ORDER BY position LIMIT $2"#,
        position,
        limit
    );
    rows.fetch_all(conn).await?.into_iter().map(Recorded::try_from).collect()
}

/// What a look at the whole chain found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The last line that holds.
    pub head: Head,
    /// How many lines have had their details erased.
    pub erased: u64,
    /// The first line that does not hold: its number, the place it claims, and what is wrong.
    pub fault: Option<(i64, i64, Fault)>,
}

/// Follows the whole chain, up to the first line that does not hold.
///
/// # Errors
/// When the database does not answer.
pub async fn verify(conn: &mut PgConnection) -> Result<Verified, StoreError> {
    let (mut follower, mut erased) = (Follower::default(), 0);
    loop {
        let lines = after(&mut *conn, follower.head().position, VERIFIED_AT_ONCE).await?;
        for line in &lines {
            if let Err(fault) = follower.follow(line) {
                let claimed = line.seal.map_or(0, |seal| seal.position);
                return Ok(Verified {
                    head: follower.head(),
                    erased,
                    fault: Some((line.id, claimed, fault)),
                });
            }
            erased += u64::from(line.details_sha256.is_some() && line.entry.details.is_none());
        }
        if lines.is_empty() {
            return Ok(Verified { head: follower.head(), erased, fault: None });
        }
    }
}

/// The hash of the line at `position`, if there is one.
///
/// # Errors
/// When the database does not answer.
pub async fn hash_at(conn: &mut PgConnection, position: i64) -> Result<Option<Hash>, StoreError> {
    let hash =
        sqlx::query_scalar!(r#"SELECT sha256 AS "sha256!" FROM audit_entries WHERE position = $1"#, position);
    hash.fetch_optional(conn).await?.map(|hash| super::bytes("sha256", hash)).transpose()
}

/// How many lines have no place in the chain yet.
///
/// # Errors
/// When the database does not answer.
pub async fn unsealed_count(conn: &mut PgConnection) -> Result<i64, StoreError> {
    let count =
        sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM audit_entries WHERE position IS NULL"#);
    Ok(count.fetch_one(conn).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Actor, Details, Entry, Target};
    use chrono::DateTime;
    use serde_json::json;

    fn line(id: i64, action: &'static str) -> Recorded {
        let details = Details::new([7; 16], &json!({ "after": { "name": action } }));
        Recorded {
            id,
            details_sha256: Some(details.sha256()),
            entry: Entry {
                at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
                actor: Actor::System,
                action: action.into(),
                outcome: Outcome::Done,
                target: Target { kind: "camera".into(), id: None },
                occurrences: 1,
                request_id: None,
                trace_id: None,
                details: Some(details),
            },
            seal: None,
        }
    }

    /// Lines with their places; the numbers need not be in order.
    fn chain() -> Vec<Recorded> {
        let mut end = Head::EMPTY;
        let mut lines = vec![line(2, "camera.created"), line(1, "camera.updated"), line(5, "camera.deleted")];
        for line in &mut lines {
            let sha256 = hash(line, end);
            line.seal = Some(Seal { position: end.position + 1, previous_sha256: end.sha256, sha256 });
            end = Head { position: end.position + 1, sha256 };
        }
        lines
    }

    /// The position of the first bad line, and what is wrong with it.
    fn first_fault(lines: &[Recorded]) -> Option<(i64, Fault)> {
        let mut follower = Follower::default();
        lines.iter().find_map(|line| {
            let fault = follower.follow(line).err()?;
            Some((line.seal.map_or(0, |seal| seal.position), fault))
        })
    }

    #[test]
    fn a_chain_holds_and_a_touched_one_does_not() {
        assert_eq!(first_fault(&chain()), None);

        let mut changed = chain();
        changed[1].entry.action = "camera.renamed".into();
        assert_eq!(first_fault(&changed), Some((2, Fault::Changed)));

        let mut missing = chain();
        missing.remove(1);
        assert_eq!(first_fault(&missing), Some((3, Fault::Missing)));

        let mut reordered = chain();
        reordered.swap(0, 1);
        assert_eq!(first_fault(&reordered), Some((2, Fault::Missing)));

        let mut renumbered = chain();
        renumbered.remove(1);
        renumbered[1].seal.as_mut().unwrap().position = 2;
        assert_eq!(first_fault(&renumbered), Some((2, Fault::Unlinked)));

        let mut other_details = chain();
        other_details[2].entry.details = Some(Details::new([7; 16], &json!({ "after": {} })));
        assert_eq!(first_fault(&other_details), Some((3, Fault::DetailsChanged)));
    }

    #[test]
    fn erased_details_leave_the_chain_whole() {
        let mut erased = chain();
        erased[1].entry.details = None;
        assert_eq!(first_fault(&erased), None);
    }

    /// Whoever checks an export with another program relies on these bytes.
    #[test]
    fn the_hash_is_pinned() {
        let seal = chain()[0].seal.unwrap();
        let pinned = "233b778497bd678d3b91e7e428b078f30ef956b1d773aae4f4ea9ae604df31ba";
        assert_eq!(Hex(&seal.sha256).to_string(), pinned);
    }
}
