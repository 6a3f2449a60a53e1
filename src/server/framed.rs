//! ICE-TCP: datagrams that come and go over TCP conns.
//!
//! A conn belongs to the session whose check was answered on it, as an address does, and ends with that session.
//! Invariant: `framed` names conns that speak ICE-TCP and have named a session, each by the path of its datagrams.

use std::time::Instant;

use log::debug;

use super::Server;
use crate::conn::Dropped;
use crate::keys::{ConnKey, PeerKey, Sink};
use crate::outbox::Outbox;
use crate::path::{Path, Remote};
use crate::wire::classify;

/// What a datagram asks the shell for at least when it is for many.
const FOR_MANY: usize = 64;

impl Server {
    /// Bytes came on an ICE-TCP conn: what they mean has its turn with all others, because the audio of one that comes
    /// at once, as after a stall, may be for thousands.
    pub(super) fn await_turn(&mut self, conn: ConnKey) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        if client.unread_bytes() > self.settings.limits.media.frames_unread_bytes_max {
            self.stats.frames_unread += 1;
            client.abandon();
        } else if client.enqueue_framed() {
            self.clients.push_ready(conn);
        }
    }

    /// Serves the ICE-TCP conns that sent something, so much in a turn.
    pub(super) fn serve_framed(&mut self, now: Instant, out: &mut Outbox) {
        for _ in 0..self.clients.ready_len() {
            let Some(conn) = self.clients.pop_ready() else { return };
            if self.serve_one(now, conn, out) {
                self.clients.push_ready(conn);
            }
        }
    }

    /// Serves one of them; tells whether it may have sent more.
    fn serve_one(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) -> bool {
        for _ in 0..self.settings.limits.media.frames_per_turn {
            let Some(client) = self.clients.get_mut(conn) else { return false };
            let before = out.len();
            match client.poll_datagram() {
                Ok(Some(datagram)) => self.on_framed(now, conn, &datagram, out),
                Ok(None) => return false,
                Err(error) => {
                    debug!(target: "webrtc", "ice-tcp refused conn={conn:?} error={error}");
                    self.stats.frames_malformed += 1;
                    return false;
                }
            }
            if out.len() >= before + FOR_MANY {
                break;
            }
        }
        true
    }

    /// Takes a datagram of an ICE-TCP conn.
    fn on_framed(&mut self, now: Instant, conn: ConnKey, datagram: &[u8], out: &mut Outbox) {
        let Some(path) = self.clients.get(conn).map(|client| client.ends().path()) else { return };
        let read = classify::read(datagram);
        if self.clients.framed(path.client()) != Some(conn) {
            // Who has nothing to do with any session has nothing to do here.
            let ufrag = read.ok().and_then(|datagram| datagram.ufrag);
            if ufrag.and_then(|ufrag| self.peers.named(ufrag)).is_none() {
                self.stats.frames_malformed += 1;
                if let Some(client) = self.clients.get_mut(conn) {
                    client.abandon();
                }
                return;
            }
            self.clients.name_framed(conn);
        }
        self.take_datagram(now, path, read, out);
    }

    /// A check that came over TCP is answered: its conn may stay, and is a stranger's no more. Tells whether the conn is
    /// still there.
    pub(super) fn on_framed_checked(&mut self, now: Instant, path: Path) -> bool {
        let Some(conn) = self.clients.framed(path.client()) else { return false };
        self.admit_checked(now, conn);
        if let Some(client) = self.clients.get_mut(conn) {
            client.on_checked(now, &self.settings.limits.conn);
        }
        true
    }

    /// A session has forgotten one of its addresses: if it is one of TCP, its conn is of no use any more.
    pub(super) fn leave_framed(&mut self, now: Instant, key: PeerKey, remote: Remote, out: &mut Outbox) {
        let Some(client) = self.clients.framed(remote).and_then(|conn| self.clients.get(conn)) else { return };
        if let Some(peer) = self.peers.get_mut(key) {
            peer.forget_path(client.ends().path());
        }
        self.close_framed(now, remote, out);
    }

    /// Tells whether a conn carries the media of a session, or may be about to; others of that session are spare.
    pub(super) fn carries_media(&self, now: Instant, conn: ConnKey) -> bool {
        let Some(client) = self.clients.get(conn).filter(|client| client.is_framed()) else { return false };
        let remote = client.ends().path().client();
        let owner = self.peers.owner(remote).and_then(|key| self.peers.get(key));
        owner.is_some_and(|peer| !peer.is_connected() || peer.uses(now, remote))
    }

    /// Queues datagrams that leave over TCP at their conns.
    pub(super) fn deliver_framed(&mut self, now: Instant, out: &mut Outbox) {
        let mut leaving = std::mem::take(&mut self.leaving);
        let bytes = out.take_framed(&mut leaving);
        for datagram in leaving.drain(..) {
            let conn = self.clients.framed(datagram.path.client());
            let client = conn.and_then(|conn| self.clients.get_mut(conn));
            let Some(client) = client.filter(|client| client.is_framed()) else {
                self.stats.frames_undeliverable += 1;
                continue;
            };
            let dropped = client.send_datagram(now, datagram.contents(bytes), &self.settings.limits.conn);
            self.count_dropped(dropped);
        }
        self.leaving = leaving;
    }

    pub(super) fn count_dropped(&mut self, dropped: Dropped) {
        self.stats.frames_late += dropped.late;
        self.stats.frames_excess += dropped.excess;
    }

    /// Closes the conn behind an address that is no session's any more, if it is one of TCP.
    pub(super) fn close_framed(&mut self, now: Instant, remote: Remote, out: &mut Outbox) {
        if let Some(conn) = self.clients.framed(remote) {
            self.deliver_framed(now, out);
            if let Some(client) = self.clients.get_mut(conn) {
                client.finish(now, &self.settings.limits.conn);
            }
        }
    }

    /// A client's right to what its session was sent is over: takes back what did not arrive over TCP. To be called before
    /// the session ends.
    pub(super) fn void_framed(&mut self, peer: PeerKey) {
        for remote in self.peers.addresses(peer) {
            let conn = self.clients.framed(*remote);
            if let Some(client) = conn.and_then(|conn| self.clients.get_mut(conn)) {
                client.void();
            }
        }
    }

    /// Whoever is behind a sink may not hear any more what it heard: drops what waits for it over TCP.
    pub(super) fn withdraw_sound(&mut self, now: Instant, sink: Sink, out: &mut Outbox) {
        let Sink::Peer(peer) = sink;
        self.deliver_framed(now, out);
        for remote in self.peers.addresses(peer) {
            let conn = self.clients.framed(*remote);
            if let Some(client) = conn.and_then(|conn| self.clients.get_mut(conn)) {
                self.stats.frames_withdrawn += client.withdraw_audio(now, &self.settings.limits.conn);
            }
        }
    }

    /// Tells whether a conn is a session's.
    pub(super) fn is_of_session(&self, conn: ConnKey) -> bool {
        let client = self.clients.get(conn).filter(|client| client.is_framed());
        client.is_some_and(|client| self.peers.owner(client.ends().path().client()).is_some())
    }

    /// An ICE-TCP conn is gone, and the path with it.
    pub(super) fn forget_framed(&mut self, conn: ConnKey, path: Path) {
        if !self.clients.forget_framed(conn, path.client()) {
            return;
        }
        if let Some(peer) = self.peers.forget(path.client()) {
            peer.forget_path(path);
        }
    }
}
