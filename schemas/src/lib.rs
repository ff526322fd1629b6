//! The contract between Rollcall's processes: ids, subjects, and the bytes of every message in the log.
//!
//! Everything that crosses the log or the wire is defined here, once, and nothing here does I/O. Each event type has
//! its version in its subject, and snapshot tests pin its bytes. The JSON Schemas and the AsyncAPI document under
//! `schemas/contract/` are generated from these types by [`contract`] and checked for drift.
//!
//! What does not belong here: SQL rows (`store`), HTTP request bodies of one route (`api`, `ingest`), anything that
//! talks to a broker (`bus`).

pub mod access;
pub mod code;
pub mod contract;
pub mod embedding;
pub mod fact;
pub mod feed;
pub mod frame;
pub mod header;
pub mod id;
pub mod limit;
pub mod notification;
pub mod outcome;
pub mod process;
pub mod request;
pub mod role;
pub mod scan;
pub mod scope;
pub mod sighting;
pub mod subject;

/// Cuts a time to whole microseconds, the resolution PostgreSQL keeps.
///
/// Every edge does this once, so that a time means the same in an id, in the log and in a row.
pub fn to_micros(time: chrono::DateTime<chrono::Utc>) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp_micros(time.timestamp_micros())
        .expect("a time that exists still exists after truncation")
}
