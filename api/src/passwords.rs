//! Passwords: hashed with bcrypt away from the async threads, at most as many at a time as there are processors.

use rollcall_service::{clock::Entropy, http::Problem};
use std::{sync::Arc, thread::available_parallelism, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

/// bcrypt reads no more than this many bytes; a longer password would be cut in silence, so it is refused.
const MAX_BYTES: usize = 72;
const MIN_CHARS: usize = 8;
const LENGTH: &str = "8 characters";
/// Passwords to be verified at the same time, those that wait for a processor included: a few seconds' work. More would
/// only wait longer than their callers do.
const PLACES: usize = 64;
/// When to come back for a place.
const NO_PLACE: Duration = Duration::from_secs(1);

/// Hashes and verifies passwords.
#[derive(Clone)]
pub(crate) struct Passwords {
    cost: u32,
    /// What the password of an unknown account is compared with, so that it takes as long.
    dummy: Arc<str>,
    permits: Arc<Semaphore>,
    places: Arc<Semaphore>,
    entropy: Entropy,
}

/// A place among those who wait for their password to be verified.
pub(crate) struct Place(OwnedSemaphorePermit);

impl Passwords {
    /// # Errors
    /// When bcrypt does not know such a cost.
    pub(crate) fn new(cost: u32, entropy: Entropy) -> Result<Self, bcrypt::BcryptError> {
        let dummy = bcrypt::hash_with_salt(entropy.secret(), cost, entropy.bytes())?.to_string().into();
        let threads = available_parallelism().map_or(1, usize::from);
        let (permits, places) = (Arc::new(Semaphore::new(threads)), Arc::new(Semaphore::new(PLACES)));
        Ok(Self { cost, dummy, permits, places, entropy })
    }

    /// Takes a place, before anything is counted or looked up for whoever wants to sign in.
    ///
    /// # Errors
    /// `503` while none is free.
    pub(crate) fn place(&self) -> Result<Place, Problem> {
        let place = self.places.clone().try_acquire_owned();
        place.map(Place).map_err(|_| Problem::unavailable("too many are signing in at present", NO_PLACE))
    }

    /// The hash to keep.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Problem> {
        let (cost, salt) = (self.cost, self.entropy.bytes());
        let hash = self.apart(move || bcrypt::hash_with_salt(password, cost, salt)).await?;
        Ok(hash.map_err(Problem::internal)?.to_string())
    }

    /// Whether the password is the one of `hash`. Without a hash it takes as long and is not.
    pub(crate) async fn verify(
        &self,
        place: Place,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, Problem> {
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy.to_string());
        let verify = move || {
            let _place = place.0;
            bcrypt::verify(password, &hash)
        };
        let matches = self.apart(verify).await?;
        Ok(matches.map_err(Problem::internal)? && is_known)
    }

    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = self.permits.clone().acquire_owned().await.map_err(Problem::internal)?;
        // The work goes on when its caller has gone away, and so does what it occupies.
        let work = move || {
            let _permit = permit;
            work()
        };
        spawn_blocking(work).await.map_err(Problem::internal)
    }
}

/// The rule for new passwords, for `garde`. What is missing is said all at once.
pub(crate) fn is_good(password: &str, _: &()) -> garde::Result {
    if password.len() > MAX_BYTES {
        return Err(garde::Error::new(format!("must be at most {MAX_BYTES} bytes: bcrypt reads no more")));
    }
    let has = |is: fn(char) -> bool| password.chars().any(is);
    let missing: Vec<&str> = [
        (password.chars().count() >= MIN_CHARS, LENGTH),
        (has(char::is_lowercase), "a small letter"),
        (has(char::is_uppercase), "a capital letter"),
        (has(char::is_numeric), "a digit"),
    ]
    .into_iter()
    .filter_map(|(is_there, what)| (!is_there).then_some(what))
    .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(garde::Error::new(format!(
        "must have at least {LENGTH}, with a small letter, a capital letter and a digit; missing: {}",
        missing.join(", ")
    )))
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
        let verify = async |password: &str, hash| {
            passwords.verify(passwords.place().unwrap(), password.into(), hash).await.unwrap()
        };
        assert!(verify("Correct-horse-1", Some(hash.clone())).await);
        assert!(!verify("correct-horse-1", Some(hash)).await);
        assert!(!verify("anything", None).await);
    }

    #[tokio::test]
    async fn who_finds_no_place_is_told_to_come_back() {
        let passwords = Passwords::new(4, Entropy::seeded(1)).unwrap();
        let mut places: Vec<_> = (0..PLACES).map(|_| passwords.place().unwrap()).collect();
        let refused = passwords.place().err().expect("there are no more places");
        assert_eq!((refused.status.as_u16(), refused.retry_after), (503, Some(NO_PLACE)));
        let place = places.pop().unwrap();
        passwords.verify(place, "anything".into(), None).await.unwrap();
        assert!(passwords.place().is_ok(), "a place that was used is free again");
    }

    #[test]
    fn weak_and_overlong_passwords_are_refused() {
        for weak in ["Sh0rt", "all-lower-1", "ALL-UPPER-1", "No-digits-here", &"Aa1".repeat(25)] {
            assert!(is_good(weak, &()).is_err(), "{weak}");
        }
        let missing = |password| is_good(password, &()).unwrap_err().to_string();
        assert!(missing("short").ends_with("missing: 8 characters, a capital letter, a digit"));
        assert!(missing("ALL-UPPER-1").ends_with("missing: a small letter"));
        assert!(is_good("Good-enough-1", &()).is_ok());
        assert!(is_good(&"Aa1".repeat(24), &()).is_ok());
    }
}
