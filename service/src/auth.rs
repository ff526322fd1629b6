//! Who is calling: access tokens and API keys, verified without a database. Shared by `api` and `ingest`.
//!
//! What a caller may do is said by the routes; who may sign in, and with what, is the `api`'s.

mod api_key;
mod key_uses;
mod principal;
mod token;
mod verified;

pub use api_key::{API_KEY_HEADER, ApiKey};
pub use principal::{Authenticator, Camera, Integration, KeySource, Principal, User};
pub use token::{Claims, Holder, SigningKeyError, TokenConfig, TokenSigner, generate_signing_key, jwks};

#[cfg(test)]
mod tests;
