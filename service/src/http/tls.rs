//! TLS by rustls, with ring. HTTP/1.1 is all that is offered (ALPN), as without TLS. A certificate that is renewed is
//! taken without a restart.

use crate::config::{PrivateFileError, read_private};
use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, fs, io, path::PathBuf, sync::Arc, time::Duration};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The certificate that is shown. Without one, HTTP is plain, and a proxy in front must encrypt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The file with the certificate and those that vouch for it, PEM, its own first.
    pub certificate: Option<PathBuf>,
    /// The file with its private key, PEM, which nobody else may read. Both are read again when they change.
    pub key: Option<PathBuf>,
}

impl TlsConfig {
    /// Whether TLS is spoken.
    pub(super) fn is_on(&self) -> bool {
        self.certificate.is_some() || self.key.is_some()
    }
}

/// Why a certificate cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate without a key, or a key without a certificate.
    #[error("[http.tls] needs both a certificate and its key")]
    Half,
    /// The file of the certificate cannot be read.
    #[error("the certificate {0} cannot be read")]
    Certificate(PathBuf, #[source] io::Error),
    /// The file of the key cannot be read, or others can.
    #[error(transparent)]
    Key(#[from] PrivateFileError),
    /// A file holds something else.
    #[error("{0} holds no PEM of the kind that is needed")]
    Pem(PathBuf, #[source] rustls::pki_types::pem::Error),
    /// The two do not belong together, or the key is of no kind that is known.
    #[error("the certificate and its key cannot be used")]
    Unusable(#[from] rustls::Error),
}

/// Makes every TLS client of this process use ring, too.
pub fn use_ring() {
    // It is only refused when it has been done already.
    let _ = ring::default_provider().install_default();
}

/// A certificate that can be replaced while it is being shown.
#[derive(Clone)]
pub(super) struct Certificate {
    files: Files,
    provider: Arc<CryptoProvider>,
    shown: Arc<RwLock<Shown>>,
}

#[derive(Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

struct Shown {
    /// What the files held.
    pem: Pem,
    key: Arc<CertifiedKey>,
}

#[derive(PartialEq, Eq)]
struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Certificate {
    pub(super) fn read(config: &TlsConfig) -> Result<Self, TlsError> {
        let TlsConfig { certificate: Some(certificate), key: Some(key) } = config.clone() else {
            return Err(TlsError::Half);
        };
        let files = Files { certificate, key };
        let provider = Arc::new(ring::default_provider());
        let pem = Pem::read(&files)?;
        let key = pem.parse(&files, &provider)?;
        Ok(Self { files, provider, shown: Arc::new(RwLock::new(Shown { pem, key })) })
    }

    /// What accepts connections with it.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .expect("ring knows TLS 1.2 and 1.3");
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// Looks at the files every now and then, until the stop.
    pub(super) async fn follow(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            match self.look() {
                Ok(true) => tracing::info!("the certificate was renewed"),
                Ok(false) => {}
                Err(error) => {
                    let error = crate::lifecycle::with_causes(&error);
                    tracing::warn!(error, "the certificate changed and cannot be used; the old one stays");
                }
            }
        }
    }

    /// Takes what the files hold now, and says whether it is something else.
    pub(super) fn look(&self) -> Result<bool, TlsError> {
        let pem = Pem::read(&self.files)?;
        if self.shown.read().pem == pem {
            return Ok(false);
        }
        let key = pem.parse(&self.files, &self.provider)?;
        *self.shown.write() = Shown { pem, key };
        Ok(true)
    }
}

impl Pem {
    fn read(files: &Files) -> Result<Self, TlsError> {
        let certificate = fs::read(&files.certificate)
            .map_err(|error| TlsError::Certificate(files.certificate.clone(), error))?;
        let key = read_private(&files.key)?.reveal().as_bytes().to_vec();
        Ok(Self { certificate, key })
    }

    fn parse(&self, files: &Files, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.map_err(|error| TlsError::Pem(files.certificate.clone(), error))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key);
        let key = key.map_err(|error| TlsError::Pem(files.key.clone(), error))?;
        Ok(Arc::new(CertifiedKey::from_der(chain, key, provider)?))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown.read().key.clone())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.files.certificate.display())
    }
}

#[cfg(test)]
mod tests;
