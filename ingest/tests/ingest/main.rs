//! The front door on a real nats-server. There is no database here: ingest must not need one.
#![allow(clippy::unwrap_used, reason = "the lint knows tests by their attribute, and not their helpers")]

mod broker;
mod frames;
mod limits;
mod openapi;
mod replay;
mod scans;
mod world;
