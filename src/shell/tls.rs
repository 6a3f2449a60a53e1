//! Holds the server's certificate, and makes the server's end of TLS connections with it.
//!
//! Not the connections themselves: see `stream`. Invariant: the certificate and the key that are used belong together,
//! whatever the files they came from say by now.

use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, ServerConnection};

/// A longer file holds no certificate and no key, but something else.
pub const PEM_BYTES_MAX: usize = 256 * 1024;

/// The protocol inside (RFC 7301): a client that offers others alone is told so.
const ALPN: &[u8] = b"http/1.1";

/// Why a certificate and a key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(
        "the certificate file holds no PEM certificate: BEGIN CERTIFICATE is missing or what follows is damaged"
    )]
    NoCertificate,
    #[error("the key file holds no PEM private key: BEGIN PRIVATE KEY is missing or what follows is damaged")]
    NoKey,
    #[error("the certificate and the key do not belong together")]
    Mismatch,
    #[error("the certificate or the key is of no use: {0}")]
    Unusable(rustls::Error),
}

/// Where a certificate and its key come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What new connections are encrypted with.
pub struct Tls {
    /// The files' contents, as they were read last.
    certificate: Vec<u8>,
    key: Vec<u8>,
    config: Arc<ServerConfig>,
    fingerprint: String,
}

impl Tls {
    /// Takes a certificate, followed by those that vouch for it, and its key, each in PEM.
    ///
    /// # Errors
    /// [`TlsError`] for what is damaged, and for two that do not belong together.
    pub fn new(certificate: Vec<u8>, key: Vec<u8>) -> Result<Tls, TlsError> {
        let (certified, fingerprint) = read(&certificate, &key)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::Unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Clients keep what resuming takes; what they bring is sealed with keys that change every six hours.
        config.ticketer = Ticketer::new().map_err(TlsError::Unusable)?;
        Ok(Tls { certificate, key, config: Arc::new(config), fingerprint })
    }

    /// Returns the SHA-256 of the certificate, as browsers show it.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Takes what changed in the files. Two that do not belong together, as between two writes, change nothing.
    ///
    /// # Errors
    /// [`TlsError`]; new connections get what they got before.
    pub(super) fn renew(&mut self, certificate: Option<Vec<u8>>, key: Option<Vec<u8>>) -> Result<(), TlsError> {
        self.certificate = certificate.unwrap_or_else(|| std::mem::take(&mut self.certificate));
        self.key = key.unwrap_or_else(|| std::mem::take(&mut self.key));
        let (certified, fingerprint) = read(&self.certificate, &self.key)?;
        // Sessions that began with the old one may still be resumed.
        let mut config = ServerConfig::clone(&self.config);
        config.cert_resolver = Arc::new(SingleCertAndKey::from(certified));
        self.config = Arc::new(config);
        self.fingerprint = fingerprint;
        Ok(())
    }

    /// Returns the server's end of a new connection.
    pub(super) fn accept(&self) -> ServerConnection {
        ServerConnection::new(Arc::clone(&self.config)).expect("the configuration has no fragment size to be wrong")
    }
}

fn read(certificate: &[u8], key: &[u8]) -> Result<(CertifiedKey, String), TlsError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::NoCertificate)?;
    let first = chain.first().ok_or(TlsError::NoCertificate)?;
    let fingerprint = digest(&SHA256, first).as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>();
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
    let certified = CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch,
        other => TlsError::Unusable(other),
    })?;
    Ok((certified, fingerprint.join(":")))
}
