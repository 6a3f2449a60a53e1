//! Answers an offer: from a client's SDP to a session that waits for its first check.
//!
//! Invariant: what the library is given was narrowed first, and all credentials are ours.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use log::debug;
use rand_core::Rng;
use str0m::change::SdpOffer;
use str0m::config::DtlsCert;
use str0m::format::{Codec, FormatParams};
use str0m::media::{Frequency, Mid, Pt};
use str0m::net::TcpType;
use str0m::rtp::Extension;
use str0m::{Candidate, IceCreds, Rtc, RtcConfig};

use super::crypto::KeySlot;
use super::track::{Sending, Track};
use super::{Terms, crypto, guarded};
use crate::config::PeerLimits;
use crate::keys::PeerKey;
use crate::wire::media::MediaKind;
use crate::wire::sdp::{self, Direction};

/// Hexadecimal digits of a peer's key in its user fragment.
const KEY_DIGITS: usize = 16;

/// Why an offer got no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    #[error("{bytes} bytes, more than {bytes_max}")]
    TooLong { bytes: usize, bytes_max: usize },
    #[error("{0}")]
    Sdp(sdp::Refused),
    #[error("the offer can't be read or answered")]
    NotAcceptable,
    #[error("the offer restarts nothing: it has another certificate, or the same ICE credentials")]
    NotRestart,
}

impl From<sdp::Refused> for OfferError {
    fn from(refused: sdp::Refused) -> OfferError {
        OfferError::Sdp(refused)
    }
}

impl OfferError {
    /// Returns the reason for whoever made `offer`, with what it is about.
    pub fn in_words(&self, offer: &str) -> String {
        match self {
            OfferError::Sdp(refused) => refused.in_words(offer),
            OfferError::TooLong { .. } | OfferError::NotAcceptable | OfferError::NotRestart => self.to_string(),
        }
    }
}

/// What all sessions of a server share.
pub struct Template {
    certificate: DtlsCert,
    candidates: Vec<Candidate>,
}

impl Template {
    /// Returns a template that offers `advertised` as candidates, over UDP and then over TCP.
    pub fn new(advertised: &[SocketAddr]) -> Template {
        let checked = "Config::check refused unusable addresses";
        let udp = advertised.iter().map(|&address| Candidate::builder().udp().host(address).build());
        let tcp = advertised
            .iter()
            .map(|&address| Candidate::builder().tcp().host(address).tcptype(TcpType::Passive).build());
        // Some clients know the first candidate only, and no TCP.
        let candidates = udp.chain(tcp).map(|candidate| candidate.expect(checked)).collect();
        Template { certificate: crypto::certificate(), candidates }
    }
}

/// A session that was made for an offer.
pub(super) struct Answered {
    pub(super) rtc: Box<Rtc>,
    /// The offer as it was accepted, and the answer's SDP.
    pub(super) offer: String,
    pub(super) answer: String,
    /// The session's user fragment.
    pub(super) ufrag: String,
    pub(super) track: Track,
    /// Where its keys will be left, where it sends: the library has them where it receives.
    pub(super) keys: Option<KeySlot>,
}

/// Makes a session for an offer.
pub(super) fn accept(
    template: &Template,
    now: Instant,
    limits: &PeerLimits,
    (key, terms): (PeerKey, &Terms),
    offer: &str,
    chance: &mut impl Rng,
) -> Result<Answered, OfferError> {
    let whole = offer;
    let offer = narrow(offer, limits, terms.direction)?;
    let credentials = credentials(key, chance);
    let ufrag = credentials.ufrag.clone();
    let accepted = guarded(|| {
        let mut rtc = Box::new(rtc_config(terms, template, credentials).build(now));
        let keys = KeySlot::of_newest_session();
        for candidate in &template.candidates {
            rtc.add_local_candidate(candidate.clone());
        }
        let refused = |error: &dyn std::fmt::Display| debug!(target: "webrtc", "offer refused error={error}");
        let given = if terms.publishes() { &offer } else { &sdp::without_stream(&offer) };
        let parsed = SdpOffer::from_sdp_string(given).inspect_err(|error| refused(error)).ok()?;
        let answer = rtc.sdp_api().accept_offer(parsed).inspect_err(|error| refused(error)).ok()?;
        let answer = answer.to_sdp_string();
        let negotiated = negotiated(&rtc, &answer)?;
        Some(match terms.direction {
            Direction::SendOnly => {
                let track = Track::from_client(MediaKind::Audio, negotiated, sdp::only_source(whole));
                (rtc, answer, track, None)
            }
            Direction::RecvOnly => {
                let sending = sending(&rtc, negotiated, chance)?;
                let answer = sdp::with_stream(&answer, sending.ssrc, &sending.cname);
                (rtc, answer, Track::to_client(negotiated.0, sending), keys)
            }
        })
    });
    let (rtc, answer, track, keys) = accepted.flatten().ok_or(OfferError::NotAcceptable)?;
    let answer = sdp::with_rejected(whole, &answer);
    Ok(Answered { rtc, offer, answer, ufrag, track, keys })
}

/// Returns what is agreed upon the stream of a session that sends. The library knows of none: for it nothing flows in that
/// session, so that it neither keeps anything for a stream nor reports on one.
fn sending(rtc: &Rtc, (mid, payload_type): (Mid, Pt), chance: &mut impl Rng) -> Option<Sending> {
    let media = rtc.media(mid)?;
    // Others take two bytes (RFC 8285 §4.2).
    let id = media.remote_extmap().id_of(Extension::RtpMid).filter(|id| (1..=14).contains(id));
    Some(Sending {
        kind: MediaKind::Audio,
        // Zero stands for none with some.
        ssrc: chance.next_u32().max(1),
        payload_type: *payload_type,
        mid: id.map(|id| (id, mid)),
        cname: media.cname().to_owned(),
        chance: chance.next_u64(),
    })
}

/// A restart of ICE that was found good.
pub(super) struct Restart {
    /// The offer that was accepted once, with the client's new credentials.
    pub(super) offer: String,
    credentials: IceCreds,
}

/// What a client asks with for a restart of ICE.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// A whole offer of the same session.
    Offer(&'a str),
    /// The user fragment and the password, which were found well-formed.
    Credentials(&'a str, &'a str),
}

/// Checks what asks to restart ICE (RFC 8839 §4.4.1.1): of it only the new credentials count. `accepted` is the offer
/// that the session was made for; accepting it again can't change anything else.
pub(super) fn restart(
    accepted: &str,
    wanted: Wanted<'_>,
    limits: &PeerLimits,
    (key, direction): (PeerKey, Direction),
    chance: &mut impl Rng,
) -> Result<Restart, OfferError> {
    let narrowed;
    let new = match wanted {
        Wanted::Credentials(ufrag, pwd) => Some((ufrag, pwd)),
        Wanted::Offer(offer) => {
            narrowed = narrow(offer, limits, direction)?;
            let is_same = sdp::fingerprint(accepted) == sdp::fingerprint(&narrowed);
            sdp::credentials(&narrowed).filter(|_| is_same)
        }
    };
    let (ufrag, pwd) = new.filter(|&new| sdp::credentials(accepted) != Some(new)).ok_or(OfferError::NotRestart)?;
    let offer = sdp::with_credentials(accepted, ufrag, pwd);
    Ok(Restart { offer, credentials: credentials(key, chance) })
}

/// Narrows an offer, which is kept as long as its session, and bounds what is left of it.
fn narrow(offer: &str, limits: &PeerLimits, direction: Direction) -> Result<String, OfferError> {
    let narrowed = sdp::narrow_offer(offer, direction)?;
    let (bytes, bytes_max) = (narrowed.len(), limits.offer_bytes_max);
    if bytes > bytes_max {
        return Err(OfferError::TooLong { bytes, bytes_max });
    }
    Ok(narrowed)
}

impl Restart {
    /// Restarts ICE; returns our new user fragment and the answer's SDP, or `None` where the library refused. Where the
    /// session sends, `sent` is the synchronization source of its stream and its sender's name, which stay.
    pub(super) fn apply(&self, rtc: &mut Rtc, sent: Option<(u32, &str)>) -> Option<(String, String)> {
        let given = if sent.is_none() { &self.offer } else { &sdp::without_stream(&self.offer) };
        let offer = SdpOffer::from_sdp_string(given).ok()?;
        let answer = rtc.sdp_api().accept_offer(offer).ok()?.to_sdp_string();
        let answer = match sent {
            Some((ssrc, cname)) => sdp::with_stream(&answer, ssrc, cname),
            None => answer,
        };
        // The library has chosen credentials by itself, which anybody might guess.
        let IceCreds { ufrag, pass } = self.credentials.clone();
        rtc.direct_api().set_local_ice_credentials(self.credentials.clone());
        Some((ufrag.clone(), sdp::with_credentials(&answer, &ufrag, &pass)))
    }
}

/// Returns the key of the peer that a user fragment of ours names.
pub fn key_of_ufrag(ufrag: &str) -> Option<PeerKey> {
    let digits = ufrag.get(..KEY_DIGITS)?;
    let key = u64::from_str_radix(digits, 16).ok()?;
    Some(PeerKey::from(slotmap::KeyData::from_ffi(key)))
}

/// Makes ICE credentials: the peer's key and 32 random bits, and a password of 128 bits (RFC 8445 §5.3).
fn credentials(key: PeerKey, chance: &mut impl Rng) -> IceCreds {
    let key = slotmap::Key::data(&key).as_ffi();
    let ufrag = format!("{key:016x}{:08x}", chance.next_u32());
    let pass = format!("{:016x}{:016x}", chance.next_u64(), chance.next_u64());
    IceCreds { ufrag, pass }
}

fn rtc_config(terms: &Terms, template: &Template, credentials: IceCreds) -> RtcConfig {
    let mut config = RtcConfig::new()
        .set_crypto_provider(Arc::clone(&terms.crypto))
        .set_dtls_cert(template.certificate.clone())
        .set_local_ice_credentials(credentials)
        .set_ice_lite(true)
        .set_rtp_mode(true)
        .clear_codecs()
        .clear_extension_map()
        .set_extension(1, Extension::RtpMid)
        .set_stats_interval(None)
        .set_send_buffer_audio(1);
    if terms.publishes() {
        config = config.set_extension(2, Extension::AudioLevel);
    }
    // In-band FEC mends single losses, DTX spares a silent phone's battery (RFC 7587 §6.1).
    let use_dtx = terms.publishes().then_some(true);
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
