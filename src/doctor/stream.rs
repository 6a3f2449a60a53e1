//! A TCP connection to a server, with TLS or without, and what is known of who is at the other end.
//!
//! Invariant: what a certificate is worth is written down, never passed over: whoever sends a secret asks first.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, StreamOwned,
};

use super::Limit;

/// How long a connection may take to come about, and any one answer on it.
const STEP: Duration = Duration::from_secs(3);

/// What a server showed of itself.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The first is the server's, the others vouch for it.
    pub chain: Vec<CertificateDer<'static>>,
    /// Whether this machine takes it for the server's.
    pub verdict: Result<(), Error>,
}

/// A connection.
pub enum Stream {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

/// A TCP connection that ends with the time for all checks, however slowly the other end feeds it.
pub struct Socket {
    stream: TcpStream,
    limit: Limit,
    /// How long one read may take.
    step: Duration,
}

/// Connects without TLS.
pub fn connect(address: SocketAddr, limit: Limit) -> io::Result<Socket> {
    let stream = TcpStream::connect_timeout(&address, limit.left(STEP))?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(limit.left(STEP)))?;
    Ok(Socket { stream, limit, step: STEP })
}

/// Goes through with the TLS handshake whatever the certificate, and returns that beside.
pub fn connect_tls(address: SocketAddr, host: &str, limit: Limit) -> io::Result<(Stream, Shown)> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let witness = Arc::new(Witness {
        verifier: verifier(&provider),
        provider: Arc::clone(&provider),
        shown: Mutex::default(),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::<Witness>::clone(&witness))
        .with_no_client_auth();
    let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, connect(address, limit)?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    let shown = witness.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let shown = shown.ok_or_else(|| io::Error::other("it showed no certificate"))?;
    Ok((Stream::Tls(Box::new(stream)), shown))
}

/// Returns what judges certificates by whom this machine trusts; `None` where it trusts nobody.
fn verifier(provider: &Arc<CryptoProvider>) -> Option<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build().ok()
}

/// Lets every certificate pass, and remembers what it is worth. The server's key is checked all the same.
#[derive(Debug)]
struct Witness {
    verifier: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    shown: Mutex<Option<Shown>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = match &self.verifier {
            Some(verifier) => {
                verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).map(|_| ())
            }
            None => Err(Error::General("this machine trusts nobody".to_owned())),
        };
        let chain = std::iter::once(end_entity).chain(intermediates).map(|der| der.clone().into_owned()).collect();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(Shown { chain, verdict });
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Stream {
    /// Sets how long a read may take.
    pub fn set_read_timeout(&mut self, timeout: Duration) {
        match self {
            Stream::Plain(socket) => socket.step = timeout,
            Stream::Tls(stream) => stream.sock.step = timeout,
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.limit.is_over() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(self.limit.left(self.step)))?;
        self.stream.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::super::{instant, since};
    use super::*;

    #[test]
    fn a_server_that_feeds_slowly_holds_nobody_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::Builder::new().spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            while client.write_all(b"a").is_ok() {
                thread::park_timeout(Duration::from_millis(10));
            }
        });
        let begin = instant();
        let limit = Limit { until: begin + Duration::from_millis(200) };
        let read = connect(address, limit).unwrap().read_exact(&mut [0; 10_000]);
        assert!(matches!(read.unwrap_err().kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock));
        assert!((Duration::from_millis(200)..Duration::from_secs(2)).contains(&since(begin, instant())));
        server.unwrap().join().unwrap();
    }
}
