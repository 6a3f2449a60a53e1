//! TLS clients that speak to the real program over loopback, and certificates for it.
//!
//! Invariant: every wait is bounded.

use std::fs;
use std::io::BufReader;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::PublicKeyData;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned};

use super::Ecoute;
use super::client::{connect, read_response, request};

pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// A certificate for localhost with its key, which vouches for itself.
pub struct Certificate {
    pub pem: String,
    pub key: String,
    pub der: CertificateDer<'static>,
}

impl Certificate {
    pub fn new() -> Certificate {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        Certificate { pem, key, der: made.cert.der().clone() }
    }

    /// Returns the one that a server made for a trial.
    pub fn self_signed(ecoute: &Ecoute) -> Certificate {
        let pem = fs::read_to_string(ecoute.data.path().join("self-signed.pem")).unwrap();
        Certificate { der: CertificateDer::from_pem_slice(pem.as_bytes()).unwrap(), key: pem.clone(), pem }
    }

    /// Puts it where a server looks for the one of a trial.
    pub fn keep_in(&self, data: &Path) {
        fs::write(data.join("self-signed.pem"), format!("{}{}", self.pem, self.key)).unwrap();
    }

    /// Returns the hash of its public key, by which Chromium is told to trust it.
    pub fn key_hash(&self) -> String {
        let key = rcgen::KeyPair::from_pem(&self.key).unwrap().subject_public_key_info();
        BASE64_STANDARD.encode(digest(&SHA256, &key))
    }

    /// Writes both files into a directory; returns the arguments that name them.
    pub fn write(&self, folder: &Path) -> [String; 4] {
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        fs::write(path("cert.pem"), &self.pem).unwrap();
        fs::write(path("key.pem"), &self.key).unwrap();
        ["--tls-cert".into(), path("cert.pem"), "--tls-key".into(), path("key.pem")]
    }

    /// Returns what a client needs that trusts this certificate alone.
    pub fn client(&self, version: ProtocolVersion) -> Arc<ClientConfig> {
        self.client_with(version, &[b"http/1.1"])
    }

    /// Returns the same for a client that wants one of these protocols.
    pub fn client_with(&self, version: ProtocolVersion, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let versions = if version == ProtocolVersion::TLSv1_2 { [&TLS12] } else { [&TLS13] };
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config.resumption = Resumption::in_memory_sessions(16);
        Arc::new(config)
    }
}

/// Returns the one certificate that all servers and browsers of a test program share.
pub fn shared() -> &'static Certificate {
    static SHARED: OnceLock<Certificate> = OnceLock::new();
    SHARED.get_or_init(Certificate::new)
}

/// Returns a client's end that has said nothing yet.
pub fn session(config: &Arc<ClientConfig>) -> ClientConnection {
    ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost").unwrap()).unwrap()
}

/// Connects and shakes hands.
///
/// # Errors
/// Whatever ended the handshake.
pub fn handshake(address: SocketAddr, config: &Arc<ClientConfig>) -> std::io::Result<TlsStream> {
    handshake_on(connect(address).into_inner(), config)
}

/// Shakes hands on a connection that is open already.
///
/// # Errors
/// Whatever ended the handshake.
pub fn handshake_on(socket: TcpStream, config: &Arc<ClientConfig>) -> std::io::Result<TlsStream> {
    let mut stream = StreamOwned::new(session(config), socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Asks for one page on a new connection; returns the connection's end and the answer.
pub fn get_tls(address: SocketAddr, config: &Arc<ClientConfig>, path: &str) -> (TlsStream, u16, String) {
    let mut stream = BufReader::new(handshake(address, config).unwrap());
    std::io::Write::write_all(stream.get_mut(), request(path, "").as_bytes()).unwrap();
    let (status, body) = read_response(&mut stream);
    (stream.into_inner(), status, body)
}
