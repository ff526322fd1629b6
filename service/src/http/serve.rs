//! The server loop: accepts while there is room, and ends softly.

use super::layers::HttpConfig;
use crate::lifecycle::Lifecycle;
use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt};

/// How long to wait when no connection can be accepted, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves a finished router until the lifecycle's soft stop; then takes no new connection, lets the calls in hand
/// finish, and leaves at the hard stop at the latest. Streams without an end must watch the soft stop themselves.
///
/// Only HTTP/1.1 (with upgrades to WebSocket) is spoken: proxies in front speak it too, and hyper-util's choice between
/// versions would wait for a silent client without a time-out.
///
/// # Errors
/// None at present: a connection that fails ends alone, and a listener that cannot accept tries again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: &HttpConfig,
    lifecycle: &Lifecycle,
) -> io::Result<()> {
    let (soft, hard) = (lifecycle.soft_stop(), lifecycle.hard_stop());
    let mut builder = http1::Builder::new();
    let header_timeout = Duration::from_millis(config.header_timeout_ms);
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout);
    let room = Arc::new(Semaphore::new(config.max_connections));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = soft.cancelled() => break,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let (builder, service, lifecycle) = (builder.clone(), service(&router, peer), lifecycle.clone());
        connections.spawn(async move {
            connection(&builder, stream, service, &lifecycle).await;
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    tokio::select! {
        () = connections.wait() => {}
        () = hard.cancelled() => {}
    }
    Ok(())
}

/// Serves one connection to its end, which the lifecycle may bring about.
async fn connection<S>(builder: &http1::Builder, stream: TcpStream, service: S, lifecycle: &Lifecycle)
where
    S: hyper::service::Service<http::Request<Incoming>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send,
    S: Send + 'static,
{
    let (soft, hard) = (lifecycle.soft_stop(), lifecycle.hard_stop());
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = soft.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                result = connection => result,
                () = hard.cancelled() => Ok(()),
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(error = error.to_string(), "a connection ended early");
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
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
    impl Service<http::Request<Incoming>, Response = http::Response<Body>, Error = Infallible, Future: Send>
    + Clone
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
