//! What is known of one client: whose it is, with which credentials, and in which rooms.

use super::{
    Hall,
    subscription::{Listener, Subscription},
};
use crate::{
    access,
    audit::Audit,
    error::ApiError,
    events::{Follower, Room, Turns},
    extract::Caller,
    state::Api,
};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use rollcall_schemas::{feed::AuthFact, role::Role, scope::Scope};
use rollcall_service::http::Problem;
use rollcall_store::session_views;
use socketioxide::{extract::SocketRef, socket::Sid};
use std::{collections::HashMap, net::IpAddr, ops::DerefMut, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Rooms that one client may be in.
const MAX_ROOMS: usize = 100;

/// One client.
pub(super) struct Connection {
    hall: Hall,
    sid: Sid,
    caller: Caller,
    address: Option<IpAddr>,
    /// To be checked again: tokens end, and are revoked.
    credentials: HeaderMap,
    /// Held by what the client asks for, one thing after the other.
    pub(super) asking: tokio::sync::Mutex<()>,
    /// Each with what ends its subscription.
    rooms: Mutex<HashMap<Room, CancellationToken>>,
    /// Cancelled when nothing more is to be told.
    stop: CancellationToken,
    /// Of its user: each room that is behind reads the log, and a client may ask for many at once.
    pub(super) turns: Turns,
}

impl Connection {
    /// # Errors
    /// `503` when the process is about to end.
    pub(super) fn new(
        hall: &Hall,
        sid: Sid,
        (caller, address): (Caller, Option<IpAddr>),
        credentials: HeaderMap,
        turns: Turns,
    ) -> Result<Self, Problem> {
        let api = hall.0.api.get()?;
        Ok(Self {
            hall: hall.clone(),
            sid,
            caller,
            address,
            credentials,
            asking: tokio::sync::Mutex::default(),
            rooms: Mutex::default(),
            stop: api.events().stop().child_token(),
            turns,
        })
    }

    pub(super) fn sid(&self) -> Sid {
        self.sid
    }

    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(super) fn api(&self) -> Result<Api, Problem> {
        self.hall.0.api.get()
    }

    /// Whether it may show the codes of sessions: whoever teaches or works here, and displays, never a student.
    pub(super) fn may_show_codes(&self) -> bool {
        match &self.caller {
            Caller::User(user) => user.role != Role::Student,
            Caller::Integration(key) => key.scopes.contains(&Scope::CodesRead),
        }
    }

    /// Counts something that it asks for.
    ///
    /// # Errors
    /// `429` when it asks too often.
    pub(super) fn count_call(&self) -> Result<(), Problem> {
        self.hall.count_call(&self.caller)
    }

    /// Enters a room, after `since` or with what happens from now on. Whoever is in it already begins anew.
    pub(super) async fn join(
        self: &Arc<Self>,
        socket: &SocketRef,
        room: Room,
        since: Option<u64>,
    ) -> Result<Subscription, ApiError> {
        let api = self.api()?;
        if let Err(error) = self.owns(&api, room).await {
            return Err(self.on_record(&api, room, error).await);
        }
        let hub = api.events().clone();
        let (follower, gap) = Follower::open(hub.clone(), Some(room), since).await?;
        let left = self.enter(room)?;
        let listener = Listener { hub, connection: self.clone(), socket: socket.clone(), room };
        Ok(Subscription { listener, follower, gap, left })
    }

    async fn owns(&self, api: &Api, room: Room) -> Result<(), ApiError> {
        let mut db = api.connection().await?;
        let class = match room {
            Room::Class(class) => class,
            Room::Session(session) => {
                let session = session_views::find(&mut db, session).await?;
                session.ok_or_else(|| Problem::not_found("session"))?.class_id
            }
        };
        access::owns_class(db.deref_mut(), &self.caller, class).await
    }

    /// Puts it on record that somebody was refused what is not theirs.
    async fn on_record(&self, api: &Api, room: Room, error: ApiError) -> ApiError {
        let problem = error.into_problem();
        if problem.status == StatusCode::FORBIDDEN {
            let audit = Audit::of_connection(api, &self.caller, self.address);
            let path = format!("/socket.io {room}");
            api.record_refusal(audit.refusal("JOIN /socket.io".into(), &path, Some(&problem))).await;
        }
        problem.into()
    }

    fn enter(&self, room: Room) -> Result<CancellationToken, Problem> {
        let mut rooms = self.rooms.lock();
        if rooms.len() >= MAX_ROOMS && !rooms.contains_key(&room) {
            let message = format!("a connection is in {MAX_ROOMS} rooms at most: leave one");
            return Err(Problem::conflict(message));
        }
        let left = self.stop.child_token();
        if let Some(before) = rooms.insert(room, left.clone()) {
            before.cancel();
        }
        Ok(left)
    }

    /// Leaves a room; nothing happens to whoever is not in it.
    pub(super) fn leave(&self, room: Room) {
        if let Some(left) = self.rooms.lock().remove(&room) {
            left.cancel();
        }
    }

    /// Runs what tells it of a room.
    pub(super) fn start(&self, subscription: Subscription) {
        self.hall.0.subscriptions.spawn(subscription.run());
    }

    /// Whether its credentials end when this is told.
    pub(super) fn rests_on(&self, fact: &AuthFact) -> bool {
        match (fact, &self.caller) {
            (AuthFact::EndedSignIn { sign_in_id, .. }, Caller::User(user)) => *sign_in_id == user.sign_in_id,
            (AuthFact::Revocation { user_id, .. }, Caller::User(user)) => *user_id == user.user_id,
            (AuthFact::ApiKey { key_id, .. }, Caller::Integration(key)) => *key_id == key.key_id,
            _ => false,
        }
    }

    /// # Errors
    /// When its credentials are good no more.
    pub(super) fn check(&self) -> Result<(), Problem> {
        access::watcher(self.api()?.authenticator().authenticate(&self.credentials)?).map(drop)
    }

    /// Tells it nothing more.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Says why, and closes it. A client that does not take even that hears nothing more, and is closed when it does.
    pub(super) fn end(&self, socket: SocketRef, why: Problem) {
        self.stop();
        if let Ok(api) = self.api() {
            // Whoever does not take it comes back, and is told then.
            let _ = socket.emit("signed-out", &why.into_envelope(api.clock().now()));
        }
        let _ = socket.disconnect();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stop();
        let mut connections = self.hall.0.connections.lock();
        let is_own = |known: &std::sync::Weak<Self>| std::ptr::eq(known.as_ptr(), self);
        if connections.get(&self.sid).is_some_and(is_own) {
            connections.remove(&self.sid);
        }
    }
}
