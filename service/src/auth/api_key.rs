//! API keys of cameras and integrations: `rck_<key id>_<secret>`.
//!
//! The id is public and finds the key; the secret is 256 random bits, so one round of SHA-256 protects it at rest as
//! well as a slow hash would, and lets a camera push many frames a second.

use crate::{clock::Entropy, config::Secret};
use rollcall_schemas::id::ApiKeyId;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// The header that carries an API key.
pub const API_KEY_HEADER: &str = "x-api-key";
const PREFIX: &str = "rck_";
/// A UUID in its simple form.
const ID_LENGTH: usize = 32;
/// 256 bits in base64url.
const SECRET_LENGTH: usize = 43;

/// An API key with its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The public part.
    pub key_id: ApiKeyId,
    secret: Secret,
}

impl ApiKey {
    /// Draws a new key.
    pub fn generate(entropy: &Entropy) -> Self {
        Self { key_id: ApiKeyId(entropy.uuid_v4()), secret: Secret::new(entropy.secret()) }
    }

    /// Reads a key as a client sends it. `None` when it does not look like one.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_at_checked(ID_LENGTH)?;
        let secret = secret.strip_prefix('_').filter(|secret| secret.len() == SECRET_LENGTH)?;
        Some(Self { key_id: ApiKeyId(Uuid::try_parse(id).ok()?), secret: Secret::new(secret) })
    }

    /// The key as a client sends it: shown once, when it is made.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}_{}", self.key_id.0.simple(), self.secret.reveal())
    }

    /// SHA-256 of the secret in hexadecimal, which is all that is kept.
    pub fn secret_sha256(&self) -> String {
        hex::encode(Sha256::digest(self.secret.reveal()))
    }

    /// Whether the kept hash is this key's, in constant time.
    pub fn matches(&self, secret_sha256: &str) -> bool {
        self.secret_sha256().as_bytes().ct_eq(secret_sha256.as_bytes()).into()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.key_id)
    }
}
