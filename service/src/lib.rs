//! What every Rollcall process is built from: configuration, telemetry, lifecycle, clock, health, the HTTP edge and
//! authentication, and the private servers that `rollcall up` and the tests run.
//!
//! What does not belong here: anything that speaks NATS (`bus`) or SQL (`store`), and any rule about attendance.

pub mod auth;
pub mod clock;
pub mod config;
pub mod health;
pub mod http;
pub mod lifecycle;
pub mod limits;
pub mod process;
pub mod refusals;
pub mod seal;
pub mod servers;
pub mod telemetry;
