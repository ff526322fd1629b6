//! The server loop: accepts while there is room, and ends softly.

use super::layers::HttpConfig;
use crate::lifecycle::Lifecycle;
use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tower::ServiceExt;

/// How long to wait when no connection can be accepted, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves a finished router until the lifecycle's soft stop; then takes no new connection, lets the calls in hand
/// finish, and leaves at the hard stop at the latest. Streams without an end must watch the soft stop themselves.
///
/// Only HTTP/1.1 (with upgrades to WebSocket) is spoken: proxies in front speak it too, and the time-out for a
/// request's head holds from the first byte.
///
/// # Errors
/// Never for one connection; the listener itself does not fail for good.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: &HttpConfig,
    lifecycle: &Lifecycle,
) -> io::Result<()> {
    let (soft, hard) = (lifecycle.soft_stop(), lifecycle.hard_stop());
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    let header_timeout = Duration::from_millis(config.header_timeout_ms);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(header_timeout);
    let room = Arc::new(Semaphore::new(config.max_connections));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = soft.cancelled() => break,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service(&router, peer));
        let connection = graceful.watch(connection.into_owned());
        let hard = hard.clone();
        tokio::spawn(async move {
            tokio::select! {
                result = connection => if let Err(error) = result {
                    tracing::debug!(error = error.to_string(), "a connection ended early");
                },
                () = hard.cancelled() => {}
            }
            drop(permit);
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = hard.cancelled() => {}
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Small answers should leave at once; a socket that refuses the option still works.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, permit))
        }
        Err(error) => {
            tracing::warn!(error = error.to_string(), "no connection can be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// The router, told who is calling.
fn service(
    router: &Router,
    peer: SocketAddr,
) -> TowerToHyperService<
    impl tower::Service<
        http::Request<Incoming>,
        Response = http::Response<Body>,
        Error = std::convert::Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static,
> {
    TowerToHyperService::new(router.clone().map_request(move |request: http::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    }))
}

#[cfg(test)]
mod tests;
