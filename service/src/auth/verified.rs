//! Tokens whose signature has been checked already: an Ed25519 check takes longer than everything else about a call.
//!
//! What is remembered is a function of the token, the key and the configuration alone, so it never grows stale: whether
//! the key is still known, the token expired or its user's tokens revoked is asked at every call.

use super::token::{Claims, TokenConfig, signed_claims};
use jsonwebtoken::decode_header;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, mem, sync::Arc};

/// Tokens remembered at most: twice this. As many as sign in to one deployment within a few minutes.
const GENERATION: usize = 4_096;

/// What a key has signed.
#[derive(Debug)]
pub(super) struct Signed {
    kid: String,
    public_key: String,
    pub(super) claims: Claims,
}

/// Tokens by their hash, in two generations: when the young one is full, the old one is forgotten.
#[derive(Default)]
pub(super) struct Verified(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<[u8; 32], Arc<Signed>>,
    old: HashMap<[u8; 32], Arc<Signed>>,
}

impl Verified {
    /// What a token says that is signed with one of the keys; `key` gives the public one of an id, while it is good.
    pub(super) fn read(
        &self,
        token: &str,
        key: impl Fn(&str) -> Option<String>,
        config: &TokenConfig,
    ) -> Option<Arc<Signed>> {
        let id = Sha256::digest(token).into();
        let known = self.0.lock().find(&id);
        if let Some(signed) = known {
            return key(&signed.kid).is_some_and(|key| key == signed.public_key).then_some(signed);
        }
        let kid = decode_header(token).ok()?.kid?;
        let public_key = key(&kid)?;
        // A token that is refused is not remembered: there are as many of them as somebody cares to make up.
        let claims = signed_claims(token, &public_key, config)?;
        let signed = Arc::new(Signed { kid, public_key, claims });
        self.0.lock().remember(id, signed.clone());
        Some(signed)
    }
}

impl Generations {
    fn find(&mut self, id: &[u8; 32]) -> Option<Arc<Signed>> {
        if let Some(signed) = self.young.get(id) {
            return Some(signed.clone());
        }
        let signed = self.old.remove(id)?;
        self.remember(*id, signed.clone());
        Some(signed)
    }

    fn remember(&mut self, id: [u8; 32], signed: Arc<Signed>) {
        if self.young.len() >= GENERATION {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(id, signed);
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
        let right = |kid: &str| (kid == signer.kid()).then(|| signer.public_key().to_owned());
        for _ in 0..2 {
            assert!(verified.read(&token, right, &config).is_some());
            assert!(verified.read(&token, |_| Some(other.public_key().to_owned()), &config).is_none());
            assert!(verified.read(&token, |_| None, &config).is_none(), "the key is no longer good");
            assert!(verified.read(&token[..token.len() - 1], right, &config).is_none());
        }
        assert_eq!(verified.0.lock().young.len(), 1, "refused ones are not kept");
    }

    #[test]
    fn no_more_than_two_generations_are_kept() {
        let (_, claims) = signer(1).issue(UserId(Uuid::nil()), "a@b.example", Role::Student);
        let signed = Arc::new(Signed { kid: String::new(), public_key: String::new(), claims });
        let mut kept = Generations::default();
        let id = |number: u32| {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&number.to_be_bytes());
            id
        };
        for number in 0..10 * GENERATION as u32 {
            kept.remember(id(number), signed.clone());
            assert!(kept.find(&id(0)).is_some(), "what is used stays");
        }
        assert!(kept.young.len() + kept.old.len() <= 2 * GENERATION);
        assert!(kept.find(&id(1)).is_none());
    }
}
