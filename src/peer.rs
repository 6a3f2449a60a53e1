//! Drives one WebRTC session: the only code that calls str0m's `Rtc`.
//!
//! Every change to the `Rtc` is followed by a complete drain. Every call is guarded: a panic inside the library on
//! somebody's input ends that peer and no other.
//!
//! Invariant: `selected` is the path of the latest authenticated check that nominated (RFC 8445 §7.3.1.5), known
//! because the ICE agent answered it; everything but STUN leaves on it, whatever path the library has in mind.

mod crypto;

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::debug;
use rand_core::Rng;
use str0m::change::SdpOffer;
use str0m::config::DtlsCert;
use str0m::format::{Codec, FormatParams};
use str0m::media::{Frequency, Mid, Pt};
use str0m::net::Receive;
use str0m::rtp::{Extension, RtpWrite};
use str0m::{Candidate, Event, IceConnectionState, IceCreds, Input, Output, Rtc, RtcConfig};

use crate::egress::{Egress, Position};
use crate::keys::{ConnKey, PeerKey};
use crate::outbox::{Outbox, Path};
use crate::wire::{sdp, stun};
use crypto::CRYPTO;

/// How often a deadline that is already due is served again at once, before it waits for the next turn.
const TICKS_MAX: usize = 8;
/// Hexadecimal digits of a peer's key in its user fragment.
const KEY_DIGITS: usize = 16;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The client sends its microphone.
    Publish,
    /// The client hears.
    Listen,
}

/// One packet of a publisher, on its way to its listeners.
#[derive(Clone, Debug)]
pub struct MediaPacket {
    pub position: Position,
    /// Shared by all listeners until each one's encryption.
    pub payload: Arc<[u8]>,
}

/// What a drain brought to light.
#[derive(Debug)]
pub enum PeerEvent {
    /// The ICE agent answered an authenticated check that came this way.
    Answered(Path),
    /// Media may flow.
    Connected,
    /// One RTP packet arrived.
    Packet(MediaPacket),
    /// The session is over.
    Gone(Gone),
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// No check came for about 15 s.
    Vanished,
    /// The client closed it.
    Closed,
    /// It did not connect in time.
    Unfinished,
    /// The library failed or panicked on what it was given.
    Failed,
}

/// Why an offer got no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    #[error(transparent)]
    Sdp(#[from] sdp::SdpError),
    #[error("the offer can't be read or answered")]
    NotAcceptable,
}

/// What all sessions of a server share.
pub struct Template {
    certificate: DtlsCert,
    candidates: Vec<Candidate>,
}

impl Template {
    /// Returns a template that offers `advertised` as candidates, with a DTLS certificate of its own.
    pub fn new(advertised: &[SocketAddr]) -> Template {
        let certificate = CRYPTO.dtls_provider.generate_certificate().expect("the provider makes certificates");
        let candidate =
            |&address| Candidate::host(address, "udp").expect("Config::check refused unusable addresses");
        Template { certificate, candidates: advertised.iter().map(candidate).collect() }
    }
}

/// One WebRTC session and its role.
pub struct Peer {
    /// Absent once the session is over.
    rtc: Option<Box<Rtc>>,
    key: PeerKey,
    conn: ConnKey,
    purpose: Purpose,
    state: State,
    selected: Option<Path>,
    /// The audio section, and Opus in it.
    mid: Mid,
    payload_type: Pt,
    egress: Egress,
    timeout: Instant,
    /// The deadline that the server has armed, at or before `timeout` once [`Peer::take_deadline`] was heeded.
    armed: Option<Instant>,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waiting for ICE and DTLS, until this moment.
    Connecting {
        until: Instant,
    },
    Connected,
    Over,
}

impl Peer {
    /// Answers an offer; returns the session and the answer's SDP.
    ///
    /// # Errors
    /// [`OfferError`], and nothing was made.
    pub fn accept(
        template: &Template,
        now: Instant,
        owner: Owner,
        offer: &str,
        chance: &mut impl Rng,
    ) -> Result<(Peer, String), OfferError> {
        let direction = match owner.purpose {
            Purpose::Publish => sdp::Direction::SendOnly,
            Purpose::Listen => sdp::Direction::RecvOnly,
        };
        let offer = sdp::narrow_offer(offer, direction)?;
        let credentials = credentials(owner.key, chance);
        let egress = Egress::new(chance.next_u64());
        let accepted = guarded(|| {
            let mut rtc = Box::new(rtc_config(owner.purpose, template, credentials).build(now));
            for candidate in &template.candidates {
                rtc.add_local_candidate(candidate.clone());
            }
            let refused = |error: &dyn std::fmt::Display| debug!(target: "webrtc", "offer refused error={error}");
            let offer = SdpOffer::from_sdp_string(&offer).inspect_err(|error| refused(error)).ok()?;
            let answer = rtc.sdp_api().accept_offer(offer).inspect_err(|error| refused(error)).ok()?;
            let answer = answer.to_sdp_string();
            let (mid, payload_type) = negotiated(&rtc, &answer)?;
            Some((rtc, answer, mid, payload_type))
        });
        let (rtc, answer, mid, payload_type) = accepted.flatten().ok_or(OfferError::NotAcceptable)?;
        let peer = Peer {
            rtc: Some(rtc),
            key: owner.key,
            conn: owner.conn,
            purpose: owner.purpose,
            state: State::Connecting { until: now + owner.handshake_timeout },
            selected: None,
            mid,
            payload_type,
            egress,
            timeout: now,
            armed: None,
        };
        Ok((peer, answer))
    }

    /// Returns the conn whose client opened this session.
    pub fn conn(&self) -> ConnKey {
        self.conn
    }

    /// Returns what the session is for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Tells whether media may flow.
    pub fn is_connected(&self) -> bool {
        self.state == State::Connected
    }

    /// Returns the path on which everything but STUN leaves.
    pub fn selected(&self) -> Option<Path> {
        self.selected
    }

    /// Returns the next deadline if it is earlier than the one that is armed, and takes it that it will be armed.
    ///
    /// The library moves its deadline at every input: one that fires too early costs less than moving it each time.
    pub fn take_deadline(&mut self) -> Option<Instant> {
        let next = self.next_deadline();
        let earlier = self.armed.is_none_or(|armed| next < armed);
        earlier.then(|| {
            self.armed = Some(next);
            next
        })
    }

    /// The armed deadline fired: lets time pass if there is something to do.
    pub fn on_deadline(&mut self, now: Instant, turn: &mut Turn<'_>) {
        self.armed = None;
        if self.next_deadline() <= now {
            self.handle_timeout(now, turn);
        }
    }

    fn next_deadline(&self) -> Instant {
        match self.state {
            State::Connecting { until } => self.timeout.min(until),
            State::Connected | State::Over => self.timeout,
        }
    }

    /// Takes a datagram that belongs to this session; `candidate` is the advertised address that stands for
    /// `path.local`.
    pub fn receive(
        &mut self,
        now: Instant,
        path: Path,
        candidate: SocketAddr,
        datagram: &[u8],
        turn: &mut Turn<'_>,
    ) {
        let check = stun::parse_binding_request(datagram).ok().map(|check| Check {
            path,
            transaction_id: check.transaction_id,
            nominates: check.use_candidate,
        });
        let Ok(input) = guarded_receive(path, candidate, datagram) else { return };
        self.drive(now, check, turn, |rtc| {
            // What the library can't use it reports; the session lives on, or is reported over by the drain.
            let _ = rtc.handle_input(Input::Receive(now, input));
        });
    }

    fn handle_timeout(&mut self, now: Instant, turn: &mut Turn<'_>) {
        if let State::Connecting { until } = self.state
            && until <= now
        {
            self.end(Gone::Unfinished, turn.events);
            return;
        }
        self.drive(now, None, turn, |rtc| {
            let _ = rtc.handle_input(Input::Timeout(now));
        });
    }

    /// Sends one packet of a publisher to this listener; tells whether it left.
    pub fn forward(&mut self, now: Instant, packet: &MediaPacket, turn: &mut Turn<'_>) -> bool {
        if self.state != State::Connected {
            return false;
        }
        let Some(to) = self.egress.rewrite(now, packet.position, &packet.payload) else { return false };
        let (mid, payload_type) = (self.mid, self.payload_type);
        let payload = Arc::clone(&packet.payload);
        self.drive(now, None, turn, |rtc| {
            let write = RtpWrite::new(payload_type, to.sequence.into(), to.timestamp, now, payload);
            if let Some(stream) = rtc.direct_api().stream_tx_by_mid(mid, None) {
                stream.write_rtp(write.marker(to.marker));
            }
            let _ = rtc.handle_input(Input::Timeout(now));
        });
        true
    }

    /// Makes the next forwarded packet begin anew: what was heard until now is over.
    pub fn cut(&mut self) {
        self.egress.cut();
    }

    /// Ends the session with an RTCP BYE and a DTLS close alert, as far as it can still send.
    pub fn close(&mut self, now: Instant, turn: &mut Turn<'_>) {
        self.drive(now, None, turn, |rtc| {
            let _ = rtc.close();
        });
        self.drop_rtc();
    }

    /// Calls `act` and drains what it caused, both guarded.
    fn drive(&mut self, now: Instant, check: Option<Check>, turn: &mut Turn<'_>, act: impl FnOnce(&mut Rtc)) {
        if self.rtc.is_none() {
            return;
        }
        let drained = guarded(|| {
            if let Some(rtc) = self.rtc.as_mut() {
                act(rtc);
            }
            self.drain(now, check, turn)
        });
        match drained {
            Some(None) => {}
            Some(Some(gone)) => self.end(gone, turn.events),
            None => self.end(Gone::Failed, turn.events),
        }
    }

    /// Polls until the library waits for time; returns why the session is over, if it is.
    fn drain(&mut self, now: Instant, check: Option<Check>, turn: &mut Turn<'_>) -> Option<Gone> {
        let rtc = self.rtc.as_mut()?;
        let mut ticks = 0;
        loop {
            match rtc.poll_output() {
                Ok(Output::Timeout(at)) if at <= now && ticks < TICKS_MAX => {
                    ticks += 1;
                    let _ = rtc.handle_input(Input::Timeout(now));
                }
                Ok(Output::Timeout(at)) => {
                    self.timeout = at;
                    return (!rtc.is_alive()).then_some(Gone::Closed);
                }
                Ok(Output::Transmit(transmit)) => {
                    let contents = Vec::from(transmit.contents);
                    if contents.first().is_some_and(|&first_byte| first_byte <= 3) {
                        answer_check(&mut self.selected, check, contents, turn);
                    } else if let Some(path) = self.selected {
                        turn.out.send(path, contents);
                    }
                }
                Ok(Output::Event(event)) => match event {
                    Event::Connected => {
                        self.state = State::Connected;
                        turn.events.push(PeerEvent::Connected);
                    }
                    Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                        return Some(Gone::Vanished);
                    }
                    Event::Closed => return Some(Gone::Closed),
                    Event::RtpPacket(packet) => {
                        let position = Position {
                            source: (self.key, *packet.header.ssrc),
                            sequence: *packet.seq_no,
                            timestamp: packet.header.timestamp,
                            marker: packet.header.marker,
                        };
                        turn.events.push(PeerEvent::Packet(MediaPacket { position, payload: packet.payload }));
                    }
                    _ => {}
                },
                Err(_) => return Some(Gone::Failed),
            }
        }
    }

    fn end(&mut self, gone: Gone, events: &mut Vec<PeerEvent>) {
        self.drop_rtc();
        events.push(PeerEvent::Gone(gone));
    }

    fn drop_rtc(&mut self) {
        self.state = State::Over;
        let rtc = self.rtc.take();
        guarded(|| drop(rtc));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.drop_rtc();
    }
}

/// Whose a new session is, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    pub key: PeerKey,
    pub conn: ConnKey,
    pub purpose: Purpose,
    pub handshake_timeout: Duration,
}

/// Where a peer puts what it produces.
pub struct Turn<'a> {
    pub out: &'a mut Outbox,
    pub events: &'a mut Vec<PeerEvent>,
}

/// Returns the key of the peer that a user fragment of ours names.
pub fn key_of_ufrag(ufrag: &str) -> Option<PeerKey> {
    let digits = ufrag.get(..KEY_DIGITS)?;
    let key = u64::from_str_radix(digits, 16).ok()?;
    Some(PeerKey::from(slotmap::KeyData::from_ffi(key)))
}

/// An authenticated check is what the agent answers; this is the one that may be answered now.
#[derive(Clone, Copy)]
struct Check {
    path: Path,
    transaction_id: stun::TransactionId,
    nominates: bool,
}

/// Sends the answer back the way the check came. A lite agent sends no STUN of its own.
fn answer_check(selected: &mut Option<Path>, check: Option<Check>, contents: Vec<u8>, turn: &mut Turn<'_>) {
    let Some(check) = check else { return };
    if stun::is_success_response(&contents, &check.transaction_id) {
        if check.nominates {
            *selected = Some(check.path);
        }
        turn.events.push(PeerEvent::Answered(check.path));
    }
    turn.out.send(check.path, contents);
}

/// Returns what `call` returns, or `None` when it panicked.
fn guarded<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

/// Parses a datagram as the library wants it; the parser is guarded too.
fn guarded_receive(path: Path, candidate: SocketAddr, datagram: &[u8]) -> Result<Receive<'_>, NotParsed> {
    let parsed = guarded(|| Receive::new(path.proto, path.remote, candidate, datagram).ok());
    parsed.flatten().ok_or(NotParsed)
}

/// The library can't read a datagram.
struct NotParsed;

/// Makes ICE credentials: the peer's key and 32 random bits, and a password of 128 bits (RFC 8445 §5.3).
fn credentials(key: PeerKey, chance: &mut impl Rng) -> IceCreds {
    let key = slotmap::Key::data(&key).as_ffi();
    let ufrag = format!("{key:016x}{:08x}", chance.next_u32());
    let pass = format!("{:016x}{:016x}", chance.next_u64(), chance.next_u64());
    IceCreds { ufrag, pass }
}

fn rtc_config(purpose: Purpose, template: &Template, credentials: IceCreds) -> RtcConfig {
    let mut config = RtcConfig::new()
        .set_crypto_provider(Arc::clone(&CRYPTO))
        .set_dtls_cert(template.certificate.clone())
        .set_local_ice_credentials(credentials)
        .set_ice_lite(true)
        .set_rtp_mode(true)
        .clear_codecs()
        .clear_extension_map()
        .set_extension(1, Extension::RtpMid)
        .set_stats_interval(None)
        .set_send_buffer_audio(1);
    if purpose == Purpose::Publish {
        config = config.set_extension(2, Extension::AudioLevel);
    }
    // In-band FEC mends single losses, DTX spares a silent phone's battery (RFC 7587 §6.1).
    let use_dtx = (purpose == Purpose::Publish).then_some(true);
    let format = FormatParams { use_inband_fec: Some(true), use_dtx, ..FormatParams::default() };
    let clock = Frequency::FORTY_EIGHT_KHZ;
    config.codec_config().add_config(111.into(), None, Codec::Opus, clock, Some(2), format);
    config
}

/// Returns the audio section that was answered, and the payload type of Opus in it.
fn negotiated(rtc: &Rtc, answer: &str) -> Option<(Mid, Pt)> {
    let mid = Mid::from(answer.lines().find_map(|line| line.strip_prefix("a=mid:"))?);
    let remote = rtc.media(mid)?.remote_pts();
    let opus = rtc.codec_config().params().iter().find(|params| params.spec().codec == Codec::Opus)?;
    remote.contains(&opus.pt()).then_some((mid, opus.pt()))
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn a_user_fragment_names_its_peer_and_nothing_else_does() {
        let mut peers: SlotMap<PeerKey, ()> = SlotMap::with_key();
        let key = peers.insert(());
        let credentials = credentials(key, &mut ChaCha20Rng::from_seed([1; 32]));
        assert_eq!(key_of_ufrag(&credentials.ufrag), Some(key));
        assert_eq!((credentials.ufrag.len(), credentials.pass.len()), (24, 32));
        for (name, ufrag) in [
            ("empty", ""),
            ("short", "0123456789abcde"),
            ("no number", "0123456789abcdeX"),
            ("wide", "é123456789abcdeé"),
        ] {
            assert_eq!(key_of_ufrag(ufrag), None, "{name}");
        }
        let stranger = key_of_ufrag("ffffffffffffffff00000000").unwrap();
        assert!(!peers.contains_key(stranger));
    }
}
