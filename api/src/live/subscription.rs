//! One client in one room: what happens there, passed on as fast as the client takes it.

use super::connection::Connection;
use crate::events::{EventHub, Follower, Gap, LiveEvent, Missed, MissedBecause, Next, Room, Visibility};
use serde::Serialize;
use socketioxide::{SendError, SocketError, extract::SocketRef};
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How soon a client that has no room for more is tried again, and how late at most. One that never has is found out by
/// its heartbeat.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long a client that is told what it missed may have no room for more before another has its turn.
const TURN_PATIENCE: Duration = Duration::from_secs(2);
/// How soon the log is read again when something about an event could not be found out, or the client had no room for it.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What tells a client of a room.
pub(super) struct Subscription {
    pub(super) listener: Listener,
    pub(super) follower: Follower,
    /// What it can no longer be told.
    pub(super) gap: Option<Gap>,
    /// Cancelled when the client leaves the room.
    pub(super) left: CancellationToken,
}

/// Who is told, and of which room.
pub(super) struct Listener {
    pub(super) hub: EventHub,
    pub(super) connection: Arc<Connection>,
    pub(super) socket: SocketRef,
    pub(super) room: Room,
}

/// Why an event was not passed on.
enum NotPassed {
    /// The client has gone.
    Gone,
    /// Something about it is not known at present.
    Unknown,
    /// The client has no room for it at present.
    Full,
}

impl Subscription {
    /// After this the client is told everything.
    pub(super) fn cursor(&self) -> u64 {
        self.follower.last()
    }

    /// Passes on what happens until the client leaves or goes.
    pub(super) async fn run(mut self) {
        let left = self.left.clone();
        left.run_until_cancelled(self.tell()).await;
    }

    async fn tell(&mut self) {
        if let Some(Gap { reason, after, resumes_after }) = self.gap.take()
            && self.listener.miss(reason, after, resumes_after).await.is_err()
        {
            return;
        }
        let mut turn = self.listener.connection.turns.watcher();
        loop {
            turn.wait(self.follower.is_behind()).await;
            let passed = match self.follower.next().await {
                Next::Event(event) => match self.listener.pass_on_within(&event, turn.is_held()).await {
                    Err(NotPassed::Unknown | NotPassed::Full) => {
                        turn.give_back();
                        self.try_again_after(event.sequence - 1).await;
                        Ok(())
                    }
                    passed => passed,
                },
                Next::Behind { after, until } => {
                    metrics::counter!("rollcall_api_behind_total").increment(1);
                    self.listener.miss(MissedBecause::Slow, after, until).await
                }
                // The log could not be opened. At the end of the process this is not waited for.
                Next::End => {
                    self.try_again_after(self.follower.last()).await;
                    Ok(())
                }
            };
            if passed.is_err() {
                return;
            }
        }
    }

    async fn try_again_after(&mut self, sequence: u64) {
        sleep(RETRY_PAUSE).await;
        self.follower.go_back_to(sequence);
    }
}

impl Listener {
    /// Passes an event on. Whoever has a turn, for which others wait, has no more than [`TURN_PATIENCE`] for the client.
    async fn pass_on_within(&self, event: &LiveEvent, has_turn: bool) -> Result<(), NotPassed> {
        if !has_turn {
            return self.pass_on(event).await;
        }
        timeout(TURN_PATIENCE, self.pass_on(event)).await.unwrap_or(Err(NotPassed::Full))
    }

    async fn pass_on(&self, event: &LiveEvent) -> Result<(), NotPassed> {
        match event.visibility(self.connection.caller()) {
            Visibility::Hidden => return Ok(()),
            Visibility::Unknown => return Err(NotPassed::Unknown),
            Visibility::Visible => {}
        }
        let announcement = event.announcement(&self.hub).await.map_err(|error| {
            tracing::warn!(%error, "what a room is told of an event is not known");
            NotPassed::Unknown
        })?;
        self.say(announcement.name, announcement.data(self.connection.may_show_codes())).await
    }

    /// Says that events between two cursors did not come when they happened.
    async fn miss(&self, reason: MissedBecause, after: u64, until: u64) -> Result<(), NotPassed> {
        let missed = Missed { room: self.room.to_string(), reason, after, until };
        self.say("missed", &missed).await
    }

    /// Waits while the client has no room for more. What it is not told meanwhile waits where all clients share it.
    async fn say(&self, name: &str, data: &impl Serialize) -> Result<(), NotPassed> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.socket.emit(name, data) {
                Ok(()) => return Ok(()),
                Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(_) => return Err(NotPassed::Gone),
            }
        }
    }
}
