//! Rollcall's face engine: decode a frame, detect faces, align, embed and search. The engine is generic over model
//! packs; what a pack is made of is stated by its manifest (`models/packs`), and nothing here names a model.
//!
//! - [`pack`] reads manifests, [`models`] fetches and verifies files.
//! - [`engine::Engine`] is one set of networks on one thread, [`pool::Pool`] shares several between cameras.
//! - [`worker`] joins them to the log.
//! - [`gallery::Gallery`] holds the templates of known people and finds the most similar.

pub mod align;
mod assignment;
mod crop;
pub mod decode;
mod detect;
pub mod embed;
pub mod engine;
pub mod gallery;
pub mod geometry;
pub mod identify;
pub mod models;
pub mod pack;
mod pixels;
pub mod pool;
pub mod quality;
pub mod session;
pub mod worker;
