//! A router on a real socket, surrounded by the same layers as in the product.

use crate::Client;
use axum::Router;
use rollcall_service::{
    clock::{Clock, Entropy},
    http::{HttpConfig, finish, serve},
    lifecycle::Lifecycle,
};
use tokio::net::TcpListener;

/// A server on the loopback, which ends when its lifecycle is stopped or its runtime ends.
pub struct TestEdge {
    /// Ends the server.
    pub lifecycle: Lifecycle,
    base: String,
}

impl TestEdge {
    /// Serves a router that has not been through `http::finish`.
    pub async fn serve(router: Router, clock: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has free ports");
        let base = format!("http://{}", listener.local_addr().expect("it is bound"));
        let config = HttpConfig::default();
        let router = finish(router, &config, clock, Entropy::real());
        let lifecycle = Lifecycle::new("edge");
        let of_server = lifecycle.clone();
        lifecycle.spawn("http", async move { serve(listener, router, &config, &of_server).await });
        Self { lifecycle, base }
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A client without credentials.
    pub fn client(&self) -> Client {
        Client::new(&self.base)
    }
}
