//! `/socket.io`: what happens, told in rooms (Socket.IO, protocol revision 5, over WebSocket and long polling).
//!
//! A client says who it is when it connects, by the rule of the stream of events, and joins sessions and classes that are
//! its own. There it is told what that stream tells, under the names of `events::announcement`, each with its cursor; with
//! a cursor it joins where it left off. Who is let in is in `door`, what a client may say in `commands`, what is known of
//! one in `connection`, and how a room reaches it in `subscription`. See docs/LIVE.md.

mod commands;
mod connection;
pub(crate) mod contract;
mod door;
mod subscription;

use crate::state::WeakApi;
use axum::{Router, middleware::from_fn_with_state};
use connection::Connection;
use parking_lot::Mutex;
use rollcall_bus::{Change, Feed};
use rollcall_schemas::feed::AuthEntry;
use socketioxide::{
    SocketIo,
    extract::{SocketRef, TryData},
    layer::SocketIoLayer,
    socket::Sid,
};
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Layer;
use utoipa_axum::router::OpenApiRouter;

/// What one client may say at once. It says no more than who it is, and what it wants.
const MESSAGE_BYTES: usize = 32 * 1024;
/// What is read from a connection at once: there are many, and they say little.
const READ_BYTES: usize = 1024;
/// Packets that wait for one client to take them. The rest waits where it is shared by all.
const PACKETS_KEPT: usize = 256;
/// How long a connection may be open before it says whose it is.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// How long clients are waited for at the end; some take nothing any more.
const CLOSING: Duration = Duration::from_secs(2);

/// The rooms of the process.
pub(crate) struct Live {
    hall: Hall,
    io: SocketIo,
    layer: SocketIoLayer,
}

/// Who is in them. Clones are the same.
#[derive(Clone)]
struct Hall(Arc<Inner>);

struct Inner {
    api: WeakApi,
    connections: Mutex<HashMap<Sid, Weak<Connection>>>,
    /// What tells clients of rooms.
    subscriptions: TaskTracker,
}

impl Live {
    pub(crate) fn new(api: WeakApi) -> Self {
        let inner = Inner { api, connections: Mutex::default(), subscriptions: TaskTracker::new() };
        let hall = Hall(Arc::new(inner));
        let (layer, io) = SocketIo::builder()
            .connect_timeout(UNKNOWN_FOR)
            .max_buffer_size(PACKETS_KEPT)
            .max_payload(MESSAGE_BYTES as u64)
            .ws_max_message_size(MESSAGE_BYTES)
            .ws_max_frame_size(MESSAGE_BYTES)
            .ws_read_buffer_size(READ_BYTES)
            .build_layer();
        let entered = hall.clone();
        let admit = move |socket: SocketRef, auth: TryData<door::Auth>| {
            let hall = entered.clone();
            async move { door::admit(&hall, &socket, auth.0).await }
        };
        io.ns("/", socketioxide::handler::ConnectHandler::with(welcome, admit));
        Self { hall, io, layer }
    }

    /// Its routes. They stand beside the access table and the limits of the others, which know calls, and not who is
    /// at the other end of a connection: [`door`] stands before these.
    pub(crate) fn routes(&self) -> OpenApiRouter {
        let service = self.layer.layer(Router::new());
        let routes = Router::new().route_service("/socket.io", service.clone());
        let routes = routes.route_service("/socket.io/", service);
        routes.layer(from_fn_with_state(self.hall.clone(), door::open)).into()
    }

    /// Ends each connection when its credentials end, which `keys` tell at once, or time within `every`; and all of them
    /// at `stop`.
    pub(crate) async fn keep(&self, keys: &Feed<AuthEntry>, every: Duration, stop: CancellationToken) {
        let (mut changes, mut ticks) = (keys.subscribe(), interval(every));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => self.end_unknown(|_| true),
                change = changes.recv() => match change {
                    Ok(Change::Put(entry)) => self.end_unknown(|connection| connection.rests_on(&entry.fact)),
                    Ok(Change::Reset) | Err(RecvError::Lagged(_)) => self.end_unknown(|_| true),
                    Err(RecvError::Closed) => break,
                },
            }
        }
        stop.cancelled().await;
        // Clients whose connection is closed come back by themselves, to another process or to the next.
        if timeout(CLOSING, self.io.close()).await.is_err() {
            tracing::debug!("some clients do not take their end");
        }
        self.hall.0.subscriptions.close();
        self.hall.0.subscriptions.wait().await;
    }

    /// Ends those of the connections `of` whose credentials are good no more.
    fn end_unknown(&self, of: impl Fn(&Connection) -> bool) {
        let connections: Vec<_> = self.hall.0.connections.lock().values().filter_map(Weak::upgrade).collect();
        for connection in connections.iter().filter(|connection| of(connection)) {
            if let (Err(problem), Some(socket)) = (connection.check(), self.io.get_socket(connection.sid())) {
                connection.end(socket, problem);
            }
        }
    }
}

/// Whoever is admitted has been told so, and speaks next.
async fn welcome() {}

#[cfg(test)]
mod tests;
