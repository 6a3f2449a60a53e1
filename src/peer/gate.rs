//! Decides which datagrams of one session the WebRTC library gets to see.
//!
//! The library was built for peers that mean well: it keeps every address that a check came from, and follows a new
//! stream before it has authenticated a packet of it. Invariant: what it keeps because of strangers is bounded.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Purpose;
use crate::config::Limits;
use crate::outbox::Path;
use crate::rate::Bucket;
use crate::wire::classify::{self, Kind};
use crate::wire::rtp::{self, Media};
use crate::wire::stun;

/// A stream that was silent for so long may be replaced by another of the same client. Longer than DTX is silent.
const STREAM_SILENCE: Duration = Duration::from_secs(1);

/// How many answered checks are kept, over all paths of a session: those of some seconds at least.
const ANSWERED_KEPT: usize = 32;

/// Why a datagram does not reach the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A check from a new address, after too many addresses.
    TooManyAddresses,
    /// A check that was answered before, from another address: somebody kept it.
    Replayed,
    /// RTP from a listener, or of another stream than the one that is heard.
    ForeignStream,
    /// RTP faster than allowed.
    OverRate,
    /// Nothing that the library can read.
    Unreadable,
}

/// What was let through for one session, and what that says about the rest.
pub(super) struct Gate {
    purpose: Purpose,
    /// All paths on which checks were answered since ICE began.
    paths: Vec<Path>,
    /// The checks that were answered last. A client sends one again only the way it went before (RFC 8489 §6.2.1).
    answered: VecDeque<(stun::TransactionId, Path)>,
    /// The one stream that is heard, once a packet of it was authenticated, and when that was the last time.
    stream: Option<(u32, Instant)>,
    packets: Bucket,
}

/// An authenticated check is what the agent answers; this is the one that may be answered now.
#[derive(Clone, Copy)]
pub(super) struct Check {
    pub(super) path: Path,
    pub(super) transaction_id: stun::TransactionId,
    pub(super) nominates: bool,
}

impl Gate {
    pub(super) fn new(now: Instant, purpose: Purpose, limits: &Limits) -> Gate {
        let packets = Bucket::new(now, limits.packet_rate);
        Gate { purpose, paths: Vec::new(), answered: VecDeque::new(), stream: None, packets }
    }

    /// ICE was restarted: the agent has forgotten all paths.
    pub(super) fn on_restart(&mut self) {
        self.paths.clear();
    }

    /// Lets a datagram through, or tells why not; returns the check that it is.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
        limits: &Limits,
    ) -> Result<Option<Check>, Refusal> {
        match classify::classify(datagram) {
            Ok(Kind::Stun) => self.admit_check(path, datagram, limits),
            Ok(Kind::Media) => self.admit_media(now, datagram).map(|()| None),
            Ok(Kind::Dtls) => Ok(None),
            Err(_) => Err(Refusal::Unreadable),
        }
    }

    /// The agent answered a check.
    pub(super) fn on_answered(&mut self, check: Check) {
        if !self.paths.contains(&check.path) {
            self.paths.push(check.path);
        }
        if self.answered.contains(&(check.transaction_id, check.path)) {
            return;
        }
        if self.answered.len() == ANSWERED_KEPT {
            self.answered.pop_front();
        }
        self.answered.push_back((check.transaction_id, check.path));
    }

    /// A packet of this stream was authenticated.
    pub(super) fn on_packet(&mut self, now: Instant, ssrc: u32) {
        self.stream = Some((ssrc, now));
    }

    /// The library keeps every address that a check ever came from, and a check can be replayed from anywhere.
    fn admit_check(&self, path: Path, datagram: &[u8], limits: &Limits) -> Result<Option<Check>, Refusal> {
        let check = stun::parse_binding_request(datagram).map_err(|_| Refusal::Unreadable)?;
        let is_replayed = |&(id, from): &(_, _)| id == check.transaction_id && from != path;
        if self.answered.iter().any(is_replayed) {
            return Err(Refusal::Replayed);
        }
        if !self.paths.contains(&path) && self.paths.len() >= limits.addresses_per_peer_life_max {
            return Err(Refusal::TooManyAddresses);
        }
        // What was answered before has nominated before: kept and sent again later it must not do so twice.
        let is_repeated = self.answered.iter().any(|&(id, _)| id == check.transaction_id);
        let nominates = check.use_candidate && !is_repeated;
        Ok(Some(Check { path, transaction_id: check.transaction_id, nominates }))
    }

    /// The library follows a new stream before it has authenticated a packet of it, so a forged one would end the
    /// stream that is heard. A client that changes its stream falls silent for a moment first.
    fn admit_media(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Refusal> {
        let Media::Rtp { ssrc } = rtp::parse_media(datagram).map_err(|_| Refusal::Unreadable)? else {
            return Ok(());
        };
        let is_foreign = self.stream.is_some_and(|(heard, at)| heard != ssrc && at + STREAM_SILENCE > now);
        if matches!(self.purpose, Purpose::Listen(_)) || is_foreign {
            return Err(Refusal::ForeignStream);
        }
        if self.packets.take(now) { Ok(()) } else { Err(Refusal::OverRate) }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use std::net::SocketAddr;

    use str0m::net::Protocol;

    use super::*;
    use crate::keys::{BroadcastKey, ConnKey};

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

    struct Session {
        gate: Gate,
        limits: Limits,
        now: Instant,
    }

    impl Session {
        fn new(purpose: Purpose) -> Session {
            let (limits, now) = (Limits::default(), Instant::now());
            Session { gate: Gate::new(now, purpose, &limits), limits, now }
        }

        /// Sends a check that the agent answers if it sees it.
        fn check(&mut self, transaction: u8, port: u16) -> Result<(), Refusal> {
            let check = self.gate.admit(self.now, path(port), &check(transaction), &self.limits)?;
            self.gate.on_answered(check.unwrap());
            Ok(())
        }

        /// Sends a packet that is authenticated if the library sees it.
        fn packet(&mut self, ssrc: u8) -> Result<(), Refusal> {
            self.gate.admit(self.now, path(1), &rtp(ssrc), &self.limits)?;
            self.gate.on_packet(self.now, u32::from(ssrc));
            Ok(())
        }
    }

    #[test]
    fn a_check_is_answered_again_only_the_same_way() {
        let mut session = Session::new(Purpose::Publish(BroadcastKey::default()));
        assert_eq!(session.check(1, 1000), Ok(()));
        assert_eq!(session.check(1, 1000), Ok(()), "a retransmission");
        for _ in 0..2 * ANSWERED_KEPT {
            assert_eq!(session.check(1, 1000), Ok(()), "flushes nothing");
        }
        assert_eq!(session.check(1, 1001), Err(Refusal::Replayed));
        assert_eq!(session.check(2, 1001), Ok(()), "a new address");
    }

    #[test]
    fn a_check_nominates_once() {
        let mut session = Session::new(Purpose::Publish(BroadcastKey::default()));
        let mut nominating = check(1);
        nominating[3] += 4;
        nominating.extend([0, 0x25, 0, 0]);
        for nominates in [true, false] {
            let check = session.gate.admit(session.now, path(1000), &nominating, &session.limits).unwrap().unwrap();
            assert_eq!(check.nominates, nominates);
            session.gate.on_answered(check);
        }
    }

    #[test]
    fn addresses_of_a_life_are_bounded_and_known_ones_stay() {
        let mut session = Session::new(Purpose::Publish(BroadcastKey::default()));
        let max = session.limits.addresses_per_peer_life_max as u8;
        for n in 0..max {
            assert_eq!(session.check(n, 1000 + u16::from(n)), Ok(()));
        }
        assert_eq!(session.check(200, 2000), Err(Refusal::TooManyAddresses));
        assert_eq!(session.check(201, 1000), Ok(()));
        assert!(session.gate.answered.len() <= ANSWERED_KEPT);
        session.gate.on_restart();
        assert_eq!(session.check(202, 2000), Ok(()), "the agent has forgotten all paths");
    }

    #[test]
    fn another_stream_waits_for_silence() {
        let mut session = Session::new(Purpose::Publish(BroadcastKey::default()));
        assert_eq!(session.packet(1), Ok(()));
        session.now += STREAM_SILENCE - Duration::from_millis(1);
        assert_eq!(session.packet(2), Err(Refusal::ForeignStream));
        session.now += Duration::from_millis(1);
        assert_eq!(session.packet(2), Ok(()));
        assert_eq!(session.packet(1), Err(Refusal::ForeignStream));
        assert_eq!(Session::new(Purpose::Listen(ConnKey::default())).packet(1), Err(Refusal::ForeignStream));
    }

    #[test]
    fn packets_have_a_rate_and_reports_pass() {
        let mut session = Session::new(Purpose::Publish(BroadcastKey::default()));
        let passed = (0..10_000).filter(|_| session.packet(1).is_ok()).count();
        assert_eq!(passed, session.limits.packet_rate.burst as usize);
        assert_eq!(session.packet(1), Err(Refusal::OverRate));
        let report = [0x80, 201, 0, 1, 0, 0, 0, 2];
        assert!(session.gate.admit(session.now, path(1), &report, &session.limits).is_ok());
        assert_eq!(
            session.gate.admit(session.now, path(1), &[255], &session.limits).err(),
            Some(Refusal::Unreadable)
        );
    }
}
