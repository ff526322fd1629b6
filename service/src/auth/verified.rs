//! Tokens whose signature was found good, so that a caller who comes again costs a hash and not a curve. Only what can never
//! change is remembered: that this key signed these claims. Whether the key, the token and its user still stand is asked
//! for every call.

use super::token::{Claims, TokenConfig, signed_claims};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, mem};

/// Tokens of one generation. Two are kept, a few megabytes.
const GENERATION: usize = 10_000;

/// The claims of good tokens, by the hash of key and token. Neither token nor key can be had from it.
#[derive(Default)]
pub(super) struct Verified(Mutex<Generations>);

/// What was not asked for during a whole generation is forgotten.
#[derive(Default)]
struct Generations {
    young: HashMap<[u8; 32], Claims>,
    old: HashMap<[u8; 32], Claims>,
}

impl Verified {
    /// The claims of a token that `public_key` signed, like [`signed_claims`].
    pub(super) fn claims(&self, token: &str, public_key: &str, config: &TokenConfig) -> Option<Claims> {
        let id =
            Sha256::new().chain_update(public_key).chain_update([0]).chain_update(token).finalize().into();
        if let Some(claims) = self.0.lock().find(&id) {
            return Some(claims);
        }
        let claims = signed_claims(token, public_key, config)?;
        self.0.lock().keep(id, claims.clone());
        Some(claims)
    }
}

impl Generations {
    fn find(&mut self, id: &[u8; 32]) -> Option<Claims> {
        if let Some(claims) = self.young.get(id) {
            return Some(claims.clone());
        }
        let claims = self.old.remove(id)?;
        self.keep(*id, claims.clone());
        Some(claims)
    }

    fn keep(&mut self, id: [u8; 32], claims: Claims) {
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

    fn id(number: usize) -> [u8; 32] {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        id
    }

    #[test]
    fn only_what_a_key_signed_is_found_under_it() {
        let (config, entropy) = (TokenConfig::default(), Entropy::real());
        let signer = || {
            let key = generate_signing_key(&entropy);
            TokenSigner::new(&key, config.clone(), Clock::real(), entropy.clone()).unwrap()
        };
        let (signer, stranger) = (signer(), signer());
        let (token, claims) = signer.issue(UserId(Uuid::from_u128(1)), "a@example.org", Role::Student);
        let verified = Verified::default();
        for _ in 0..2 {
            assert_eq!(verified.claims(&token, signer.public_key(), &config), Some(claims.clone()));
            assert_eq!(verified.claims(&token, stranger.public_key(), &config), None);
            assert_eq!(verified.claims(&token[..token.len() - 4], signer.public_key(), &config), None);
        }
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_forgotten() {
        let (_, claims) = TokenSigner::new(
            &generate_signing_key(&Entropy::real()),
            TokenConfig::default(),
            Clock::real(),
            Entropy::real(),
        )
        .unwrap()
        .issue(UserId(Uuid::from_u128(1)), "a@example.org", Role::Student);
        let mut generations = Generations::default();
        for number in 0..3 * GENERATION {
            generations.keep(id(number), claims.clone());
            assert!(generations.find(&id(0)).is_some());
        }
        assert!(generations.find(&id(1)).is_none());
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION);
    }
}
