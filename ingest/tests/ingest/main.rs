//! The front door on a real nats-server. There is no database here: ingest must not need one.

mod broker;
mod frames;
mod limits;
mod replay;
mod scans;
mod world;
