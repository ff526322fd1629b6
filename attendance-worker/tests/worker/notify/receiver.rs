//! A receiver of HTTP beside the test.

use crate::harness::SOON;
use anyhow::Result;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::IntoResponse,
    routing::post,
    serve::Listener,
};
use parking_lot::Mutex;
use rollcall_test_support::eventually;
use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};
use serde_json::Value;
use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// What arrived at a webhook.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Arrived {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn event(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }
}

#[derive(Clone, Default)]
pub(super) struct Inbox {
    arrived: Arc<Mutex<Vec<Arrived>>>,
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
}

/// A receiver of webhooks that answers as told, and then with 204.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    inbox: Inbox,
}

impl Receiver {
    pub(super) async fn start(answers: impl IntoIterator<Item = StatusCode>) -> Result<Self> {
        let inbox = Inbox::default();
        inbox.answers.lock().extend(answers);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = routes(inbox.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, inbox })
    }

    /// The same under TLS, with its certificate, which nobody vouches for.
    pub(super) async fn start_under_tls() -> Result<(Self, String)> {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der()).into();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key)?;
        let tcp = TcpListener::bind("127.0.0.1:0").await?;
        let (address, inbox) = (tcp.local_addr()?, Inbox::default());
        let (listener, router) = (Tls { tcp, acceptor: Arc::new(config).into() }, routes(inbox.clone()));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((Self { address, inbox }, cert.pem()))
    }

    pub(super) fn arrived(&self) -> Vec<Arrived> {
        self.inbox.arrived.lock().clone()
    }

    pub(super) async fn after(&self, count: usize) -> Vec<Arrived> {
        eventually("what is sent arrives", SOON, || async {
            let arrived = self.arrived();
            (arrived.len() >= count).then_some(arrived)
        })
        .await
    }
}

/// Accepts whoever shakes hands.
struct Tls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, peer) = self.tcp.accept().await.expect("the socket is open");
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

fn routes(inbox: Inbox) -> Router {
    Router::new()
        .route("/hook", post(take))
        .route("/silent", post(std::future::pending::<()>))
        .with_state(inbox)
}

async fn take(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    inbox.arrived.lock().push(Arrived { headers, body });
    let status = inbox.answers.lock().pop_front().unwrap_or(StatusCode::NO_CONTENT);
    (status, [(LOCATION, "http://127.0.0.1:1/elsewhere")])
}
