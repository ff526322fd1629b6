//! The server loop: accepts while there is room, cuts off clients that are too slow, and ends softly.

use super::{
    layers::HttpConfig,
    tls::{Certificate, TlsError},
};
use crate::lifecycle::Lifecycle;
use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt};

/// How long to wait when no connection can be accepted, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Where hyper stops reading a head. What is less is looked at by our own, smaller limits, which answer in the envelope.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 200;

/// Serves a finished router until the lifecycle's soft stop; then takes no new connection, lets the calls in hand
/// finish, and leaves at the hard stop at the latest. Streams without an end must watch the soft stop themselves.
///
/// Only HTTP/1.1 (with upgrades to WebSocket) is spoken, over TLS too: proxies in front speak it, hyper-util's choice
/// between versions would wait for a silent client without a time-out, and a client of HTTP/2 that takes nothing of its
/// answer could not be told from a busy one.
///
/// # Errors
/// When the certificate cannot be used. A connection that fails ends alone, and a listener that cannot accept tries
/// again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: &HttpConfig,
    lifecycle: &Lifecycle,
) -> Result<(), TlsError> {
    let (soft, hard) = (lifecycle.soft_stop(), lifecycle.hard_stop());
    let certificate = config.tls.is_on().then(|| Certificate::read(&config.tls)).transpose()?;
    let line = Line::new(config, certificate.as_ref(), lifecycle);
    if let Some(certificate) = certificate {
        let followed = certificate.follow(soft.clone());
        lifecycle.spawn("certificate", async move {
            followed.await;
            Ok::<_, Infallible>(())
        });
    }
    let room = Arc::new(Semaphore::new(config.max_connections));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = soft.cancelled() => break,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let (line, service) = (line.clone(), service(&router, peer));
        connections.spawn(async move {
            line.answer(stream, service).await;
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

/// How connections are answered.
#[derive(Clone)]
struct Line {
    http: http1::Builder,
    tls: Option<TlsAcceptor>,
    head_timeout: Duration,
    write_timeout: Duration,
    lifecycle: Lifecycle,
}

impl Line {
    fn new(config: &HttpConfig, certificate: Option<&Certificate>, lifecycle: &Lifecycle) -> Self {
        let head_timeout = Duration::from_millis(config.header_timeout_ms);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
            .max_header_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS);
        Self {
            http,
            tls: certificate.map(Certificate::acceptor),
            head_timeout,
            write_timeout: Duration::from_millis(config.write_timeout_ms),
            lifecycle: lifecycle.clone(),
        }
    }

    /// Serves one connection to its end.
    async fn answer<S: Answers>(&self, stream: TcpStream, service: S) {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.write_timeout));
        let stream = Box::pin(stream);
        let Some(tls) = &self.tls else { return self.speak(stream, service).await };
        match timeout(self.head_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.speak(stream, service).await,
            Ok(Err(error)) => tracing::debug!(error = error.to_string(), "a handshake failed"),
            Err(_) => tracing::debug!("a handshake took too long"),
        }
    }

    /// Speaks HTTP until the client goes, is too slow, or the lifecycle ends it.
    async fn speak<S: Answers>(&self, stream: impl Stream, service: S) {
        let (soft, hard) = (self.lifecycle.soft_stop(), self.lifecycle.hard_stop());
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service).with_upgrades());
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
}

/// What bytes come and go through.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for T {}

/// What answers requests.
trait Answers:
    hyper::service::Service<
        http::Request<Incoming>,
        Response = http::Response<Body>,
        Error = Infallible,
        Future: Send,
    > + Send
    + 'static
{
}

impl<T> Answers for T where
    T: hyper::service::Service<
            http::Request<Incoming>,
            Response = http::Response<Body>,
            Error = Infallible,
            Future: Send,
        > + Send
        + 'static
{
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
