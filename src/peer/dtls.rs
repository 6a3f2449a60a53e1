//! DTLS over OpenSSL, whose clients may have certificates of RSA, as GStreamer's do.
//!
//! Not its `timer`: repetitions of a flight are made with it, kept here, and sent when the session's own deadline is due.
//! OpenSSL is given one record at a time, and only such as it need not keep for later: what a session holds does not
//! depend on what somebody sends.
//!
//! It reads how far a handshake is from names that no document promises: `rehearsal` tells whether they still hold.
//!
//! Invariant: OpenSSL's queue of errors, which the whole thread shares, is empty between two calls.

mod buffers;
mod rehearsal;
mod timer;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use log::debug;
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::srtp::SrtpProfileId;
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode, SslStream,
    SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use str0m::config::DtlsCert;
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{
    DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, KeyingMaterial, ProtocolVersion,
    SrtpProfile,
};
use zeroize::Zeroizing;

use super::crypto::KeySlot;
pub use rehearsal::Unfit;

/// The first retransmission of a lost flight, pages' sessions included; the libraries' default of a second is felt by
/// people.
pub(super) const RETRANSMIT: Duration = Duration::from_millis(200);
/// Retransmissions of one flight; with doubling they outlast the handshake's own bound.
pub(super) const RETRANSMITS: usize = 6;
/// What OpenSSL may leave to send at once: a flight has two or three datagrams.
const OUTGOING_MAX: usize = 16;
/// The longest handshake messages, in bytes, of the [first ones](FIRST_MESSAGES) and of those behind them: OpenSSL keeps
/// ten whose predecessors are missing. A hello may have long keys; of a certificate the library takes 2000 bytes.
const FIRST_MESSAGE_BYTES_MAX: usize = 4096;
const MESSAGE_BYTES_MAX: usize = 1024;
/// The hello, perhaps repeated with a cookie, and the certificate are among so many.
const FIRST_MESSAGES: usize = 3;
/// The longest record that is kept because it was early, in bytes: an encrypted end has 61.
const EARLY_BYTES_MAX: usize = 128;
/// From here on OpenSSL numbers its reasons by the alerts that it got.
const REASON_OF_ALERTS: i32 = 1000;
/// A datagram of ours at most, in bytes, where the library does not say.
const MTU: usize = 1200;
/// When a session that waits for nothing asks for time.
const IDLE: Duration = Duration::from_secs(24 * 3600);

/// ECDHE with AEAD only; RSA where a client that has such a certificate is asked to be the server.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:\
    ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305";
/// The last is what everybody has (RFC 8827 §6.5).
const SRTP: &str = "SRTP_AEAD_AES_128_GCM:SRTP_AEAD_AES_256_GCM:SRTP_AES128_CM_SHA1_80";

/// What OpenSSL calls the states in which it takes a change of ciphers, and the encrypted end behind one.
#[derive(Clone, Copy)]
struct StateNames {
    /// As a server and as a client, after the last message before the change.
    before_change: &'static [&'static str],
    after_change: &'static str,
}

/// Its names (`SSL_state_string`), since version 1.1.
const STATE_NAMES: StateNames = StateNames { before_change: &["TRCV", "TWFIN"], after_change: "TRCCS" };

/// Makes DTLS sessions that share one certificate.
pub struct OpenSsl {
    certificate: DtlsCert,
    context: SslContext,
    names: StateNames,
}

impl OpenSsl {
    /// Returns a maker of sessions that show this certificate, of ECDSA or RSA.
    ///
    /// # Errors
    /// What OpenSSL says about a certificate or a key that it can't read.
    pub fn new(certificate: DtlsCert) -> Result<OpenSsl, ErrorStack> {
        let mut context = SslContextBuilder::new(SslMethod::dtls())?;
        context.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
        context.set_max_proto_version(Some(SslVersion::DTLS1_2))?;
        context.set_cipher_list(CIPHERS)?;
        context.set_tlsext_use_srtp(SRTP)?;
        context.set_certificate(&*X509::from_der(&certificate.certificate)?)?;
        context.set_private_key(&*PKey::private_key_from_der(&certificate.private_key)?)?;
        // Anybody's certificate will do: the library compares it with the fingerprint in the offer (RFC 8122 §6.2).
        context.set_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, |_, _| true);
        context.set_session_cache_mode(SslSessionCacheMode::OFF);
        context.set_options(SslOptions::NO_TICKET | SslOptions::NO_QUERY_MTU | SslOptions::NO_RENEGOTIATION);
        context.set_mode(SslMode::RELEASE_BUFFERS);
        Ok(OpenSsl { certificate, context: context.build(), names: STATE_NAMES })
    }

    fn session(&self, now: Instant, mtu: usize) -> Result<Session, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        ssl.set_mtu(u32::try_from(mtu).unwrap_or(u32::MAX))?;
        timer::replace(&mut ssl);
        let stream = SslStream::new(ssl, Memory::of(mtu))?;
        let state = State::Handshaking(Handshake::default());
        let (names, keys) = (self.names, KeySlot::of_new_session());
        Ok(Session { stream, names, is_active: false, state, events: VecDeque::new(), keys, now })
    }
}

impl std::fmt::Debug for OpenSsl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpenSsl")
    }
}

impl DtlsProvider for OpenSsl {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        Some(self.certificate.clone())
    }

    /// Shows the maker's certificate, whatever `_certificate` is.
    fn new_dtls(
        &self,
        _certificate: &DtlsCert,
        now: Instant,
        _version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let session = without_errors(|| self.session(now, mtu.unwrap_or(MTU)));
        Ok(Box::new(session.map_err(|error| CryptoError::Other(error.to_string()))?))
    }
}

/// One DTLS session.
struct Session {
    stream: SslStream<Memory>,
    names: StateNames,
    is_active: bool,
    state: State,
    /// What the library was not told yet.
    events: VecDeque<Event>,
    keys: KeySlot,
    /// When time was last told.
    now: Instant,
}

/// Where a session is in its life.
enum State {
    /// Waiting for the client's next flight; ours is repeated.
    Handshaking(Handshake),
    /// Waiting for a last flight that is asked for again, or a goodbye.
    Connected,
    /// A goodbye was sent.
    Closed,
    /// OpenSSL gave up; waiting for the library to learn so.
    Failed,
}

/// A handshake that goes on.
#[derive(Default)]
struct Handshake {
    /// How our last flight may still be repeated, until an answer to it is complete.
    repetitions: VecDeque<Flight>,
    /// When it is sent again; absent while nobody has told the time since it was sent.
    due: Option<Instant>,
    /// A change of ciphers and the encrypted end behind it that overtook what is before them.
    early: [Option<Box<[u8]>>; 2],
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Shown,
    /// Kept until what is before it has come; whether it is the end of the flight.
    Early(bool),
    Dropped,
}

/// The datagrams that a side of a handshake sends before it waits for an answer (RFC 6347 §4.2.4).
type Flight = VecDeque<Vec<u8>>;

enum Event {
    Certificate(Vec<u8>),
    Keys(KeyingMaterial, SrtpProfile),
    Connected,
    Goodbye,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

impl DtlsInstance for Session {
    fn set_active(&mut self, active: bool) {
        self.is_active = active;
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        // The library begins its part of a handshake with an empty datagram.
        if packet.is_empty() {
            self.advance();
        }
        for record in Records(packet) {
            self.take(record);
        }
        self.result()
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        if let Some(datagram) = self.stream.get_mut().outgoing.pop_front() {
            return copied(&datagram, buffer, DtlsOutput::Packet);
        }
        match self.events.pop_front() {
            Some(Event::Certificate(der)) => copied(&der, buffer, DtlsOutput::PeerCert),
            Some(Event::Keys(keys, profile)) => self.keys.instead_of(keys, profile, self.is_active),
            Some(Event::Connected) => DtlsOutput::Connected,
            Some(Event::Goodbye) => DtlsOutput::CloseNotify,
            None => DtlsOutput::Timeout(self.next_deadline()),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.now = now;
        let State::Handshaking(handshake) = &mut self.state else { return self.result() };
        let due = *handshake.due.get_or_insert(now + RETRANSMIT);
        if now >= due
            && let Some(again) = handshake.repetitions.pop_front()
        {
            handshake.due = Some(now + RETRANSMIT * (1 << (RETRANSMITS - handshake.repetitions.len())));
            self.stream.get_mut().outgoing.extend(again);
        }
        self.result()
    }

    /// Takes none: no session has a data channel.
    fn send_application_data(&mut self, _bytes: &[u8]) -> Result<usize, DtlsImplError> {
        Ok(0)
    }

    fn is_active(&self) -> bool {
        self.is_active
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        matches!(self.state, State::Connected).then_some(ProtocolVersion::DTLS1_2)
    }

    fn is_closing(&self) -> bool {
        matches!(self.state, State::Closed | State::Failed)
    }

    fn is_closed(&self) -> bool {
        self.is_closing() && self.stream.get_ref().outgoing.is_empty()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Connected => {
                drop(without_errors(|| buffers::with(&mut self.stream, SslStream::shutdown)));
            }
            State::Handshaking(_) | State::Closed => {}
            State::Failed => self.state = State::Failed,
        }
        Ok(())
    }
}

/// Copies what is to be put out; a buffer that is too small ends the session.
fn copied<'a>(bytes: &[u8], buffer: &'a mut [u8], output: fn(&'a [u8]) -> DtlsOutput<'a>) -> DtlsOutput<'a> {
    match buffer.get_mut(..bytes.len()) {
        Some(buffer) => {
            buffer.copy_from_slice(bytes);
            output(buffer)
        }
        None => DtlsOutput::BufferTooSmall { needed: bytes.len() },
    }
}

impl Session {
    fn result(&self) -> Result<(), DtlsImplError> {
        match self.state {
            State::Handshaking(_) | State::Connected | State::Closed => Ok(()),
            State::Failed => Err(DtlsImplError::ConnectionClosed),
        }
    }

    fn next_deadline(&self) -> Instant {
        match &self.state {
            State::Handshaking(handshake) if handshake.repetitions.is_empty() => self.now + IDLE,
            // At once, to learn the time.
            State::Handshaking(handshake) => handshake.due.unwrap_or(self.now),
            State::Failed => self.now,
            State::Connected | State::Closed => self.now + IDLE,
        }
    }

    fn take(&mut self, record: &[u8]) {
        match (self.fate(record), &mut self.state) {
            (Fate::Shown, _) => {
                self.show(record.into());
                self.show_early();
            }
            (Fate::Early(end), State::Handshaking(handshake)) if record.len() <= EARLY_BYTES_MAX => {
                handshake.early[usize::from(end)] = Some(record.into());
            }
            (Fate::Early(_) | Fate::Dropped, _) => {}
        }
    }

    /// Returns what becomes of a record: OpenSSL would forget a change of ciphers that overtook what is before it, keep
    /// what is encrypted with a buffer of 16 KB each, and wait for all of a message as long as its sender says.
    fn fate(&self, record: &[u8]) -> Fate {
        let (kind, is_encrypted) = (record[0], record[3..5] != [0, 0]);
        match self.state {
            State::Handshaking(_) => {}
            State::Connected => return fate_when_connected(record),
            State::Closed | State::Failed => return Fate::Dropped,
        }
        let reads = self.stream.ssl().state_string();
        match (is_encrypted, kind) {
            (false, CHANGE) if !self.names.before_change.contains(&reads) => Fate::Early(false),
            (false, HANDSHAKE) if has_long_message(record) => Fate::Dropped,
            (true, HANDSHAKE) if reads != self.names.after_change => Fate::Early(true),
            (true, HANDSHAKE) | (false, _) => Fate::Shown,
            (true, _) => Fate::Dropped,
        }
    }

    /// Shows what was early and is not any more.
    fn show_early(&mut self) {
        for slot in 0..2 {
            let State::Handshaking(handshake) = &mut self.state else { return };
            let Some(record) = handshake.early[slot].take() else { continue };
            self.take_early(slot, record);
        }
    }

    fn take_early(&mut self, slot: usize, record: Box<[u8]>) {
        if self.fate(&record) == Fate::Shown {
            self.show(record);
        } else if let State::Handshaking(handshake) = &mut self.state {
            handshake.early[slot] = Some(record);
        }
    }

    fn show(&mut self, record: Box<[u8]>) {
        self.stream.get_mut().incoming = Some(record);
        self.advance();
    }

    /// Lets OpenSSL take what has arrived.
    fn advance(&mut self) {
        let result = without_errors(|| match self.state {
            State::Handshaking(_) => timer::writing(|| match self.is_active {
                true => self.stream.connect(),
                false => self.stream.accept(),
            }),
            // Nobody waits for what a client says here.
            State::Connected => buffers::with(&mut self.stream, |stream| stream.ssl_read(&mut [0; 2048]).map(drop))
                .unwrap_or(Ok(())),
            State::Closed | State::Failed => Ok(()),
        });
        self.stream.get_mut().incoming = None;
        match (result, &mut self.state) {
            (Ok(()), State::Handshaking(_)) => {
                self.state = State::Connected;
                let announced = without_errors(|| self.announce());
                buffers::release(&mut self.stream);
                if announced.is_none() {
                    debug!(target: "webrtc", "DTLS connected without keys");
                    self.state = State::Failed;
                }
            }
            (Ok(()), State::Connected | State::Closed | State::Failed) => {}
            (Err(error), state) if error.code() == ErrorCode::WANT_READ => {
                let State::Handshaking(handshake) = state else { return };
                let repetitions = std::mem::take(&mut self.stream.get_mut().repetitions);
                if !repetitions.is_empty() {
                    (handshake.repetitions, handshake.due) = (repetitions, None);
                }
            }
            (Err(error), State::Connected) if error.code() == ErrorCode::ZERO_RETURN || is_alert(&error) => {
                self.events.push_back(Event::Goodbye);
            }
            // Its media needs no more of DTLS.
            (Err(error), State::Connected) => debug!(target: "webrtc", "DTLS record refused error={error}"),
            (Err(error), _) => {
                debug!(target: "webrtc", "DTLS failed error={error}");
                self.state = State::Failed;
            }
        }
    }

    /// Tells the library whom a finished handshake was with, and its keys.
    fn announce(&mut self) -> Option<()> {
        let ssl = self.stream.ssl();
        let profile = match ssl.selected_srtp_profile()?.id() {
            SrtpProfileId::SRTP_AEAD_AES_128_GCM => SrtpProfile::AEAD_AES_128_GCM,
            SrtpProfileId::SRTP_AEAD_AES_256_GCM => SrtpProfile::AEAD_AES_256_GCM,
            SrtpProfileId::SRTP_AES128_CM_SHA1_80 => SrtpProfile::AES128_CM_SHA1_80,
            _ => return None,
        };
        let certificate = ssl.peer_certificate()?.to_der().ok()?;
        let mut keys = Zeroizing::new(vec![0; profile.keying_material_len()]);
        // RFC 5764 §4.2.
        ssl.export_keying_material(&mut keys, "EXTRACTOR-dtls_srtp", None).ok()?;
        let keys = Event::Keys(KeyingMaterial::new(&keys), profile);
        self.events.extend([Event::Certificate(certificate), keys, Event::Connected]);
        Some(())
    }
}

/// Returns what becomes of a record once all is agreed upon: anybody may have made up what is not encrypted, or too short
/// to be, and OpenSSL would end the session for it.
fn fate_when_connected(record: &[u8]) -> Fate {
    let is_encrypted = record[3..5] == [0, 1] && record.len() > RECORD_HEADER + TAG;
    if is_encrypted && matches!(record[0], ALERT | HANDSHAKE) { Fate::Shown } else { Fate::Dropped }
}

/// Tells whether the client ended its session for an error (RFC 5246 §7.2.2).
fn is_alert(error: &openssl::ssl::Error) -> bool {
    let errors = error.ssl_error().map(ErrorStack::errors).unwrap_or_default();
    errors.iter().any(|error| error.reason_code() >= REASON_OF_ALERTS)
}

/// Empties OpenSSL's queue of errors: one session's would be taken for the next one's.
fn without_errors<T>(call: impl FnOnce() -> T) -> T {
    let returned = call();
    drop(ErrorStack::get());
    returned
}

/// The network, as OpenSSL sees it: one record in, any number of datagrams out.
#[derive(Debug)]
struct Memory {
    mtu: usize,
    incoming: Option<Box<[u8]>>,
    outgoing: Flight,
    /// Of the flight that was written just now.
    repetitions: VecDeque<Flight>,
}

impl Memory {
    fn of(mtu: usize) -> Memory {
        Memory { mtu, incoming: None, outgoing: Flight::new(), repetitions: VecDeque::new() }
    }
}

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(record) = self.incoming.take() else { return Err(io::ErrorKind::WouldBlock.into()) };
        record.as_ref().read(buffer)
    }
}

impl Write for Memory {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        let flight = match timer::repetition() {
            0 => &mut self.outgoing,
            repetition @ 1..=RETRANSMITS => {
                self.repetitions.resize_with(repetition, Flight::new);
                &mut self.repetitions[repetition - 1]
            }
            _ => return Ok(datagram.len()),
        };
        // What OpenSSL repeats it writes a message at a time. An end that overtakes its change of ciphers is lost to
        // many clients; in one datagram it can't.
        if let Some(last) = flight.back_mut().filter(|last| last.len() + datagram.len() <= self.mtu) {
            last.extend(datagram);
        } else if flight.len() < OUTGOING_MAX {
            flight.push_back(datagram.to_vec());
        }
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const RECORD_HEADER: usize = 13;
const MESSAGE_HEADER: usize = 12;
/// What encryption adds to a record at least, in bytes: without the explicit part of a nonce, which AES alone has.
const TAG: usize = 16;
/// Kinds of records (RFC 5246 §6.2.1): a change of ciphers, an alert, and what carries a handshake.
const CHANGE: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// The whole records of a datagram, with their headers (RFC 6347 §4.1).
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let len = u16::from_be_bytes(self.0.get(11..RECORD_HEADER)?.try_into().ok()?);
        let (record, rest) = self.0.split_at_checked(RECORD_HEADER + usize::from(len))?;
        self.0 = rest;
        Some(record)
    }
}

/// Returns whether a plain handshake record has a piece of a message that is too long, or no message (RFC 6347 §4.2.2).
fn has_long_message(record: &[u8]) -> bool {
    let mut rest = &record[RECORD_HEADER..];
    while let Some((header, body)) = rest.split_at_checked(MESSAGE_HEADER) {
        let number = |at: usize| {
            usize::from(header[at]) << 16 | usize::from(header[at + 1]) << 8 | usize::from(header[at + 2])
        };
        let sequence = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let bytes_max = if sequence < FIRST_MESSAGES { FIRST_MESSAGE_BYTES_MAX } else { MESSAGE_BYTES_MAX };
        if number(1) > bytes_max {
            return true;
        }
        rest = body.get(number(9)..).unwrap_or(&[]);
    }
    false
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment, and OpenSSL's timer is real")]
mod tests {
    use std::sync::LazyLock;

    use rcgen::{CertificateParams, KeyPair, RsaKeySize};

    use super::*;

    static ECDSA: LazyLock<OpenSsl> = LazyLock::new(|| maker(&KeyPair::generate().expect("it makes keys")));
    static RSA: LazyLock<OpenSsl> = LazyLock::new(|| {
        maker(&KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).expect("it makes keys"))
    });

    fn maker(key: &KeyPair) -> OpenSsl {
        let params = CertificateParams::new(Vec::new()).expect("no name is a good name");
        let certificate = params.self_signed(key).expect("it signs").der().to_vec();
        OpenSsl::new(DtlsCert { certificate, private_key: key.serialize_der() }).expect("it is a good one")
    }

    /// One side of a handshake, and what it told.
    struct Side {
        dtls: Box<dyn DtlsInstance>,
        told: Vec<String>,
        deadline: Instant,
    }

    impl Side {
        fn new(provider: &dyn DtlsProvider, is_active: bool, now: Instant) -> Side {
            let certificate = provider.generate_certificate().expect("it has one");
            let mut dtls =
                provider.new_dtls(&certificate, now, DtlsVersion::Dtls12, None).expect("it makes sessions");
            dtls.set_active(is_active);
            dtls.handle_timeout(now).expect("it begins");
            if is_active {
                dtls.handle_packet(&[]).expect("it begins");
            }
            Side { dtls, told: Vec::new(), deadline: now }
        }

        /// Returns the datagrams that it sends now.
        fn drain(&mut self, now: Instant) -> Vec<Vec<u8>> {
            let mut sent = Vec::new();
            loop {
                let mut buffer = [0; 2000];
                match self.dtls.poll_output(&mut buffer) {
                    DtlsOutput::Packet(packet) => sent.push(packet.to_vec()),
                    DtlsOutput::Timeout(at) if at <= now => {
                        if self.dtls.handle_timeout(now).is_err() {
                            return sent;
                        }
                    }
                    DtlsOutput::Timeout(at) => {
                        self.deadline = at;
                        return sent;
                    }
                    DtlsOutput::KeyingMaterial(keys, profile) => {
                        self.told.push(format!("{profile:?} {:02x?}", &*keys));
                    }
                    other => self.told.push(format!("{other:?}")),
                }
            }
        }
    }

    impl Side {
        fn failed(&mut self, now: Instant) -> bool {
            self.dtls.handle_timeout(now).is_err()
        }
    }

    /// Carries what both send, until neither does.
    fn exchange(sides: [&mut Side; 2], now: Instant) {
        let [client, server] = sides;
        loop {
            let (up, down) = (client.drain(now), server.drain(now));
            if up.is_empty() && down.is_empty() {
                return;
            }
            up.iter().for_each(|packet| drop(server.dtls.handle_packet(packet)));
            down.iter().for_each(|packet| drop(client.dtls.handle_packet(packet)));
        }
    }

    /// Lets what is due at its deadlines come, and lose, until it waits for nothing.
    fn repeats(side: &mut Side, now: Instant) -> Vec<(u128, usize)> {
        let mut repeats = Vec::new();
        while side.deadline < now + IDLE / 2 {
            let at = side.deadline;
            repeats.push(((at - now).as_millis(), side.drain(at).len()));
        }
        repeats
    }

    #[test]
    fn both_sides_tell_the_same_keys_whoever_has_rsa() {
        let now = Instant::now();
        for (client, server) in [(&*RSA, &*ECDSA), (&*ECDSA, &*RSA), (&*RSA, &*RSA)] {
            let certificates = [client, server].map(|maker| maker.certificate.certificate.len());
            let (mut client, mut server) = (Side::new(client, true, now), Side::new(server, false, now));
            exchange([&mut client, &mut server], now);
            assert_eq!(client.told[0], format!("PeerCert({})", certificates[1]));
            assert_eq!(server.told[0], format!("PeerCert({})", certificates[0]));
            assert!(client.told[1].starts_with("AEAD_AES_128_GCM ["), "{}", client.told[1]);
            assert_eq!(client.told[1..], server.told[1..]);
            assert_eq!(client.told[2..], ["Connected"]);
        }
    }

    #[test]
    fn a_flight_without_answer_is_repeated_in_virtual_time() {
        let now = Instant::now();
        let (mut client, mut server) = (Side::new(&*RSA, true, now), Side::new(&*ECDSA, false, now));
        let hello = client.drain(now);
        let want = [(200, 1), (600, 1), (1400, 1), (3000, 1), (6200, 1), (12_600, 1)];
        assert_eq!(repeats(&mut client, now), want);
        hello.iter().for_each(|packet| server.dtls.handle_packet(packet).expect("it is good"));
        assert_eq!(server.drain(now).len(), 1);
        assert_eq!(repeats(&mut server, now), want);
        // What comes late does, and a repetition harms nobody.
        hello.iter().for_each(|packet| server.dtls.handle_packet(packet).expect("it is good"));
        assert_eq!(server.drain(now).len(), 0);
    }

    /// The server's last flight has no timer: the client's repetition asks for it (RFC 6347 §4.2.4), each time.
    #[test]
    fn a_last_flight_is_sent_again_when_it_is_asked_for() {
        let mut now = Instant::now();
        let (mut client, mut server) = (Side::new(&*RSA, true, now), Side::new(&*ECDSA, false, now));
        client.drain(now).iter().for_each(|packet| server.dtls.handle_packet(packet).expect("it is good"));
        server.drain(now).iter().for_each(|packet| client.dtls.handle_packet(packet).expect("it is good"));
        client.drain(now).iter().for_each(|packet| server.dtls.handle_packet(packet).expect("it is good"));
        assert!(!server.drain(now).is_empty(), "the last flight, which is lost");
        for _ in 1..RETRANSMITS {
            now = client.deadline;
            let asked = client.drain(now);
            asked.iter().for_each(|packet| server.dtls.handle_packet(packet).expect("it is good"));
            assert_eq!(server.drain(now).len(), 1, "so that no part overtakes another; it is lost again");
            assert_eq!((client.told.len(), server.told.len()), (0, 3));
        }
        now = client.deadline;
        exchange([&mut client, &mut server], now);
        assert_eq!(client.told.len(), 3);
        assert_eq!(server.told.len(), 3, "nothing is told twice");
    }

    /// What OpenSSL gets in the wrong order is lost to it: in the right one, nothing has to be repeated.
    #[test]
    fn a_flight_may_come_in_any_order() {
        let now = Instant::now();
        for is_reversed in [false, true] {
            let (mut client, mut server) = (Side::new(&*RSA, true, now), Side::new(&*ECDSA, false, now));
            client.drain(now).iter().for_each(|packet| server.dtls.handle_packet(packet).expect("it is good"));
            server.drain(now).iter().for_each(|packet| client.dtls.handle_packet(packet).expect("it is good"));
            let flight = client.drain(now);
            let mut records: Vec<&[u8]> = flight.iter().flat_map(|datagram| Records(datagram)).collect();
            assert!(records.len() >= 5, "{}", records.len());
            if is_reversed {
                records.reverse();
            }
            records.iter().for_each(|record| server.dtls.handle_packet(record).expect("it is good"));
            exchange([&mut client, &mut server], now);
            assert_eq!((client.told.len(), server.told.len()), (3, 3), "{is_reversed}");
        }
    }

    #[test]
    fn a_goodbye_is_told_and_answered() {
        let now = Instant::now();
        for is_clients in [true, false] {
            let (mut client, mut server) = (Side::new(&*RSA, true, now), Side::new(&*ECDSA, false, now));
            exchange([&mut client, &mut server], now);
            let (from, to) = if is_clients { (&mut client, &mut server) } else { (&mut server, &mut client) };
            from.dtls.close().expect("it closes");
            assert!(!from.dtls.is_closed(), "its goodbye waits");
            exchange([from, to], now);
            assert!(from.dtls.is_closed());
            assert_eq!(to.told[3..], ["CloseNotify"]);
            to.dtls.close().expect("it closes");
            assert_eq!(to.drain(now).len(), 1);
            assert!(to.dtls.is_closed());
        }
    }

    /// OpenSSL would keep an encrypted record that comes before its keys, with a buffer of 16 KB, and whole messages
    /// whose beginning is missing, of up to 100 KB each.
    #[test]
    fn what_openssl_would_keep_is_not_shown_to_it() {
        let now = Instant::now();
        let mut server = OpenSsl::session(&ECDSA, now, MTU).expect("it makes sessions");
        let record = |kind: u8, epoch: u8, body: &[u8]| {
            [&[kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 9, 0, body.len() as u8], body].concat()
        };
        let message = |number: u16, len: [u8; 3]| {
            [&[11][..], &len, &number.to_be_bytes(), &[0, 0, 0, 0, 0, 8], &[7; 8]].concat()
        };
        let (end, alert) = (record(22, 1, &[7; 40]), record(21, 0, &[1, 0]));
        let cases = [
            ("a piece of a short one", record(22, 0, &message(3, [0, 4, 0])), Fate::Shown),
            ("a piece of a long one", record(22, 0, &message(3, [0, 4, 1])), Fate::Dropped),
            ("a piece of a long first one", record(22, 0, &message(2, [0, 16, 0])), Fate::Shown),
            ("a piece of a longer first one", record(22, 0, &message(2, [0, 16, 1])), Fate::Dropped),
            ("a piece of a much later one", record(22, 0, &message(256, [0, 4, 1])), Fate::Dropped),
            ("a piece of a very long one", record(22, 0, &message(2, [1, 0, 0])), Fate::Dropped),
            (
                "one behind another",
                record(22, 0, &[message(3, [0, 0, 8]), message(4, [1, 0, 0])].concat()),
                Fate::Dropped,
            ),
            ("half a header", record(22, 0, &[1, 0, 0]), Fate::Shown),
            ("an end before its keys", end.clone(), Fate::Early(true)),
            ("data before its keys", record(23, 1, &[7; 40]), Fate::Dropped),
            ("a change of ciphers", record(20, 0, &[1]), Fate::Early(false)),
            ("an alert", alert.clone(), Fate::Shown),
        ];
        for (name, bytes, want) in &cases {
            assert_eq!(Records(bytes).count(), 1, "{name}");
            assert_eq!(server.fate(bytes), *want, "{name}");
        }
        server.state = State::Connected;
        assert_eq!(server.fate(&end), Fate::Shown);
        assert_eq!(server.fate(&alert), Fate::Dropped, "not encrypted");
        let two = [&cases[0].1[..], &alert].concat();
        assert_eq!(Records(&two).count(), 2);
        assert_eq!(Records(&two[..two.len() - 1]).count(), 1);
    }

    /// Some clients repeat what they have said, in new records, and anybody may make up plain ones.
    #[test]
    fn no_record_but_a_goodbye_ends_a_connected_session() {
        let now = Instant::now();
        let (mut client, mut server) = (Side::new(&*RSA, true, now), Side::new(&*ECDSA, false, now));
        let mut said = client.drain(now);
        said.iter().for_each(|packet| server.dtls.handle_packet(packet).expect("it is good"));
        server.drain(now).iter().for_each(|packet| client.dtls.handle_packet(packet).expect("it is good"));
        let flight = client.drain(now);
        flight.iter().for_each(|packet| server.dtls.handle_packet(packet).expect("it is good"));
        exchange([&mut client, &mut server], now);
        assert_eq!(server.told.len(), 3);
        said.extend(flight);
        for (round, datagram) in said.iter().flat_map(|datagram| [(0, datagram), (1, datagram)]) {
            for record in Records(datagram) {
                let mut record = record.to_vec();
                // The number, and once the epoch too.
                record[9] = 1;
                record[4] |= round;
                assert_eq!(server.dtls.handle_packet(&record), Ok(()), "{record:02x?}");
            }
        }
        for kind in 0..=255 {
            for epoch in 0..3 {
                let made_up = [kind, 254, 253, 0, epoch, 0, 0, 0, 2, 0, 9, 0, 2, 2, 40];
                assert_eq!(server.dtls.handle_packet(&made_up), Ok(()), "kind {kind} epoch {epoch}");
            }
        }
        assert!(!server.failed(now));
        client.dtls.close().expect("it closes");
        exchange([&mut client, &mut server], now);
        assert_eq!(server.told[3..], ["CloseNotify"]);
    }

    /// OpenSSL's errors are the thread's: one session's must not end the next one.
    #[test]
    fn a_failure_ends_its_own_session() {
        let now = Instant::now();
        let (mut client, mut server) = (Side::new(&*RSA, true, now), Side::new(&*ECDSA, false, now));
        let mut spoilt = Side::new(&*ECDSA, false, now);
        let mut hello = client.drain(now).remove(0);
        server.dtls.handle_packet(&hello).expect("it is good");
        // DTLS 1.0.
        hello[25..27].copy_from_slice(&[254, 255]);
        assert!(spoilt.dtls.handle_packet(&hello).is_err());
        assert_eq!(ErrorStack::get().errors().len(), 0);
        assert!(spoilt.failed(now), "the library learns so");
        exchange([&mut client, &mut server], now);
        assert_eq!((client.told.len(), server.told.len()), (3, 3));
    }
}
