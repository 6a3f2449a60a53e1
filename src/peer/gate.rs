//! Decides which datagrams of one session the WebRTC library gets to see.
//!
//! The library was built for peers that mean well: it keeps every address that a check came from, and follows a new
//! stream before it has authenticated a packet of it. Invariant: what it keeps because of strangers is bounded, and
//! nothing that strangers send uses up what a client is allowed.

use std::collections::VecDeque;
use std::time::Instant;

use super::Nomination;
use super::proofs::Proofs;
use super::track::{Claim, Track};
use crate::config::PeerLimits;
use crate::path::Path;
use crate::rate::Bucket;
use crate::wire::classify::{Classified, Meaning};
use crate::wire::rtp::{self, Media};
use crate::wire::stun;

/// How many answered checks are kept, over all paths of a session: those of a minute at least, once it is connected.
const ANSWERED_KEPT: usize = 128;

/// Why a datagram does not reach the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A check from a new address, after too many addresses.
    TooManyAddresses,
    /// A check that was answered before, from another address: somebody kept it.
    Replayed,
    /// RTP from who does not publish, of another format than what was negotiated, of another section, or of one stream more
    /// than the one that is heard.
    ForeignStream,
    /// RTP faster than allowed.
    OverRate,
    /// DTLS or RTCP faster than a connected client sends it.
    ControlOverRate,
    /// Nothing that the library can read.
    Unreadable,
    /// The answer to what was not asked there.
    Unasked,
    /// A check that the library did not answer, or an answer: it was not signed with the right password.
    UnsignedCheck,
    /// A check of a client that takes itself for the controlled side, which the other side of a lite agent can't be.
    RoleConflict,
    /// RTP that the library made nothing of: its tag is wrong, it was heard before, or it holds no audio.
    UnsignedPacket,
    /// RTCP that is not the client's, or not newer than what came of it before, or that came before there was anything to
    /// report on.
    UnsignedReport,
}

/// What was let through for one session, and what that says about the rest.
pub(super) struct Gate {
    /// All paths on which checks were answered since ICE began, and what is proven of them.
    pub(super) proofs: Proofs,
    /// The checks that were answered last, each with the place of its path in `proofs`. A client sends one again only
    /// the way it went before (RFC 8489 §6.2.1); somebody who saw it on its way may have been faster than that.
    answered: VecDeque<(stun::TransactionId, u16)>,
    /// Only what was authenticated is taken out: somebody else can send under a client's address.
    packets: Bucket,
    /// DTLS and RTCP; it does not matter whose.
    control: Bucket,
}

/// What was let through, as far as it matters what becomes of it.
#[derive(Clone, Copy)]
pub(super) enum Admitted {
    Check(Check),
    /// RTP of the stream that is followed.
    Packet,
    /// RTP of another one, of this synchronization source.
    Newcomer(u32),
    /// RTCP.
    Report,
    Dtls,
}

/// A datagram, and how it came.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub(super) datagram: &'a Classified<'a>,
    pub(super) path: Path,
    /// Whether this path has been in use for longest.
    pub(super) is_settled: bool,
    /// Whether the session is connected: until then DTLS makes it so.
    pub(super) is_connected: bool,
    /// Whether the stream that is followed has brought nothing for a while.
    pub(super) is_silent: bool,
}

/// An authenticated check is what the agent answers; this is the one that may be answered now.
#[derive(Clone, Copy)]
pub(super) struct Check {
    pub(super) path: Path,
    pub(super) transaction_id: stun::TransactionId,
    pub(super) nomination: Nomination,
    /// How long it is.
    pub(super) bytes: usize,
}

impl Gate {
    /// Returns a gate that has let nothing through.
    pub(super) fn new(now: Instant, limits: &PeerLimits) -> Gate {
        let (packets, control) = (Bucket::new(now, limits.packet_rate), Bucket::new(now, limits.control_rate));
        Gate { proofs: Proofs::default(), answered: VecDeque::new(), packets, control }
    }

    /// ICE was restarted: the agent has forgotten all paths, and answers no check of before.
    pub(super) fn on_restart(&mut self) {
        self.proofs.clear();
        self.answered.clear();
    }

    /// Lets a datagram through, or tells why not; returns what it is. Of media only what `track` may bring passes.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        arrival: Arrival<'_>,
        track: &Track,
        limits: &PeerLimits,
    ) -> Result<Admitted, Refusal> {
        match arrival.datagram.meaning {
            Meaning::Check { transaction_id, use_candidate } => {
                self.admit_check(arrival, (transaction_id, use_candidate), limits).map(Admitted::Check)
            }
            // It was asked for by nobody that the library knows of.
            Meaning::Answer { .. } => Err(Refusal::Unasked),
            Meaning::Media => self.admit_media(now, arrival, track, limits),
            Meaning::Dtls if !arrival.is_connected => Ok(Admitted::Dtls),
            Meaning::Dtls => self.admit_control(now).map(|()| Admitted::Dtls),
        }
    }

    /// The agent answered a check.
    pub(super) fn on_answered(&mut self, check: Check) {
        let place = self.proofs.on_check(check.path, check.bytes);
        let answered = (check.transaction_id, place as u16);
        if self.answered.contains(&answered) {
            return;
        }
        if self.answered.len() == ANSWERED_KEPT {
            self.answered.pop_front();
        }
        self.answered.push_back(answered);
    }

    /// A packet was authenticated.
    pub(super) fn on_packet(&mut self, now: Instant) {
        self.packets.take(now);
    }

    /// Takes the answer to a question of ours, which the library never sees: whoever got that has the client's password.
    pub(super) fn admit_answer(
        &self,
        path: Path,
        (transaction_id, bytes): (stun::TransactionId, &[u8]),
        pwd: &str,
    ) -> Result<(), Refusal> {
        match self.proofs.has_asked(path, transaction_id) {
            false => Err(Refusal::Unasked),
            true if stun::is_signed(bytes, pwd) => Ok(()),
            true => Err(Refusal::UnsignedCheck),
        }
    }

    /// Takes such an answer from a path on which no check was answered before, and knows it from now on.
    pub(super) fn admit_found(
        &mut self,
        path: Path,
        bytes: &[u8],
        pwd: &str,
        limits: &PeerLimits,
    ) -> Result<(), Refusal> {
        if !stun::is_signed(bytes, pwd) {
            return Err(Refusal::UnsignedCheck);
        }
        if self.proofs.place_of(path).is_none() && self.proofs.len() >= limits.addresses_life_max {
            return Err(Refusal::TooManyAddresses);
        }
        self.proofs.on_check(path, bytes.len());
        self.proofs.prove(path);
        Ok(())
    }

    /// The library keeps every address that a check ever came from, and a check can be replayed from anywhere.
    fn admit_check(
        &self,
        arrival: Arrival<'_>,
        (transaction_id, use_candidate): (stun::TransactionId, bool),
        limits: &PeerLimits,
    ) -> Result<Check, Refusal> {
        let Arrival { datagram, path, is_settled, .. } = arrival;
        let place = self.proofs.place_of(path);
        let is_replayed = |&(id, from): &(_, u16)| id == transaction_id && Some(usize::from(from)) != place;
        if !is_settled && self.answered.iter().any(is_replayed) {
            return Err(Refusal::Replayed);
        }
        if place.is_none() && self.proofs.len() >= limits.addresses_life_max {
            return Err(Refusal::TooManyAddresses);
        }
        // What was answered before has nominated before: kept and sent again later it must not do so twice.
        let is_repeated = self.answered.iter().any(|&(id, _)| id == transaction_id);
        let nomination = match (use_candidate, is_repeated) {
            (false, _) => Nomination::None,
            (true, true) => Nomination::Repeated,
            (true, false) => Nomination::New,
        };
        Ok(Check { path, transaction_id, nomination, bytes: datagram.bytes.len() })
    }

    /// The library follows a new stream before it has authenticated a packet of it, so a forged one would end the
    /// stream that is heard, even while its microphone is silent.
    fn admit_media(
        &mut self,
        now: Instant,
        arrival: Arrival<'_>,
        track: &Track,
        limits: &PeerLimits,
    ) -> Result<Admitted, Refusal> {
        let media = rtp::parse_media(arrival.datagram.bytes).map_err(|_| Refusal::Unreadable)?;
        let Media::Rtp { ssrc, payload_type } = media else {
            return self.admit_control(now).map(|()| Admitted::Report);
        };
        let admitted = match track.claim(ssrc, payload_type, arrival.is_silent, limits) {
            Claim::Followed => Admitted::Packet,
            Claim::Newcomer => Admitted::Newcomer(ssrc),
            Claim::Foreign => return Err(Refusal::ForeignStream),
        };
        if self.packets.has_one(now) { Ok(admitted) } else { Err(Refusal::OverRate) }
    }

    fn admit_control(&mut self, now: Instant) -> Result<(), Refusal> {
        if self.control.take(now) { Ok(()) } else { Err(Refusal::ControlOverRate) }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use std::net::SocketAddr;

    use str0m::media::{Mid, Pt};
    use str0m::net::Protocol;

    use super::*;
    use crate::config::STREAMS_LEFT_MAX;
    use crate::peer::track::{Content, Sending};
    use crate::wire::classify;
    use crate::wire::media::MediaKind;

    fn path(port: u16) -> Path {
        let [remote, local] = [port, 8080].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        Path { proto: Protocol::Udp, remote, local }
    }

    fn check(transaction: u8) -> Vec<u8> {
        let mut check = vec![0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42];
        check.extend([transaction; 12]);
        check.extend([0, 6, 0, 3, b'a', b':', b'b', 0]);
        check
    }

    fn rtp(ssrc: u8) -> Vec<u8> {
        vec![0x80, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, ssrc]
    }

    fn negotiated() -> (Mid, Pt) {
        (Mid::from("0"), Pt::from(111))
    }

    fn from_client(source: Option<u32>) -> Track {
        Track::from_client(MediaKind::Audio, negotiated(), source)
    }

    struct Session {
        gate: Gate,
        track: Track,
        limits: PeerLimits,
        now: Instant,
        /// The port of the path that has been in use for longest.
        settled: Option<u16>,
        is_connected: bool,
        is_silent: bool,
    }

    impl Session {
        /// Returns one that publishes, and whose offer named no stream.
        fn new() -> Session {
            Session::of(from_client(None))
        }

        fn of(track: Track) -> Session {
            let (limits, now) = (PeerLimits::default(), Instant::now());
            let gate = Gate::new(now, &limits);
            Session { gate, track, limits, now, settled: None, is_connected: true, is_silent: false }
        }

        fn admit(&mut self, datagram: &[u8], port: u16) -> Result<Admitted, Refusal> {
            let is_settled = self.settled == Some(port);
            let datagram = &classify::read(datagram).expect("others do not come so far");
            let Session { is_connected, is_silent, .. } = *self;
            let arrival = Arrival { datagram, path: path(port), is_settled, is_connected, is_silent };
            self.gate.admit(self.now, arrival, &self.track, &self.limits)
        }

        fn admit_check(&mut self, check: &[u8], port: u16) -> Result<Check, Refusal> {
            match self.admit(check, port)? {
                Admitted::Check(check) => Ok(check),
                Admitted::Packet | Admitted::Newcomer(_) | Admitted::Report | Admitted::Dtls => {
                    panic!("a check is a check")
                }
            }
        }

        /// Sends a check that the agent answers if it sees it.
        fn check(&mut self, transaction: u8, port: u16) -> Result<(), Refusal> {
            let check = self.admit_check(&check(transaction), port)?;
            self.gate.on_answered(check);
            Ok(())
        }

        /// Sends a packet that is authenticated if the library sees it.
        fn packet(&mut self, ssrc: u8) -> Result<(), Refusal> {
            if let Admitted::Newcomer(ssrc) = self.admit(&rtp(ssrc), 1)? {
                self.track.follow(ssrc, Content::Audio);
            }
            self.gate.on_packet(self.now);
            Ok(())
        }

        /// Sends a packet that the library will not authenticate.
        fn forged(&mut self, ssrc: u8) -> Result<(), Refusal> {
            self.admit(&rtp(ssrc), 1).map(|_| ())
        }
    }

    #[test]
    fn a_check_is_answered_again_only_the_same_way() {
        let mut session = Session::new();
        assert_eq!(session.check(1, 1000), Ok(()));
        assert_eq!(session.check(1, 1000), Ok(()), "a retransmission");
        for _ in 0..2 * ANSWERED_KEPT {
            assert_eq!(session.check(1, 1000), Ok(()), "flushes nothing");
        }
        for transaction in 2..=ANSWERED_KEPT as u8 {
            assert_eq!(session.check(transaction, 1000), Ok(()));
        }
        assert_eq!(session.check(1, 1001), Err(Refusal::Replayed));
        assert_eq!(session.check(200, 1001), Ok(()), "a new address");
        assert_eq!(session.check(200, 1000), Err(Refusal::Replayed));
        session.settled = Some(1000);
        assert_eq!(session.check(200, 1000), Ok(()), "somebody else was faster");
    }

    #[test]
    fn a_check_nominates_once() {
        let mut session = Session::new();
        let mut nominating = check(1);
        nominating[3] += 4;
        nominating.extend([0, 0x25, 0, 0]);
        for nomination in [Nomination::New, Nomination::Repeated] {
            let check = session.admit_check(&nominating, 1000).unwrap();
            assert_eq!(check.nomination, nomination);
            session.gate.on_answered(check);
        }
    }

    #[test]
    fn addresses_of_a_life_are_bounded_and_known_ones_stay() {
        let mut session = Session::new();
        let max = session.limits.addresses_life_max as u8;
        for n in 0..max {
            assert_eq!(session.check(n, 1000 + u16::from(n)), Ok(()));
        }
        assert_eq!(session.check(200, 2000), Err(Refusal::TooManyAddresses));
        assert_eq!(session.check(201, 1000), Ok(()));
        assert!(session.gate.answered.len() <= ANSWERED_KEPT);
        session.gate.on_restart();
        assert_eq!(session.check(202, 2000), Ok(()), "the agent has forgotten all paths");
        assert_eq!(session.gate.answered.len(), 1, "and the places in them");
    }

    #[test]
    fn a_session_has_one_stream_at_a_time() {
        for named in [None, Some(1), Some(2)] {
            let mut session = Session::of(from_client(named));
            assert_eq!(session.forged(1), Ok(()), "this proves nothing");
            assert_eq!(session.packet(2), Ok(()), "whatever was said, and whatever strangers sent");
            assert_eq!(session.track.brings(), Some(2));
            assert_eq!(session.packet(1), Ok(()), "it goes on under another name");
            assert_eq!(session.track.brings(), Some(1));
            assert_eq!(session.packet(2), Err(Refusal::ForeignStream), "two at once");
            assert_eq!(session.packet(1), Ok(()));
            session.is_silent = true;
            assert_eq!(session.packet(2), Ok(()), "there and back");
        }
        let (kind, cname) = (MediaKind::Audio, "x".to_owned());
        let sending = Sending { kind, ssrc: 1, payload_type: 111, mid: None, cname, chance: 0 };
        let hears = Track::to_client(negotiated().0, sending);
        assert_eq!(Session::of(hears).packet(1), Err(Refusal::ForeignStream));
    }

    #[test]
    fn a_stream_that_began_without_audio_is_followed_when_it_has_some() {
        let mut session = Session::new();
        session.track.follow(1, Content::Nothing);
        assert_eq!(session.packet(1), Ok(()), "nothing else is followed");
        session.track.follow(2, Content::Nothing);
        assert_eq!(session.packet(1), Ok(()));
        assert_eq!(session.packet(2), Ok(()), "it was not left, but never heard");
        assert_eq!(session.packet(1), Err(Refusal::ForeignStream));
    }

    #[test]
    fn a_stream_that_was_left_long_ago_does_not_come_again() {
        let mut session = Session::new();
        (1..=2 + STREAMS_LEFT_MAX as u8).for_each(|ssrc| assert_eq!(session.packet(ssrc), Ok(())));
        session.is_silent = true;
        assert_eq!(session.packet(1), Err(Refusal::ForeignStream));
        assert_eq!(session.packet(2), Ok(()));
        assert_eq!(session.packet(3), Ok(()));
    }

    #[test]
    fn a_stream_is_one_of_audio_of_the_negotiated_format() {
        let mut session = Session::new();
        let of_type = |payload_type: u8, ssrc: u8| [&[0x80, payload_type], &rtp(ssrc)[2..]].concat();
        for (name, payload_type) in [("comfort noise", 13), ("events", 126), ("redundant", 63), ("video", 96)] {
            let refused = session.admit(&of_type(payload_type, 1), 1).err();
            assert_eq!(refused, Some(Refusal::ForeignStream), "{name}");
        }
        assert!(session.admit(&of_type(0x80 | 111, 1), 1).is_ok(), "with the marker");
        assert_eq!(session.packet(0), Err(Refusal::ForeignStream), "a probe of the network");
        assert_eq!(
            session.track.follow(1, Content::Nothing).map(|following| following.ssrc),
            None,
            "padding alone"
        );
        assert_eq!(session.track.brings(), None);
        assert_eq!(session.packet(2), Ok(()));
    }

    #[test]
    fn streams_of_a_life_are_bounded_and_the_last_one_goes_on() {
        let mut session = Session::new();
        let max = session.limits.streams_life_max as u8;
        for ssrc in 1..=max {
            assert_eq!(session.packet(ssrc), Ok(()));
        }
        assert_eq!(session.packet(200), Err(Refusal::ForeignStream));
        session.is_silent = true;
        assert_eq!(session.packet(200), Err(Refusal::ForeignStream));
        assert_eq!(session.packet(max), Ok(()));
        assert_eq!(session.packet(max - 1), Ok(()), "one that was there before");
    }

    #[test]
    fn what_is_not_authenticated_uses_nothing_up() {
        let mut session = Session::new();
        assert!((0..10_000).all(|_| session.forged(1).is_ok()));
        assert_eq!(session.packet(1), Ok(()));
    }

    #[test]
    fn packets_have_a_rate_and_reports_pass() {
        let mut session = Session::new();
        let passed = (0..10_000).filter(|_| session.packet(1).is_ok()).count();
        assert_eq!(passed, session.limits.packet_rate.burst as usize);
        assert_eq!(session.packet(1), Err(Refusal::OverRate));
        let report = [0x80, 201, 0, 1, 0, 0, 0, 2];
        assert!(session.admit(&report, 1).is_ok());
        assert_eq!(session.admit(&[0x80, 111], 1).err(), Some(Refusal::Unreadable), "half a header");
    }

    #[test]
    fn reports_and_alerts_have_a_rate_of_their_own_and_handshakes_none() {
        let mut session = Session::new();
        let burst = session.limits.control_rate.burst as usize;
        let (report, alert) = ([0x80, 201, 0, 1, 0, 0, 0, 2], [21, 254, 253]);
        session.is_connected = false;
        assert!((0..10_000).all(|_| session.admit(&alert, 1).is_ok()));
        session.is_connected = true;
        let passed = (0..10_000).filter(|_| session.admit(&report, 1).is_ok()).count();
        assert_eq!(passed, burst);
        assert_eq!(session.admit(&alert, 1).err(), Some(Refusal::ControlOverRate));
        assert_eq!(session.packet(1), Ok(()));
    }
}
