use super::*;
use crate::{
    clock::{Clock, Entropy},
    http::{HttpConfig, Success, finish, serve},
    lifecycle::Lifecycle,
};
use axum::{Router, routing};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use std::{fs::Permissions, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsConnector;

/// A certificate for `localhost` that vouches for itself, in its files.
fn issue(folder: &Path) -> CertificateDer<'static> {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(certificate(folder), issued.cert.pem()).unwrap();
    fs::write(key(folder), issued.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(key(folder), Permissions::from_mode(0o600)).unwrap();
    issued.cert.der().clone()
}

fn config(folder: &Path) -> TlsConfig {
    TlsConfig { certificate: Some(certificate(folder)), key: Some(key(folder)) }
}

fn certificate(folder: &Path) -> PathBuf {
    folder.join("certificate.pem")
}

fn key(folder: &Path) -> PathBuf {
    folder.join("key.pem")
}

/// Connects as somebody who trusts one certificate and offers these protocols.
async fn connect(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    protocols: &[&[u8]],
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

async fn start(tls: TlsConfig) -> (SocketAddr, Lifecycle) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = HttpConfig { tls, ..HttpConfig::default() };
    let router = Router::new().route("/", routing::get(|| async { Success::ok("hi") }));
    let router = finish(router, &config, Clock::real(), Entropy::real());
    let lifecycle = Lifecycle::new("test");
    let task = lifecycle.clone();
    lifecycle.spawn("http", async move { serve(listener, router, &config, &task).await });
    (address, lifecycle)
}

#[tokio::test]
async fn pages_are_served_over_tls_and_browsers_are_told_to_stay_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = issue(folder.path());
    let (address, lifecycle) = start(config(folder.path())).await;
    let mut stream = connect(address, &trusted, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""data":"hi""#), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age=31536000"), "{answer}");

    // Whoever speaks without it, or trusts somebody else, gets nothing.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut refused = Vec::new();
    // Reset or closed: both are an end.
    let _ = plain.read_to_end(&mut refused).await;
    assert!(!String::from_utf8_lossy(&refused).contains("HTTP/1.1"));
    let other = tempfile::tempdir().unwrap();
    assert!(connect(address, &issue(other.path()), &[]).await.is_err());
    lifecycle.stop(Duration::from_secs(30)).await.unwrap();
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let first = issue(folder.path());
    let shown = Certificate::read(&config(folder.path())).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = shown.acceptor();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    connect(address, &first, &[]).await.unwrap();
    assert!(!shown.look().unwrap());

    let second = issue(folder.path());
    connect(address, &first, &[]).await.unwrap();
    assert!(shown.look().unwrap());
    connect(address, &second, &[]).await.unwrap();
    assert!(connect(address, &first, &[]).await.is_err());

    fs::write(certificate(folder.path()), "-----BEGIN CERTIFICATE-----").unwrap();
    assert!(shown.look().is_err());
    connect(address, &second, &[]).await.unwrap();
}

#[test]
fn what_cannot_be_shown_is_refused_with_its_reason() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let refused = || Certificate::read(&config(folder.path())).unwrap_err();
    assert!(matches!(refused(), TlsError::Certificate(..)));
    issue(folder.path());
    issue(other.path());
    fs::set_permissions(key(folder.path()), Permissions::from_mode(0o644)).unwrap();
    assert!(refused().to_string().contains("chmod 600"));
    fs::set_permissions(key(folder.path()), Permissions::from_mode(0o600)).unwrap();
    fs::copy(key(other.path()), key(folder.path())).unwrap();
    assert!(matches!(refused(), TlsError::Unusable(_)), "the key is another certificate's");
    fs::write(key(folder.path()), "no key").unwrap();
    assert!(matches!(refused(), TlsError::Pem(..)));
    let half = TlsConfig { key: None, ..config(folder.path()) };
    assert!(matches!(Certificate::read(&half), Err(TlsError::Half)));
}
