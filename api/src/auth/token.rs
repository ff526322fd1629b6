//! Tokens that only their holders know: refresh tokens, invitations, device cookies, the state of a visit to a provider.
//!
//! Each is 256 random bits, so one round of SHA-256 protects it at rest as well as a slow hash would.

use rollcall_service::{clock::Entropy, config::Secret};
use rollcall_store::sign_ins::TokenHash;
use sha2::{Digest, Sha256};

/// A token, as its holder sends it.
#[derive(Clone, Debug)]
pub(super) struct OpaqueToken(Secret);

impl OpaqueToken {
    /// Draws a new one.
    pub(super) fn draw(entropy: &Entropy) -> Self {
        Self(Secret::new(entropy.secret()))
    }

    /// What somebody sent.
    pub(super) fn of(text: &str) -> Self {
        Self(Secret::new(text))
    }

    /// The token itself, for its holder.
    pub(super) fn reveal(&self) -> &str {
        self.0.reveal()
    }

    /// What is kept of it.
    pub(super) fn sha256(&self) -> TokenHash {
        Sha256::digest(self.reveal()).into()
    }
}
