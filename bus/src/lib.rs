//! JetStream as Rollcall uses it: streams, publish, consume, dead letters, ask, feeds and tails.
//!
//! What belongs here: everything that speaks to the broker, and nothing that knows what a message means. Handlers say
//! what came of a message ([`HandleError`]); only this crate talks about acknowledgements. What does not belong here:
//! the shape of messages (`schemas`) and what is done with them (the services).
//!
//! # What is promised
//! - [`Bus::publish`] returns when the broker has stored the message, and says whether it already had it.
//! - A consumed message is acknowledged after its handler succeeded, tried again with back-off when it failed, and
//!   parked in DEAD with its reason when it failed for the last time. It is never dropped.
//! - A message may be delivered more than once: the broker can rewind a consumer after it was killed, and then counts
//!   deliveries from 1 again. Handlers make redelivery harmless by ids derived from their input.
//! - The broker may be killed and restarted at any time: publishers fail while it is away, consumers, feeds and tails
//!   go on by themselves when it is back.
//!
//! # Metrics
//! | name | kind | labels |
//! |---|---|---|
//! | `rollcall_bus_published_total` | counter | `stream`, `result` = stored, duplicate, full, too_large, unavailable |
//! | `rollcall_bus_publish_seconds` | histogram | `stream` |
//! | `rollcall_bus_handled_total` | counter | `stream`, `consumer`, `result` = done, retry, unavailable, dead, given_back |
//! | `rollcall_bus_handle_seconds` | histogram | `stream`, `consumer` |
//! | `rollcall_bus_in_flight` | gauge | `stream`, `consumer` |
//! | `rollcall_bus_pending` | gauge | `stream`, `consumer` |
//! | `rollcall_bus_asked_total` | counter | `subject`, `result` = answered, stored, timed_out, circuit_open, unavailable |
//! | `rollcall_bus_ask_seconds` | histogram | `subject` |
//! | `rollcall_bus_feed_revision` | gauge | `stream` |
//! | `rollcall_bus_disconnected_total` | counter | |

mod answers;
mod ask;
mod breaker;
mod config;
mod connection;
mod consume;
mod dead;
mod delivery;
mod error;
mod feed;
mod gossip;
mod publish;
mod scatter;
mod snapshot;
mod streams;
mod tail;

pub use ask::AskError;
pub use config::{BusConfig, Limit, StreamLimits};
pub use connection::Bus;
pub use consume::{BatchHandler, BatchSpec, ConsumerSpec, HandleError, Handler};
pub use delivery::{DeliveredHeaders, Delivery};
pub use error::BusError;
pub use feed::{Change, Feed, Progress};
pub use publish::{Message, PublishError, Published};
pub use streams::{ConsumerState, StreamState};
pub use tail::TailStart;
