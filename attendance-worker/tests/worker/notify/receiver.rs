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
};
use parking_lot::Mutex;
use rollcall_test_support::eventually;
use serde_json::Value;
use std::{collections::VecDeque, net::SocketAddr, sync::Arc};

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
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route("/hook", post(take))
            .route("/silent", post(std::future::pending::<()>))
            .with_state(inbox.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, inbox })
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

async fn take(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    inbox.arrived.lock().push(Arrived { headers, body });
    let status = inbox.answers.lock().pop_front().unwrap_or(StatusCode::NO_CONTENT);
    (status, [(LOCATION, "http://127.0.0.1:1/elsewhere")])
}
