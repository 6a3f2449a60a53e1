//! The cryptography of all sessions: the library's own, but for DTLS.
//!
//! Pages have dimpl's, with a configuration that is built once: building one tests the cryptography itself, which is
//! most of a join's cost. It takes no certificates but of ECDSA, which all browsers have. Programs may have others, and
//! get OpenSSL's. For everybody that would be too dear: a handshake takes 450 µs of the server's CPU instead of 250, and
//! a connected session holds 38 KB for it instead of 8. Invariant: all sessions show the same certificate.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Instant;

use log::error;
use str0m::config::{CryptoProvider, DtlsCert};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{
    DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, KeyingMaterial, ProtocolVersion,
    SrtpProfile,
};

use super::dtls::{OpenSsl, RETRANSMIT, RETRANSMITS, Unfit};
use super::srtp::Keys;

/// Datagrams of one handshake that wait for those before them, or are the missing one, 6.4 KB each in the library: with more
/// a session would take more amid its handshake than one that streams. A flight with a certificate of 330 bytes is in three at most
/// where datagrams may have 228 bytes; a longer one can't do without its first.
const DTLS_QUEUE: usize = 3;

/// What all sessions show.
static CERTIFICATE: LazyLock<DtlsCert> = LazyLock::new(|| {
    let made = str0m::crypto::from_feature_flags().dtls_provider.generate_certificate();
    made.expect("the library makes certificates")
});

/// Returns the certificate that all sessions show.
pub(super) fn certificate() -> DtlsCert {
    CERTIFICATE.clone()
}

/// Returns the cryptography of pages' sessions.
pub(super) fn of_pages() -> Arc<CryptoProvider> {
    static DTLS: LazyLock<SharedDtls> = LazyLock::new(SharedDtls::new);
    static CRYPTO: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| with_dtls(&*DTLS));
    Arc::clone(&CRYPTO)
}

/// Returns the cryptography of programs' sessions.
pub(super) fn of_programs() -> Arc<CryptoProvider> {
    static DTLS: LazyLock<OpenSsl> = LazyLock::new(|| OpenSsl::new(certificate()).expect("it was rehearsed"));
    static CRYPTO: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| with_dtls(&*DTLS));
    Arc::clone(&CRYPTO)
}

/// Tells whether the system's OpenSSL can serve programs, and where it can't, writes down why. Takes 5 ms, and
/// 5 MB from then on, most of them the library's own pages: to be asked once, when the first program comes.
pub fn can_serve_programs(now: Instant) -> bool {
    let rehearsed = rehearse(now);
    if let Err(why) = rehearsed {
        let version = openssl::version::version();
        error!(target: "webrtc", "WHIP and WHEP clients are refused, pages are served: {version} failed its test: {why}");
    }
    rehearsed.is_ok()
}

/// Lets the system's OpenSSL connect with itself.
///
/// # Errors
/// [`Unfit`], and no session of a program may be made.
pub fn rehearse(now: Instant) -> Result<(), Unfit> {
    OpenSsl::new(certificate()).map_err(|_| Unfit::NoSession)?.rehearse(now)
}

fn with_dtls(dtls_provider: &'static dyn DtlsProvider) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { dtls_provider, ..str0m::crypto::from_feature_flags() })
}

/// Where the keys of one session are left once its handshake is over, for who took this when the session was made. Where
/// nobody did, the library has them.
#[derive(Clone, Default)]
pub(super) struct KeySlot(Arc<Mutex<Option<Keys>>>);

thread_local! {
    /// That of the session that was made last: the library passes nothing on from where sessions are made.
    static NEWEST: RefCell<Weak<Mutex<Option<Keys>>>> = RefCell::default();
}

impl KeySlot {
    /// Makes one for a session that is being made.
    pub(super) fn of_new_session() -> KeySlot {
        let slot = KeySlot::default();
        NEWEST.set(Arc::downgrade(&slot.0));
        slot
    }

    /// Takes that of the session that was made last.
    pub(super) fn of_newest_session() -> Option<KeySlot> {
        NEWEST.take().upgrade().map(KeySlot)
    }

    /// Leaves keys for whoever wants them; tells whether anybody does. `is_client` tells whether we began the handshake.
    fn leave(&self, material: &KeyingMaterial, profile: SrtpProfile, is_client: bool) -> bool {
        if Arc::strong_count(&self.0) == 1 {
            return false;
        }
        let keys = Keys::new(material, profile, is_client);
        let is_good = keys.is_some();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = keys;
        is_good
    }

    /// Leaves keys for whoever wants them; returns what the library is told, which is nothing new where somebody does.
    pub(super) fn instead_of(
        &self,
        material: KeyingMaterial,
        profile: SrtpProfile,
        is_client: bool,
    ) -> DtlsOutput<'static> {
        match self.leave(&material, profile, is_client) {
            // Who has keys is connected.
            true => DtlsOutput::Connected,
            false => DtlsOutput::KeyingMaterial(material, profile),
        }
    }

    /// Takes the keys that were left.
    pub(super) fn take(&self) -> Option<Keys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Makes DTLS sessions from one configuration.
struct SharedDtls(Arc<dimpl::Config>);

impl std::fmt::Debug for SharedDtls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedDtls")
    }
}

impl SharedDtls {
    fn new() -> SharedDtls {
        let config = dimpl::Config::builder()
            .with_crypto_provider(dimpl::crypto::aws_lc_rs::default_provider())
            // ICE has verified that the client can be reached (RFC 8445 §7.3).
            .use_server_cookie(false)
            .flight_start_rto(RETRANSMIT)
            .flight_retries(RETRANSMITS)
            .max_queue_rx(DTLS_QUEUE)
            .build();
        SharedDtls(Arc::new(config.expect("the values above are in range")))
    }
}

impl DtlsProvider for SharedDtls {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        Some(certificate())
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        _version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let session = dimpl::Dtls::new_12(Arc::clone(&self.0), certificate.clone(), now);
        Ok(Box::new(DtlsSession(session, KeySlot::of_new_session())))
    }
}

/// One DTLS session: passes every call on, and the keys to who wants them.
struct DtlsSession(dimpl::Dtls, KeySlot);

impl std::fmt::Debug for DtlsSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DtlsSession")
    }
}

impl DtlsInstance for DtlsSession {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        match self.0.poll_output(buffer) {
            DtlsOutput::KeyingMaterial(keys, profile) => self.1.instead_of(keys, profile, self.0.is_active()),
            output => output,
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, bytes: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(bytes)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
