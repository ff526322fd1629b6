//! How many watch: a gauge, and a bound for each user.

use parking_lot::Mutex;
use rollcall_schemas::{code::Code, id::UserId};
use rollcall_service::http::Problem;
use std::{
    collections::{HashMap, hash_map::Entry},
    num::NonZeroU32,
    sync::Arc,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Streams of one user that read the log at a time. Each reads what it missed by itself, and anybody may ask for all there
/// is, on every connection; the others wait for their turn.
const CATCHING_UP: usize = 4;

/// Everybody who watches this process, over whichever transport. Clones are the same.
#[derive(Clone)]
pub(crate) struct Watchers {
    users: Arc<Mutex<HashMap<UserId, Connections>>>,
    /// How many connections one user may have.
    at_most: NonZeroU32,
}

/// The connections of one user.
struct Connections {
    count: u32,
    catching_up: Arc<Semaphore>,
}

/// One connection that is counted for as long as this lives.
pub(crate) struct Watching {
    watchers: Watchers,
    user: UserId,
    transport: &'static str,
    catching_up: Arc<Semaphore>,
    turn: Option<OwnedSemaphorePermit>,
}

impl Watching {
    /// Waits for a turn to read the log, if this connection is behind and has none, and gives it back when it is not.
    pub(crate) async fn wait_for_turn(&mut self, is_behind: bool) {
        if !is_behind {
            self.turn = None;
        } else if self.turn.is_none() {
            self.turn = self.catching_up.clone().acquire_owned().await.ok();
        }
    }
}

impl Watchers {
    pub(crate) fn new(at_most: NonZeroU32) -> Self {
        Self { users: Arc::default(), at_most }
    }

    /// Counts a connection of `user`.
    ///
    /// # Errors
    /// `429` when they have too many already.
    pub(crate) fn enter(&self, user: UserId, transport: &'static str) -> Result<Watching, Problem> {
        let mut users = self.users.lock();
        let connections = users
            .entry(user)
            .or_insert_with(|| Connections { count: 0, catching_up: Arc::new(Semaphore::new(CATCHING_UP)) });
        if connections.count >= self.at_most.get() {
            let message = format!("{} connections of yours are watching already: close one", self.at_most);
            return Err(Problem::new(Code::RateLimited, message));
        }
        connections.count += 1;
        gauge(transport).increment(1);
        let catching_up = connections.catching_up.clone();
        Ok(Watching { watchers: self.clone(), user, transport, catching_up, turn: None })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Entry::Occupied(mut connections) = self.watchers.users.lock().entry(self.user) {
            connections.get_mut().count -= 1;
            if connections.get().count == 0 {
                connections.remove();
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
    use futures::FutureExt;
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
        assert!(watchers.users.lock().is_empty(), "who has gone is forgotten");
    }

    #[tokio::test]
    async fn of_one_user_so_many_read_the_log_at_a_time() {
        let watchers = Watchers::new(NonZeroU32::new(10).unwrap());
        let [one, other] = [1, 2].map(|number| UserId(Uuid::from_u128(number)));
        let mut reading: Vec<_> = (0..CATCHING_UP).map(|_| watchers.enter(one, "sse").unwrap()).collect();
        for watching in &mut reading {
            watching.wait_for_turn(true).await;
            watching.wait_for_turn(true).await;
        }
        let mut waiting = watchers.enter(one, "sse").unwrap();
        assert!(waiting.wait_for_turn(true).now_or_never().is_none());
        watchers.enter(other, "sse").unwrap().wait_for_turn(true).await;
        reading[0].wait_for_turn(false).await;
        waiting.wait_for_turn(true).await;
    }
}
