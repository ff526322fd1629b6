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

/// How many watchers of one user, streams and rooms, read the log at a time. Each reads what it missed by itself, and anybody
/// may ask for all there is, on every connection and for every room; the others wait for their turn.
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
    turns: Turns,
}

/// One connection that is counted for as long as this lives.
pub(crate) struct Watching {
    watchers: Watchers,
    user: UserId,
    transport: &'static str,
    turns: Turns,
}

impl Watching {
    /// The turns of its user.
    pub(crate) fn turns(&self) -> &Turns {
        &self.turns
    }
}

/// The turns of one user to read the log. Clones are the same.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Turns {
    /// For one watcher, who has no turn yet.
    pub(crate) fn watcher(&self) -> Turn {
        Turn { turns: self.clone(), held: None }
    }
}

/// The turn of one watcher, if it has one.
pub(crate) struct Turn {
    turns: Turns,
    held: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// Waits for a turn, if the watcher is behind and has none, and gives it back when it is not.
    pub(crate) async fn wait(&mut self, is_behind: bool) {
        if !is_behind {
            self.give_back();
        } else if self.held.is_none() {
            self.held = self.turns.0.clone().acquire_owned().await.ok();
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    pub(crate) fn give_back(&mut self) {
        self.held = None;
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
            .or_insert_with(|| Connections { count: 0, turns: Turns(Arc::new(Semaphore::new(CATCHING_UP))) });
        if connections.count >= self.at_most.get() {
            let message = format!("{} connections of yours are watching already: close one", self.at_most);
            return Err(Problem::new(Code::RateLimited, message));
        }
        connections.count += 1;
        gauge(transport).increment(1);
        let turns = connections.turns.clone();
        Ok(Watching { watchers: self.clone(), user, transport, turns })
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
        let streams: Vec<_> = (0..CATCHING_UP).map(|_| watchers.enter(one, "sse").unwrap()).collect();
        let mut reading: Vec<_> = streams.iter().map(|stream| stream.turns().watcher()).collect();
        for turn in &mut reading {
            turn.wait(true).await;
            turn.wait(true).await;
        }
        let socket = watchers.enter(one, "socket_io").unwrap();
        let mut room = socket.turns().watcher();
        assert!(room.wait(true).now_or_never().is_none(), "rooms and streams are counted together");
        watchers.enter(other, "sse").unwrap().turns().watcher().wait(true).await;
        reading[0].wait(false).await;
        room.wait(true).await;
        assert!(room.is_held());
    }
}
