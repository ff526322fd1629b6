//! The HTTP edge that `api` and `ingest` share: one envelope, extractors that answer in it, the layers around every
//! route, and the server loop. No route lives here.

mod body;
mod caching;
mod cors;
mod envelope;
mod head;
mod layers;
mod pace;
mod parts;
mod problem;
mod serve;
#[cfg(test)]
pub(crate) mod testing;
mod tls;

pub use body::{Bytes, Json, Multipart, refused_field};
pub use caching::cached_for;
pub use cors::{InvalidOrigin, Origin};
pub use envelope::{Answer, ErrorBody, ErrorEnvelope, Success, SuccessEnvelope, always_true};
pub use layers::{HttpConfig, finish};
pub use parts::{ClientIp, Path, Query, RequestId};
pub use problem::{FieldError, Problem};
pub use serve::serve;
pub use tls::{TlsConfig, TlsError, use_ring};
