//! The path of datagrams: from the socket to a peer, and from a publisher's peer to its listeners'.
//!
//! Invariant: an established stream never waits for a session that is still being made; those queue up and are
//! served last, so many in a turn.

use std::net::SocketAddr;
use std::time::Instant;

use log::{debug, info, trace};
use str0m::net::Protocol;

use super::peers::Unconnected;
use super::{Server, Timer};
use crate::arrivals::Arrival;
use crate::keys::{Client, PeerKey, Sink};
use crate::outbox::Outbox;
use crate::path::Path;
use crate::peer::{
    Gone, MediaPacket, Nomination, OfferError, PeerEvent, PeerRole, Position, Received, Refusal, Turn, Wanted,
};
use crate::stats::Stats;
use crate::wire::classify::{Classified, DatagramError, Meaning};
use crate::wire::rtp::{self, Media};
use crate::words::StopCause;

impl Server {
    /// Takes a datagram that came over UDP or TCP, as it was read.
    pub(super) fn take_datagram(
        &mut self,
        now: Instant,
        path: Path,
        read: Result<Classified<'_>, DatagramError>,
        out: &mut Outbox,
    ) {
        let datagram = match read {
            Ok(datagram) => datagram,
            Err(error) => return count_unread(&mut self.stats, error),
        };
        let owner = self.peers.owner(path.client());
        let key = match (datagram.ufrag, datagram.meaning) {
            (Some(ufrag), _) => self.peers.named(ufrag),
            (None, Meaning::Answer { .. }) => owner.or_else(|| self.peers.asked_for(path.client())),
            (None, _) => owner,
        };
        let Some((key, peer)) = key.and_then(|key| Some((key, self.peers.get(key)?))) else {
            return self.on_unknown(now, path, &datagram, out);
        };
        if owner == Some(key) && peer.is_connected() {
            self.receive(now, key, path, &datagram, out);
        } else if !self.peers.enqueue(key, path, &datagram, &self.settings.limits.media) {
            self.stats.unconnected_queue_full += 1;
        }
    }

    /// A datagram is no session's. One of media may be of somebody on air who has another address now.
    fn on_unknown(&mut self, now: Instant, path: Path, datagram: &Classified<'_>, out: &mut Outbox) {
        match datagram.meaning {
            Meaning::Check { .. } => self.stats.stun_unknown_peer += 1,
            Meaning::Answer { .. } => self.stats.stun_ignored += 1,
            Meaning::Dtls => self.stats.datagrams_unknown_address += 1,
            Meaning::Media => {
                self.stats.datagrams_unknown_address += 1;
                if let Ok(Media::Rtp { ssrc, .. }) = rtp::parse_media(datagram.bytes) {
                    let came = (path, datagram.bytes.len(), ssrc);
                    let limits = (&self.settings.limits.peer, &self.settings.limits.media);
                    let has_asked = self.peers.seek(now, came, limits, &mut self.chance, out);
                    self.stats.addresses_sought += u64::from(has_asked);
                }
            }
        }
    }

    /// Serves what waited for streams that run already, so many in a turn.
    pub(super) fn serve_unconnected(&mut self, now: Instant, out: &mut Outbox) {
        for _ in 0..self.settings.limits.media.unconnected_per_turn {
            let Some(Unconnected { peer, path, meaning, bytes }) = self.peers.dequeue() else { return };
            self.receive(now, peer, path, &Classified { bytes: &bytes, meaning, ufrag: None }, out);
        }
    }

    /// Makes a session for an offer; returns it and the answer.
    pub(super) fn open_peer(
        &mut self,
        now: Instant,
        (role, client): (PeerRole, Client),
        offer: &str,
    ) -> Result<(PeerKey, String), OfferError> {
        self.is_unchecked = true;
        let opened = self.peers.insert(now, &self.settings.limits.peer, (role, client), offer, &mut self.chance);
        let (key, answer) = opened.inspect_err(|&error| {
            debug!(target: "webrtc", "offer refused role={role:?} client={client:?} error={error}");
            count_refused(&mut self.stats, error);
        })?;
        self.arm_peer(key);
        Ok((key, answer))
    }

    /// Restarts ICE of a session; returns the answer, or `None` where there is no such session.
    pub(super) fn restart_peer(
        &mut self,
        now: Instant,
        key: PeerKey,
        wanted: Wanted<'_>,
        out: &mut Outbox,
    ) -> Option<Result<String, OfferError>> {
        self.is_unchecked = true;
        let mut events = Vec::new();
        let mut turn = Turn { limits: &self.settings.limits.peer, out, events: &mut events };
        let restarted = self.peers.restart_ice(now, key, wanted, &mut self.chance, &mut turn)?;
        match &restarted {
            Ok(_) => info!(target: "webrtc", "ice restarted peer={key:?}"),
            &Err(error) => {
                debug!(target: "webrtc", "ice restart refused peer={key:?} error={error}");
                count_refused(&mut self.stats, error);
            }
        }
        self.on_peer_events(now, key, &mut events, out);
        Some(restarted)
    }

    /// Tells whether there is room for another session that takes so many places, with this offer.
    pub(super) fn has_room_for_peer(&mut self, places: usize, offer: &str) -> bool {
        let has_room = self.peers.has_room(places, offer, &self.settings.limits.media);
        if !has_room {
            self.stats.peers_refused += 1;
        }
        has_room
    }

    /// Ends a session from our side.
    pub(super) fn close_peer(&mut self, now: Instant, key: PeerKey, out: &mut Outbox) {
        self.peers.say_goodbye((now, self.clock.unix(now)), key, out);
        let mut events = Vec::new();
        if let Some(peer) = self.peers.get_mut(key) {
            peer.close(now, &mut Turn { limits: &self.settings.limits.peer, out, events: &mut events });
        }
        self.forget_peer(now, key, out);
    }

    pub(super) fn on_peer_deadline(&mut self, now: Instant, key: PeerKey, out: &mut Outbox) {
        let mut events = std::mem::take(&mut self.events);
        if let Some(peer) = self.peers.get_mut(key) {
            peer.on_deadline(now, &mut Turn { limits: &self.settings.limits.peer, out, events: &mut events });
        }
        self.on_peer_events(now, key, &mut events, out);
        self.events = events;
    }

    fn receive(&mut self, now: Instant, key: PeerKey, path: Path, datagram: &Classified<'_>, out: &mut Outbox) {
        let Some(candidate) = self.candidate_of(path.local) else { return };
        let mut events = std::mem::take(&mut self.events);
        if let Some(peer) = self.peers.get_mut(key) {
            let mut turn = Turn { limits: &self.settings.limits.peer, out, events: &mut events };
            let received = peer.receive(now, path, candidate, datagram, &mut turn);
            // What else would close the conn of a client that checks no more.
            let keeps_conn = path.proto == Protocol::Tcp && peer.may_stop_checking() && peer.is_connected();
            let received = received.and_then(|received| match received {
                Received::Taken => Ok(()),
                Received::Report { is_settled } => self.on_report(now, key, is_settled, datagram.bytes),
            });
            match received {
                Ok(()) if keeps_conn => {
                    self.on_framed_checked(now, path);
                }
                Ok(()) => {}
                Err(Refusal::UnsignedReport) => self.stats.reports_unsigned += 1,
                Err(Refusal::TooManyAddresses) => self.stats.addresses_refused += 1,
                Err(Refusal::Replayed) => self.stats.stun_replayed += 1,
                Err(Refusal::ForeignStream) => self.stats.packets_foreign += 1,
                Err(Refusal::OverRate) => self.stats.packets_over_rate += 1,
                Err(Refusal::ControlOverRate) => self.stats.control_over_rate += 1,
                Err(Refusal::Unreadable) => self.stats.datagrams_malformed += 1,
                Err(Refusal::Unasked) => self.stats.stun_unasked += 1,
                Err(Refusal::UnsignedCheck) => self.stats.stun_unsigned += 1,
                Err(Refusal::RoleConflict) => self.stats.stun_conflicts += 1,
                Err(Refusal::UnsignedPacket) => self.stats.packets_unsigned += 1,
            }
        }
        self.on_peer_events(now, key, &mut events, out);
        self.events = events;
    }

    /// A report came on what a session is sent, on the path that it settled on or on another one.
    fn on_report(&mut self, now: Instant, key: PeerKey, is_settled: bool, report: &[u8]) -> Result<(), Refusal> {
        if !self.peers.hear_report(self.clock.unix(now), key, report) {
            return Err(Refusal::UnsignedReport);
        }
        if let Some(peer) = self.peers.get_mut(key).filter(|_| is_settled) {
            peer.on_heard(now);
        }
        Ok(())
    }

    /// Returns the advertised address that stands for the one a datagram was received at: a lite agent discards
    /// checks to any other.
    fn candidate_of(&self, local: SocketAddr) -> Option<SocketAddr> {
        let advertised = &self.settings.advertised;
        let same_family = |address: &&SocketAddr| address.is_ipv4() == local.is_ipv4();
        advertised
            .iter()
            .find(|&&address| address == local)
            .or_else(|| advertised.iter().find(same_family))
            .copied()
    }

    fn on_peer_events(&mut self, now: Instant, key: PeerKey, events: &mut Vec<PeerEvent>, out: &mut Outbox) {
        self.arm_peer(key);
        for event in events.drain(..) {
            match event {
                PeerEvent::Answered { path, nomination } => self.on_answered(now, key, path, nomination, out),
                PeerEvent::Connected => {
                    self.peers.connect(key);
                    info!(target: "webrtc", "connected peer={key:?}");
                }
                PeerEvent::Follows { before, ssrc } => self.on_followed(now, key, (before, ssrc), out),
                PeerEvent::Packet(packet) => self.forward(now, key, &packet, out),
                PeerEvent::Gone(gone) => self.on_peer_gone(now, key, gone, out),
            }
        }
    }

    /// An authenticated check came from this address: it is the peer's, unless another one is using it.
    fn on_answered(&mut self, now: Instant, key: PeerKey, path: Path, nomination: Nomination, out: &mut Outbox) {
        self.is_unchecked = true;
        let remote = path.client();
        let owner = self.peers.owner(remote).filter(|&owner| owner != key);
        if owner.and_then(|owner| self.peers.get(owner)).is_some_and(|owner| owner.uses(now, remote)) {
            self.stats.address_conflicts += 1;
            return;
        }
        if path.proto == Protocol::Tcp && !self.on_framed_checked(now, path) {
            return;
        }
        if let Some(forgotten) = self.peers.claim(remote, key) {
            self.stats.addresses_forgotten += 1;
            self.leave_framed(now, key, forgotten, out);
        }
        if let Some(peer) = self.peers.get_mut(key) {
            peer.confirm_path(now, path, nomination, &mut self.chance, out);
        }
    }

    /// A publisher goes on with another stream than it said, or than was heard.
    fn on_followed(&mut self, now: Instant, peer: PeerKey, (before, ssrc): (Option<u32>, u32), out: &mut Outbox) {
        self.stats.streams_changed += u64::from(before.is_some());
        let Some(PeerRole::Publish(key)) = self.peers.get(peer).map(|peer| peer.role()) else { return };
        let Some(broadcast) = self.broadcasts.get_mut(key) else { return };
        let changes = broadcast.follow(peer, before, ssrc);
        if !changes.is_empty() {
            self.carry_out(now, key, changes, out);
        }
    }

    /// Sends a publisher's packet to all who hear it.
    fn forward(&mut self, now: Instant, publisher: PeerKey, packet: &MediaPacket, out: &mut Outbox) {
        self.stats.packets_received += 1;
        let Some(PeerRole::Publish(key)) = self.peers.get(publisher).map(|peer| peer.role()) else { return };
        let unix_ms = self.unix_ms(now);
        let Some(broadcast) = self.broadcasts.get_mut(key).filter(|b| b.publisher() == Some(publisher)) else {
            return;
        };
        let Position { source, sequence, timestamp, .. } = packet.position;
        self.peers.follow(publisher, source.1);
        let arrival = Arrival { kind: packet.kind, source, sequence, timestamp, bytes: packet.payload.len() };
        let changes = broadcast.hear(now, unix_ms, arrival);
        let limits = &self.settings.limits.broadcast;
        let begins_to_speak = packet.level.is_some_and(|level| broadcast.hear_level(now, level, limits));
        if begins_to_speak {
            self.on_speech(now, key);
        }
        if !changes.is_empty() {
            self.carry_out(now, key, changes, out);
        }
        let Some(broadcast) = self.broadcasts.get(key) else { return };
        trace!(target: "audio", "packet bytes={}", packet.payload.len());
        let time = (now, self.clock.unix(now));
        for Sink::Peer(key) in broadcast.forwarding() {
            if self.peers.forward(time, key, packet, out) {
                self.stats.packets_forwarded += 1;
            } else {
                self.stats.packets_withheld += 1;
            }
        }
    }

    fn on_peer_gone(&mut self, now: Instant, key: PeerKey, gone: Gone, out: &mut Outbox) {
        info!(target: "webrtc", "session over peer={key:?} why={gone:?}");
        match gone {
            Gone::Failed => self.stats.peers_failed += 1,
            Gone::Unfinished => self.stats.peers_unfinished += 1,
            Gone::Vanished | Gone::Closed => {}
        }
        let Some(peer) = self.peers.get(key) else { return };
        let (role, client) = (peer.role(), peer.client());
        let made_for = self.broadcast_of_program(client);
        self.forget_peer(now, key, out);
        match (role, client) {
            (PeerRole::Publish(broadcast), Client::Page(_)) => {
                self.on_publisher_gone(now, broadcast, key, gone, out);
            }
            (PeerRole::Publish(broadcast), Client::Program(_)) => {
                self.on_encoder_gone(now, broadcast, key, gone, out);
            }
            (PeerRole::Listen, Client::Page(conn)) => self.on_audio_gone(now, conn, key, out),
            (PeerRole::Listen, Client::Program(resource)) => {
                if let Some(broadcast) = made_for {
                    self.leave(now, broadcast, Client::Program(resource), Some(StopCause::ConnectionLost), out);
                }
            }
            (PeerRole::Test, Client::Page(conn)) => self.on_test_gone(conn, key),
            (PeerRole::Test, Client::Program(_)) => {}
        }
    }

    fn forget_peer(&mut self, now: Instant, key: PeerKey, out: &mut Outbox) {
        self.is_unchecked = true;
        let Some((peer, addresses)) = self.peers.remove(key) else { return };
        if let Client::Program(resource) = peer.client() {
            self.retire(now, resource);
        }
        self.deadlines.cancel(Timer::Peer(key));
        for remote in addresses {
            self.close_framed(now, remote, out);
        }
    }

    fn arm_peer(&mut self, key: PeerKey) {
        if let Some(at) = self.peers.get_mut(key).and_then(|peer| peer.take_deadline()) {
            self.deadlines.arm(Timer::Peer(key), at);
        }
    }
}

fn count_unread(stats: &mut Stats, error: DatagramError) {
    match error {
        DatagramError::TooLong { .. } => stats.datagrams_too_long += 1,
        DatagramError::Empty | DatagramError::UnknownKind { .. } => stats.datagrams_malformed += 1,
        DatagramError::NoCheck(_) => stats.stun_ignored += 1,
    }
}

fn count_refused(stats: &mut Stats, error: OfferError) {
    match error {
        OfferError::TooLong { .. } => stats.offers_too_long += 1,
        OfferError::Sdp(_) | OfferError::NotAcceptable | OfferError::NotRestart => stats.offers_refused += 1,
    }
}
