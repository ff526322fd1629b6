//! Secrets that must be known to be used, such as those that webhooks are signed with, as they lie in the database: sealed
//! with a key that is not there.
//!
//! ChaCha20-Poly1305 (RFC 8439) under a key derived from the configured one, with what the secret belongs to as associated
//! data, so that a sealed secret is of no use in another row. Without a key they lie open, and say so by their first byte.

use crate::{clock::Entropy, config::Secret};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::{fmt, sync::Arc};

const OPEN: u8 = 0;
const SEALED: u8 = 1;

/// Seals and opens. Clones have the same key; without one, nothing is sealed.
#[derive(Clone, Default)]
pub struct Sealer(Option<Arc<LessSafeKey>>);

/// Why a secret cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is sealed, and no key is configured.
    #[error("a secret in the database is sealed, and `database.sealing_key` is not set")]
    NoKey,
    /// It was sealed with another key, or for something else.
    #[error("a secret in the database was sealed with another `database.sealing_key`")]
    WrongKey,
    /// It is no sealed secret.
    #[error("a secret in the database is damaged")]
    Damaged,
}

impl Sealer {
    /// With the key derived from `secret`; an empty one seals nothing.
    pub fn new(secret: &Secret) -> Self {
        if secret.reveal().is_empty() {
            return Self::default();
        }
        let key = blake3::derive_key("Rollcall 2026-11 sealing of secrets", secret.reveal().as_bytes());
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).expect("a key of 32 bytes");
        Self(Some(Arc::new(LessSafeKey::new(key))))
    }

    /// Seals a secret of `owner`.
    pub fn seal(&self, owner: &[u8], secret: &[u8], entropy: &Entropy) -> Vec<u8> {
        let Some(key) = &self.0 else { return [&[OPEN], secret].concat() };
        let nonce = entropy.bytes::<NONCE_LEN>();
        let mut text = secret.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(owner), &mut text)
            .expect("secrets are far shorter than the limit");
        [&[SEALED], &nonce[..], &text].concat()
    }

    /// Opens what was sealed for `owner`.
    ///
    /// # Errors
    /// When the key is absent or another one.
    pub fn open(&self, owner: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        match (sealed.split_first(), &self.0) {
            (Some((&OPEN, secret)), _) => Ok(secret.to_vec()),
            (Some((&SEALED, _)), None) => Err(OpenError::NoKey),
            (Some((&SEALED, rest)), Some(key)) => {
                let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(OpenError::Damaged)?;
                let mut text = text.to_vec();
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let secret = key.open_in_place(nonce, Aad::from(owner), &mut text);
                Ok(secret.map_err(|_| OpenError::WrongKey)?.to_vec())
            }
            _ => Err(OpenError::Damaged),
        }
    }
}

impl Sealer {
    /// Whether there is a key.
    pub fn has_key(&self) -> bool {
        self.0.is_some()
    }

    /// A ticket for one purpose, in letters that an address may have; nothing without a key.
    pub fn ticket(&self, purpose: &[u8], content: &[u8], entropy: &Entropy) -> Option<String> {
        self.has_key().then(|| BASE64_URL_SAFE_NO_PAD.encode(self.seal(purpose, content, entropy)))
    }

    /// What a ticket says; nothing of one that this key did not make for that purpose.
    pub fn read_ticket(&self, purpose: &[u8], ticket: &str) -> Option<Vec<u8>> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(ticket).ok()?;
        // What lies open was made by anybody.
        sealed.starts_with(&[SEALED]).then(|| self.open(purpose, &sealed).ok())?
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(key: &str) -> Sealer {
        Sealer::new(&Secret::new(key))
    }

    #[test]
    fn what_is_sealed_is_opened_with_the_same_key_for_the_same_owner() {
        let entropy = Entropy::seeded(1);
        let sealed = sealer("one").seal(b"webhook 1", b"a secret", &entropy);
        assert!(!sealed.windows(8).any(|part| part == b"a secret"));
        assert_eq!(sealer("one").open(b"webhook 1", &sealed).unwrap(), b"a secret");
        for (key, owner, error) in [
            ("two", "webhook 1", OpenError::WrongKey),
            ("one", "webhook 2", OpenError::WrongKey),
            ("", "webhook 1", OpenError::NoKey),
        ] {
            assert_eq!(sealer(key).open(owner.as_bytes(), &sealed), Err(error));
        }
        assert_ne!(sealed, sealer("one").seal(b"webhook 1", b"a secret", &entropy), "the nonce repeats");
    }

    #[test]
    fn without_a_key_secrets_lie_open_and_a_later_key_still_reads_them() {
        let open = sealer("").seal(b"webhook", b"a secret", &Entropy::seeded(1));
        assert_eq!(sealer("").open(b"webhook", &open).unwrap(), b"a secret");
        assert_eq!(sealer("one").open(b"webhook", &open).unwrap(), b"a secret");
    }

    #[test]
    fn what_is_no_sealed_secret_is_damaged() {
        for bytes in [&[][..], &[7, 1, 2], &[SEALED, 1, 2]] {
            assert_eq!(sealer("one").open(b"webhook", bytes), Err(OpenError::Damaged), "{bytes:?}");
        }
    }

    #[test]
    fn a_ticket_is_read_with_its_key_and_purpose_and_is_of_nobody_else() {
        let (entropy, ours) = (Entropy::seeded(1), sealer("one"));
        let ticket = ours.ticket(b"unsubscribe", b"guardian 7", &entropy).unwrap();
        assert_eq!(ours.read_ticket(b"unsubscribe", &ticket).unwrap(), b"guardian 7");
        assert_eq!(ours.read_ticket(b"another", &ticket), None);
        assert_eq!(sealer("two").read_ticket(b"unsubscribe", &ticket), None);
        assert_eq!(sealer("").read_ticket(b"unsubscribe", &ticket), None);
        for place in 0..ticket.len() {
            let other = if ticket.as_bytes()[place] == b'A' { "B" } else { "A" };
            let mut changed = ticket.clone();
            changed.replace_range(place..=place, other);
            assert_eq!(ours.read_ticket(b"unsubscribe", &changed), None, "{place}");
        }
        assert_eq!(sealer("").ticket(b"unsubscribe", b"guardian 7", &entropy), None);
        let open = BASE64_URL_SAFE_NO_PAD.encode(sealer("").seal(b"unsubscribe", b"guardian 7", &entropy));
        assert_eq!(ours.read_ticket(b"unsubscribe", &open), None, "anybody can make it");
    }
}
