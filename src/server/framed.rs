//! ICE-TCP: datagrams that come and go over TCP conns.
//!
//! A conn belongs to the session whose check was answered on it, as an address does, and ends with that session.
//! Invariant: `framed` names conns that speak ICE-TCP and have named a session, each by the path of its datagrams.

use std::time::Instant;

use super::Server;
use crate::conn::Dropped;
use crate::keys::ConnKey;
use crate::outbox::{Outbox, Path, Remote};
use crate::wire::stun;

impl Server {
    /// Takes a datagram of an ICE-TCP conn.
    pub(super) fn on_framed(&mut self, now: Instant, conn: ConnKey, datagram: &[u8], out: &mut Outbox) {
        let Some(path) = self.conns.get(conn).map(|client| client.ends().path()) else { return };
        if self.framed.get(&path.client()) != Some(&conn) {
            // Who has nothing to do with any session has nothing to do here.
            let check = stun::parse_binding_request(datagram);
            if check.ok().and_then(|check| self.peer_of_ufrag(check.ufrag)).is_none() {
                self.stats.frames_malformed += 1;
                if let Some(client) = self.conns.get_mut(conn) {
                    client.abandon();
                }
                return;
            }
            self.framed.insert(path.client(), conn);
        }
        self.take_datagram(now, path, datagram, out);
    }

    /// A check that came over TCP is answered: its conn may stay, and is a stranger's no more. Tells whether the conn is
    /// still there.
    pub(super) fn on_framed_checked(&mut self, now: Instant, path: Path) -> bool {
        let Some(&conn) = self.framed.get(&path.client()) else { return false };
        self.admit_checked(now, conn);
        if let Some(client) = self.conns.get_mut(conn) {
            client.on_checked(now, &self.config.limits);
        }
        true
    }

    /// Queues datagrams that leave over TCP at their conns.
    pub(super) fn deliver_framed(&mut self, now: Instant, out: &mut Outbox) {
        let mut leaving = std::mem::take(&mut self.leaving);
        out.take_framed(&mut leaving);
        for datagram in leaving.drain(..) {
            let conn = self.framed.get(&datagram.path.client()).copied();
            let conn =
                conn.and_then(|conn| Some((conn, self.conns.get_mut(conn).filter(|client| client.is_framed())?)));
            let Some((conn, client)) = conn else {
                self.stats.frames_undeliverable += 1;
                continue;
            };
            let dropped = client.send_datagram(now, datagram.contents, &self.config.limits);
            self.count_dropped(dropped);
            self.settle_conn(conn, out);
        }
        self.leaving = leaving;
    }

    pub(super) fn count_dropped(&mut self, dropped: Dropped) {
        self.stats.frames_late += dropped.late;
        self.stats.frames_excess += dropped.excess;
    }

    /// Closes the conn behind an address that is no session's any more, if it is one of TCP.
    pub(super) fn close_framed(&mut self, now: Instant, remote: Remote, out: &mut Outbox) {
        if let Some(&conn) = self.framed.get(&remote) {
            self.deliver_framed(now, out);
            if let Some(client) = self.conns.get_mut(conn) {
                client.finish(now, &self.config.limits);
            }
            self.settle_conn(conn, out);
        }
    }

    /// An ICE-TCP conn is gone, and the path with it.
    pub(super) fn forget_framed(&mut self, conn: ConnKey, path: Path) {
        if self.framed.get(&path.client()) != Some(&conn) {
            return;
        }
        self.framed.remove(&path.client());
        if let Some(peer) = self.demux.forget(path.client()).and_then(|key| self.peers.get_mut(key)) {
            peer.forget_path(path);
        }
    }
}
