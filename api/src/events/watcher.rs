//! One stream of events: what a client is told, when, and for how long.

use super::{
    follower::{Follower, Gap, Next},
    live_event::{Filter, Visibility},
    watching::{Turn, Watching},
};
use crate::{error::ApiError, extract::Caller, state::Api};
use bytes::Bytes;
use futures::{Stream, stream};
use http::HeaderMap;
use rollcall_service::auth::Authenticator;
use std::convert::Infallible;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

/// How long a browser waits before it comes back, in milliseconds.
const RETRY_MS: u32 = 2_000;

/// One client that watches.
pub(super) struct Watcher {
    caller: Caller,
    /// With which the client came, to be checked again: tokens end, and are revoked.
    credentials: (Authenticator, HeaderMap),
    filter: Filter,
    follower: Follower,
    /// What is to be said before anything else.
    greeting: Option<Bytes>,
    alive: Interval,
    stop: CancellationToken,
    turn: Turn,
    /// Counted for as long as it is open.
    _watching: Watching,
}

/// What a watcher does next.
enum Step {
    Follow(Next),
    KeepAlive,
    End,
}

impl Watcher {
    /// Opens a stream after `after`, or with what happens from now on.
    pub(super) async fn open(
        api: &Api,
        caller: Caller,
        headers: HeaderMap,
        filter: Filter,
        after: Option<u64>,
    ) -> Result<Self, ApiError> {
        let watching = api.watchers().enter(caller.id(), "sse")?;
        let (follower, gap) = Follower::open(api.events().clone(), None, after).await?;
        let every = api.config().keep_alive();
        let mut alive = interval_at(Instant::now() + every, every);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // An id without data moves the client's cursor and tells it nothing.
        let reset = gap.map(reset).unwrap_or_default();
        let greeting = format!("retry: {RETRY_MS}\n{reset}id: {}\n\n", follower.last());
        Ok(Self {
            caller,
            credentials: (api.authenticator().clone(), headers),
            filter,
            follower,
            greeting: Some(greeting.into()),
            alive,
            stop: api.events().stop().clone(),
            turn: watching.turns().watcher(),
            _watching: watching,
        })
    }

    /// The body of the response.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
        stream::unfold(self, |mut watcher| async move {
            let bytes = watcher.next().await?;
            Some((Ok(bytes), watcher))
        })
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        loop {
            match self.step().await {
                Step::Follow(Next::Event(event)) => match event.visibility(&self.caller) {
                    Visibility::Visible if self.filter.wants(&event) => {
                        // Others read the log while this client takes what it is told.
                        self.turn.give_back();
                        return Some(event.bytes.clone());
                    }
                    Visibility::Visible | Visibility::Hidden => {}
                    Visibility::Unknown => return None,
                },
                // It is read from the log, and nothing is missing.
                Step::Follow(Next::Behind { .. }) => {}
                Step::KeepAlive => {
                    let (authenticator, headers) = &self.credentials;
                    authenticator.authenticate(headers).ok()?;
                    return Some(format!(": still here\nid: {}\n\n", self.follower.last()).into());
                }
                Step::Follow(Next::End) | Step::End => return None,
            }
        }
    }

    async fn step(&mut self) -> Step {
        let Self { turn, follower, .. } = self;
        let follow = async {
            turn.wait(follower.is_behind()).await;
            follower.next().await
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Step::End,
            _ = self.alive.tick() => Step::KeepAlive,
            next = follow => Step::Follow(next),
        }
    }
}

/// What is said to a client that cannot begin where it asked to.
fn reset(Gap { reason, after, resumes_after }: Gap) -> String {
    format!(
        "id: {resumes_after}\nevent: reset\ndata: {{\"reason\":\"{reason}\",\"lastEventId\":{after},\
         \"resumesAfter\":{resumes_after}}}\n\n"
    )
}
