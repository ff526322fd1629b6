//! Real servers for tests, and small tools that keep tests honest.
//!
//! A test process starts one nats-server and one PostgreSQL when it first needs them; they die with it. Within a
//! process a namespace on the broker and a database of its own keep tests apart, so both `cargo nextest` (a process per
//! test) and `cargo test` (a process per crate) work. What a test needs only for itself stays in that test.
//!
//! This is test code: everything here panics, with a message, when something goes wrong.

mod broker;
mod client;
mod database;
mod edge;
mod embedding;
mod eventually;
mod folders;
mod sse;

pub use broker::{TestBroker, own_broker};
pub use client::{Answer, Client};
pub use database::{Obstacle, TestDatabase, own_postgres, waiting_for_locks};
pub use edge::TestEdge;
pub use embedding::assert_close;
pub use eventually::eventually;
pub use sse::{Event, Events};

use chrono::{DateTime, Utc};
use rollcall_service::clock::Clock;

/// A Monday in term time, at nine.
pub fn monday_morning() -> DateTime<Utc> {
    "2026-03-02T09:00:00Z".parse().expect("a well-formed time")
}

/// A clock that stands at [`monday_morning`].
pub fn test_clock() -> Clock {
    Clock::manual(monday_morning())
}
