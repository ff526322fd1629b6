//! How many watch: a gauge, and a bound for each user.

use parking_lot::Mutex;
use rollcall_schemas::{code::Code, id::UserId};
use rollcall_service::http::Problem;
use std::{
    collections::{HashMap, hash_map::Entry},
    num::NonZeroU32,
    sync::Arc,
};

/// Everybody who watches this process, over whichever transport. Clones are the same.
#[derive(Clone)]
pub(crate) struct Watchers {
    counts: Arc<Mutex<HashMap<UserId, u32>>>,
    /// How many connections one user may have.
    at_most: NonZeroU32,
}

/// One connection that is counted for as long as this lives.
pub(crate) struct Watching {
    watchers: Watchers,
    user: UserId,
    transport: &'static str,
}

impl Watchers {
    pub(crate) fn new(at_most: NonZeroU32) -> Self {
        Self { counts: Arc::default(), at_most }
    }

    /// Counts a connection of `user`.
    ///
    /// # Errors
    /// `429` when they have too many already.
    pub(crate) fn enter(&self, user: UserId, transport: &'static str) -> Result<Watching, Problem> {
        let mut counts = self.counts.lock();
        let count = counts.entry(user).or_default();
        if *count >= self.at_most.get() {
            let message = format!("{} connections of yours are watching already: close one", self.at_most);
            return Err(Problem::new(Code::RateLimited, message));
        }
        *count += 1;
        gauge(transport).increment(1);
        Ok(Watching { watchers: self.clone(), user, transport })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.watchers.counts.lock().entry(self.user) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        gauge(self.transport).decrement(1);
    }
}

fn gauge(transport: &'static str) -> metrics::Gauge {
    metrics::gauge!("rollcall_api_watchers", "transport" => transport)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn each_user_has_so_many_and_what_is_closed_does_not_count() {
        let watchers = Watchers::new(NonZeroU32::new(2).unwrap());
        let [one, other] = [1, 2].map(|number| UserId(Uuid::from_u128(number)));
        let first = watchers.enter(one, "sse").unwrap();
        let second = watchers.enter(one, "socket_io").unwrap();
        assert_eq!(watchers.enter(one, "sse").err().unwrap().code, Code::RateLimited);
        let third = watchers.enter(other, "sse").unwrap();
        drop(first);
        let fourth = watchers.enter(one, "sse").unwrap();
        drop((second, third, fourth));
        assert!(watchers.counts.lock().is_empty(), "who has gone is forgotten");
    }
}
