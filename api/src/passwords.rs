//! Passwords: hashed with bcrypt away from the async threads, at most as many at a time as there are processors.

use rollcall_service::{clock::Entropy, http::Problem};
use std::{sync::Arc, thread::available_parallelism};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// bcrypt reads no more than this many bytes; a longer password would be cut in silence, so it is refused.
const MAX_BYTES: usize = 72;
const MIN_CHARS: usize = 8;

/// Hashes and verifies passwords.
#[derive(Clone)]
pub(crate) struct Passwords {
    cost: u32,
    /// What the password of an unknown account is compared with, so that it takes as long.
    dummy: Arc<str>,
    permits: Arc<Semaphore>,
    entropy: Entropy,
}

impl Passwords {
    /// # Errors
    /// When bcrypt does not know such a cost.
    pub(crate) fn new(cost: u32, entropy: Entropy) -> Result<Self, bcrypt::BcryptError> {
        let dummy = bcrypt::hash_with_salt(entropy.secret(), cost, entropy.bytes())?.to_string().into();
        let threads = available_parallelism().map_or(1, usize::from);
        Ok(Self { cost, dummy, permits: Arc::new(Semaphore::new(threads)), entropy })
    }

    /// The hash to keep.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Problem> {
        let (cost, salt) = (self.cost, self.entropy.bytes());
        let hash = self.apart(move || bcrypt::hash_with_salt(password, cost, salt)).await?;
        Ok(hash.map_err(Problem::internal)?.to_string())
    }

    /// Whether the password is the one of `hash`. Without a hash it takes as long and is not.
    pub(crate) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Problem> {
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy.to_string());
        let matches = self.apart(move || bcrypt::verify(password, &hash)).await?;
        Ok(matches.map_err(Problem::internal)? && is_known)
    }

    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let _permit = self.permits.acquire().await.map_err(Problem::internal)?;
        spawn_blocking(work).await.map_err(Problem::internal)
    }
}

/// The rule for new passwords, for `garde`.
pub(crate) fn is_good(password: &str, _: &()) -> garde::Result {
    let has = |is: fn(char) -> bool| password.chars().any(is);
    if password.len() > MAX_BYTES {
        return Err(garde::Error::new(format!("must be at most {MAX_BYTES} bytes")));
    }
    if password.chars().count() < MIN_CHARS
        || !has(char::is_lowercase)
        || !has(char::is_uppercase)
        || !has(char::is_numeric)
    {
        return Err(garde::Error::new(format!(
            "must have at least {MIN_CHARS} characters, with a small letter, a capital and a digit"
        )));
    }
    Ok(())
}

/// The same where a password may be absent.
pub(crate) fn is_good_if_given(password: &Option<String>, context: &()) -> garde::Result {
    password.as_deref().map_or(Ok(()), |password| is_good(password, context))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_of_the_hash_matches() {
        let passwords = Passwords::new(4, Entropy::seeded(1)).unwrap();
        let hash = passwords.hash("Correct-horse-1".into()).await.unwrap();
        assert!(passwords.verify("Correct-horse-1".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct-horse-1".into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("anything".into(), None).await.unwrap());
    }

    #[test]
    fn weak_and_overlong_passwords_are_refused() {
        for weak in ["Sh0rt", "all-lower-1", "ALL-UPPER-1", "No-digits-here", &"Aa1".repeat(25)] {
            assert!(is_good(weak, &()).is_err(), "{weak}");
        }
        assert!(is_good("Good-enough-1", &()).is_ok());
        assert!(is_good(&"Aa1".repeat(24), &()).is_ok());
    }
}
