//! Who is let in: connections are counted before they are opened, and whose they are is said by their first packet.

use super::{Hall, commands, connection::Connection};
use crate::{
    access,
    events::{Turns, Watching},
    extract::Caller,
};
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use parking_lot::Mutex;
use rollcall_schemas::limit::RouteGroup;
use rollcall_service::{
    http::{ClientIp, Problem},
    limits::{Allowance, Charged},
};
use serde::Deserialize;
use socketioxide::{
    ParserError,
    extract::{AckSender, Event, SocketRef, TryData},
};
use std::{net::IpAddr, sync::Arc};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What the first packet says of its sender. Browsers can set no header on a WebSocket.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Auth {
    token: Option<String>,
    api_key: Option<String>,
}

/// What is known of a connection from the request that opened it, and kept for as long as it is open.
#[derive(Clone)]
struct Opened {
    address: Option<IpAddr>,
    /// Whose it is, once that is known. It counts until it is closed: one that has signed out is as open as before.
    watching: Arc<Mutex<Option<Watching>>>,
}

/// Lets a request through that opens a connection, while its address may, and with headers that name nobody unknown; and
/// those of open connections, which are known by ids that nobody guesses.
pub(super) async fn open(
    State(hall): State<Hall>,
    ClientIp(address): ClientIp,
    mut request: Request,
    next: Next,
) -> Response {
    let query = request.uri().query().unwrap_or_default();
    if !query.split('&').any(|parameter| parameter.starts_with("sid=")) {
        if let Err(problem) = count_opening(&hall, address, request.headers()) {
            return problem.into_response();
        }
        request.extensions_mut().insert(Opened { address, watching: Arc::default() });
    }
    next.run(request).await
}

fn count_opening(hall: &Hall, address: Option<IpAddr>, headers: &HeaderMap) -> Result<(), Problem> {
    hall.take(RouteGroup::Live, Charged::Address(address))?;
    if headers.contains_key(AUTHORIZATION) || headers.contains_key(API_KEY) {
        hall.authenticate(headers, address)?;
    }
    Ok(())
}

/// Lets a client in that says who it is. The refusal is its `connect_error`: `CODE: message`.
pub(super) async fn admit(
    hall: &Hall,
    socket: &SocketRef,
    auth: Result<Auth, ParserError>,
) -> Result<(), Problem> {
    let request = socket.req_parts();
    let opened = request.extensions.get::<Opened>();
    let Opened { address, watching } = opened.ok_or_else(|| Problem::internal("it came by another door"))?;
    let credentials = credentials(auth, &request.headers)?;
    let caller = access::watcher(hall.authenticate(&credentials, *address)?)?;
    hall.count_call(&caller)?;
    let turns = hall.count_watching(&caller, &mut watching.lock())?;
    let connection = Arc::new(Connection::new(hall, socket.id, (caller, *address), credentials, turns)?);
    hall.0.connections.lock().insert(socket.id, Arc::downgrade(&connection));

    // Set before the client hears that it is let in, and speaks.
    let leaving = connection.clone();
    socket.on_disconnect(move || {
        let leaving = leaving.clone();
        async move { leaving.stop() }
    });
    socket.on_fallback(
        move |socket: SocketRef, Event(name), data: TryData<serde_json::Value>, ack: AckSender| {
            let connection = connection.clone();
            async move { commands::obey(&connection, socket, (name, data.0), ack).await }
        },
    );
    Ok(())
}

/// What the first packet says, or else the headers that came with the connection, as headers.
fn credentials(auth: Result<Auth, ParserError>, request: &HeaderMap) -> Result<HeaderMap, Problem> {
    let unreadable = "the auth payload must be an object with `token` or `apiKey`";
    let auth = auth.map_err(|_| Problem::invalid_input(unreadable))?;
    let value = |text: String| {
        let value = HeaderValue::try_from(text);
        value.map_err(|_| Problem::unauthenticated("a credential has characters that none of ours has"))
    };
    Ok(match auth {
        Auth { token: Some(token), .. } => {
            HeaderMap::from_iter([(AUTHORIZATION, value(format!("Bearer {token}"))?)])
        }
        Auth { api_key: Some(key), .. } => HeaderMap::from_iter([(API_KEY, value(key)?)]),
        Auth { token: None, api_key: None } => {
            let found = |name: HeaderName| Some((name.clone(), request.get(name)?.clone()));
            [AUTHORIZATION, API_KEY].into_iter().filter_map(found).collect()
        }
    })
}

impl Hall {
    /// Counts one call.
    pub(super) fn take(&self, group: RouteGroup, charged: Charged) -> Result<(), Problem> {
        let api = self.0.api.get()?;
        api.gate().limiter.take(group, charged).as_ref().map_or(Ok(()), Allowance::check)
    }

    /// Counts something that a client asks for.
    ///
    /// # Errors
    /// `429` when it asks too often.
    pub(super) fn count_call(&self, caller: &Caller) -> Result<(), Problem> {
        let charged = match caller {
            Caller::User(user) => Charged::User(user.user_id),
            Caller::Integration(key) => Charged::Key(key.key_id),
        };
        self.take(RouteGroup::Read, charged)
    }

    /// Takes a place among the caller's connections, instead of the one that it has.
    ///
    /// # Errors
    /// `429` when there is none.
    fn count_watching(&self, caller: &Caller, place: &mut Option<Watching>) -> Result<Turns, Problem> {
        *place = None;
        let watching = self.0.api.get()?.watchers().enter(caller.id(), "socket_io")?;
        Ok(place.insert(watching).turns().clone())
    }

    /// Who is calling. Credentials that are not good count for their address.
    fn authenticate(
        &self,
        credentials: &HeaderMap,
        address: Option<IpAddr>,
    ) -> Result<rollcall_service::auth::Principal, Problem> {
        let principal = self.0.api.get()?.authenticator().authenticate(credentials);
        if principal.is_err() {
            self.take(RouteGroup::Read, Charged::Address(address))?;
        }
        principal
    }
}
