//! Extractors of everything but the body.

use super::{body::refused_field, problem::Problem};
use axum::extract::{ConnectInfo, FromRequestParts, path::ErrorKind, rejection::PathRejection};
use http::{HeaderMap, request::Parts};
use ipnet::IpNet;
use serde::de::DeserializeOwned;
use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// The parameters in the path. One that cannot be read is refused with its name.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(value)| Self(value)).map_err(|rejection| match rejection {
            PathRejection::FailedToDeserializePathParams(failed) => refused_parameter(failed.into_kind()),
            rejection => Problem::internal(rejection),
        })
    }
}

fn refused_parameter(kind: ErrorKind) -> Problem {
    let field = match &kind {
        ErrorKind::ParseErrorAtKey { key, .. }
        | ErrorKind::DeserializeError { key, .. }
        | ErrorKind::InvalidUtf8InPathParam { key } => key.clone(),
        _ => "path".to_owned(),
    };
    Problem::validation([(field, kind.to_string())])
}

/// The query string. A key that occurs more than once may be read into a list.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let reader = serde_html_form::Deserializer::from_bytes(query.as_bytes());
        let value = serde_path_to_error::deserialize(reader)
            .map_err(|error| refused_field(&error.path().to_string(), &error.inner().to_string()))?;
        Ok(Self(value))
    }
}

/// The id that finds a request in the logs: the caller's `X-Request-Id`, or a fresh one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub Arc<str>);

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let id = parts.extensions.get::<RequestId>().cloned();
        id.ok_or_else(|| Problem::internal("the router was not finished with http::finish"))
    }
}

/// Proxies whose word on where a call came from is taken.
#[derive(Clone, Debug, Default)]
pub(super) struct TrustedProxies(pub(super) Arc<[IpNet]>);

impl TrustedProxies {
    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// The address of the caller: the peer, or the last address in `X-Forwarded-For` that is not a trusted proxy when
/// the peer is one. `None` where there is no connection, as in a test that calls the router directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientIp(pub Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for ClientIp {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().copied();
        let trusted = parts.extensions.get::<TrustedProxies>().cloned().unwrap_or_default();
        Ok(Self(peer.map(|ConnectInfo(peer)| client_ip(peer.ip().to_canonical(), &parts.headers, &trusted))))
    }
}

fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> IpAddr {
    let values = headers.get_all("x-forwarded-for").iter();
    let hops: Vec<&[u8]> = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).collect();
    let mut client = peer;
    // Each proxy appends the address it was called from, so the list is believed from its end, proxy by proxy, and not
    // beyond what cannot be read.
    for hop in hops.into_iter().rev() {
        if !trusted.contain(client) {
            break;
        }
        match address(hop) {
            Some(address) => client = address.to_canonical(),
            None => break,
        }
    }
    client
}

/// An address, to which some proxies add the port.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    hop.parse().ok().or_else(|| Some(hop.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn seen(peer: &str, forwarded: &str) -> String {
        seen_in(peer, &[forwarded.as_bytes()])
    }

    /// With several headers, in the order in which they came.
    fn seen_in(peer: &str, forwarded: &[&[u8]]) -> String {
        let networks = ["10.0.0.0/8", "2001:db8:aaaa::/48"].map(|network| network.parse().unwrap());
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(value).unwrap());
        }
        client_ip(peer.parse().unwrap(), &headers, &TrustedProxies(Arc::new(networks))).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(seen("203.0.113.9", "192.0.2.1"), "203.0.113.9");
        assert_eq!(seen("10.0.0.2", "192.0.2.1"), "192.0.2.1");
        assert_eq!(seen("10.0.0.2", "198.51.100.66, 192.0.2.1, 10.0.0.3"), "192.0.2.1");
        assert_eq!(seen("10.0.0.2", "nonsense"), "10.0.0.2");
    }

    #[test]
    fn a_forged_header_changes_nothing() {
        // What the caller wrote stands before what the proxy appended, in one header or in several.
        let real: &[u8] = b"192.0.2.1";
        for forged in
            ["198.51.100.66", "10.0.0.9", "127.0.0.1", "", ",,,", "::1", "nonsense", "10.0.0.9, 10.0.0.8"]
        {
            assert_eq!(seen("10.0.0.2", &format!("{forged}, 192.0.2.1")), "192.0.2.1", "{forged}");
            assert_eq!(seen_in("10.0.0.2", &[forged.as_bytes(), real]), "192.0.2.1", "{forged}");
            assert_eq!(seen("203.0.113.9", forged), "203.0.113.9", "{forged}");
        }
        // Bytes that are no text hide nothing of what stands behind them, and show nothing of what stands before.
        assert_eq!(seen_in("10.0.0.2", &[b"198.51.100.66".as_slice(), b"\xff, 192.0.2.1"]), "192.0.2.1");
        assert_eq!(seen_in("10.0.0.2", &[b"198.51.100.66".as_slice(), b"\xff"]), "10.0.0.2");
    }

    #[test]
    fn addresses_are_read_in_every_form_that_proxies_write() {
        assert_eq!(seen("2001:db8:aaaa::2", "2001:db8:bbbb::1"), "2001:db8:bbbb::1");
        assert_eq!(seen("10.0.0.2", "2001:db8:bbbb::1, 2001:db8:aaaa::7"), "2001:db8:bbbb::1");
        assert_eq!(seen("10.0.0.2", "[2001:db8:bbbb::1]:8443"), "2001:db8:bbbb::1");
        assert_eq!(seen("10.0.0.2", "192.0.2.1:8443"), "192.0.2.1");
        assert_eq!(seen("10.0.0.2", "::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(seen("10.0.0.2", "10.0.0.3, ::ffff:10.0.0.4"), "10.0.0.3", "all of them are proxies");
    }
}
