//! The engine on real photographs and real weights, and the worker on a real broker.
// Helpers outside the test functions fail and speak as tests do.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

mod decoding;
mod embedding;
mod gallery;
mod packs;
mod photographs;
mod pool;
mod worker;
