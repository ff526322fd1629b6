//! The HTTP edge that `api` and `ingest` share: one envelope, extractors that answer in it, the layers around every
//! route, and the server loop. No route lives here.

mod body;
mod caching;
mod envelope;
mod layers;
mod parts;
mod problem;
mod serve;
#[cfg(test)]
pub(crate) mod testing;

pub use body::{Bytes, Json, Multipart};
pub use caching::cached_for;
pub use envelope::{Answer, ErrorBody, ErrorEnvelope, Success, SuccessEnvelope, always_true};
pub use layers::{HttpConfig, finish};
pub use parts::{ClientIp, Path, Query, RequestId};
pub use problem::{FieldError, Problem};
pub use serve::serve;
