//! Tokens whose signature has been checked already: an Ed25519 check takes longer than everything else about a call.
//!
//! What is remembered is a function of the token, the key and the configuration alone, so it never grows stale: whether
//! the key is still known, the token expired or its user's tokens revoked is asked at every call.

use super::token::{Claims, TokenConfig, signed_claims};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, mem};

/// Tokens remembered at most: twice this. As many as sign in to one deployment within a few minutes.
const GENERATION: usize = 4_096;

/// Claims by the hash of token and key, in two generations: when the young one is full, the old one is forgotten.
#[derive(Default)]
pub(super) struct Verified(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<[u8; 32], Claims>,
    old: HashMap<[u8; 32], Claims>,
}

impl Verified {
    /// What a token says that this key has signed.
    pub(super) fn claims(&self, token: &str, public_key: &str, config: &TokenConfig) -> Option<Claims> {
        // The length keeps apart what the two are made of.
        let hash =
            Sha256::new_with_prefix(token.len().to_be_bytes()).chain_update(token).chain_update(public_key);
        let id: [u8; 32] = hash.finalize().into();
        if let Some(claims) = self.0.lock().find(&id) {
            return Some(claims);
        }
        // A token that is refused is not remembered: there are as many of them as somebody cares to make up.
        let claims = signed_claims(token, public_key, config)?;
        self.0.lock().remember(id, claims.clone());
        Some(claims)
    }
}

impl Generations {
    fn find(&mut self, id: &[u8; 32]) -> Option<Claims> {
        if let Some(claims) = self.young.get(id) {
            return Some(claims.clone());
        }
        let claims = self.old.remove(id)?;
        self.remember(*id, claims.clone());
        Some(claims)
    }

    fn remember(&mut self, id: [u8; 32], claims: Claims) {
        if self.young.len() >= GENERATION {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(id, claims);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::{TokenSigner, generate_signing_key},
        clock::{Clock, Entropy},
    };
    use rollcall_schemas::{id::UserId, role::Role};
    use uuid::Uuid;

    fn signer(seed: u64) -> TokenSigner {
        let entropy = Entropy::seeded(seed);
        let key = generate_signing_key(&entropy);
        TokenSigner::new(&key, TokenConfig::default(), Clock::real(), entropy).unwrap()
    }

    #[test]
    fn a_token_is_remembered_with_its_key_only() {
        let (signer, other, config) = (signer(1), signer(2), TokenConfig::default());
        let (token, _) = signer.issue(UserId(Uuid::nil()), "a@b.example", Role::Student);
        let verified = Verified::default();
        for _ in 0..2 {
            assert!(verified.claims(&token, signer.public_key(), &config).is_some());
            assert!(verified.claims(&token, other.public_key(), &config).is_none());
            assert!(verified.claims(&token[..token.len() - 1], signer.public_key(), &config).is_none());
        }
        assert_eq!(verified.0.lock().young.len(), 1, "refused ones are not kept");
    }

    #[test]
    fn no_more_than_two_generations_are_kept() {
        let (token, _) = signer(1).issue(UserId(Uuid::nil()), "a@b.example", Role::Student);
        let claims = signed_claims(&token, signer(1).public_key(), &TokenConfig::default()).unwrap();
        let mut kept = Generations::default();
        let id = |number: u32| {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&number.to_be_bytes());
            id
        };
        for number in 0..10 * GENERATION as u32 {
            kept.remember(id(number), claims.clone());
            assert!(kept.find(&id(0)).is_some(), "what is used stays");
        }
        assert!(kept.young.len() + kept.old.len() <= 2 * GENERATION);
        assert!(kept.find(&id(1)).is_none());
    }
}
