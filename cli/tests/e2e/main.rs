//! The product as it is run: the real binary, a process per service, real servers, real photographs, real kills. One
//! test binary, so that it links once.
//!
//! What one crate promises is tested in that crate. Here are the promises that only the whole can keep.

// Helpers of tests may say what they do, as tests may.
#![allow(clippy::print_stdout)]

mod burst;
mod chaos;
mod commands;
mod harness;
mod limits;
mod outage;
mod poison;
mod replays;
mod routes;
mod secrets;
mod system;
mod trace;
mod up;
