//! The media sockets: what is received on any of them, and which one a datagram leaves by.
//!
//! Invariant: a reply leaves by the socket that received what it answers, so that its source is the address that the
//! client knows.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mio::{Interest, Registry, Token};

use super::udp::{SEND_BATCH, Udp, UdpCounters};
use crate::host::addresses::canonical;
use crate::outbox::Datagram;
use crate::path::Path;

/// All media sockets.
pub(super) struct Media {
    sockets: Vec<Socket>,
    /// Who is asked first: one that always has something must not keep the others waiting.
    first: usize,
}

struct Socket {
    udp: Udp,
    bound: SocketAddr,
    /// Datagrams that leave together.
    batch: Vec<Datagram>,
}

impl Media {
    /// Takes over sockets and registers them, with tokens from `token` on.
    pub(super) fn new(sockets: Vec<std::net::UdpSocket>, registry: &Registry, token: Token) -> io::Result<Media> {
        let take_over = |(index, socket): (usize, std::net::UdpSocket)| {
            let bound = canonical(socket.local_addr()?);
            let mut udp = Udp::new(socket)?;
            registry.register(udp.source(), Token(token.0 + index), Interest::READABLE)?;
            Ok(Socket { udp, bound, batch: Vec::with_capacity(SEND_BATCH) })
        };
        let sockets = sockets.into_iter().enumerate().map(take_over).collect::<io::Result<_>>()?;
        Ok(Media { sockets, first: 0 })
    }

    /// Remembers that a socket may have something.
    pub(super) fn on_event(&mut self, index: usize) {
        if let Some(socket) = self.sockets.get_mut(index) {
            socket.udp.is_ready = true;
        }
    }

    /// Tells whether a socket may have something.
    pub(super) fn is_ready(&self) -> bool {
        self.sockets.iter().any(|socket| socket.udp.is_ready)
    }

    /// Returns the next datagram of any socket, each in its turn; `None` where there is none.
    pub(super) fn receive(&mut self) -> Option<(Path, &[u8])> {
        let count = self.sockets.len();
        let ready = (0..count).map(|step| (self.first + step) % count).find(|&index| {
            let udp = &mut self.sockets[index].udp;
            udp.is_ready && udp.fetch()
        })?;
        self.first = (ready + 1) % count;
        self.sockets[ready].udp.fetched()
    }

    /// Queues a datagram that is in these bytes, and sends what waits once it is enough for one call.
    pub(super) fn send(&mut self, now: Instant, datagram: Datagram, bytes: &[u8]) {
        let index = leaving_by(self.sockets.iter().map(|socket| socket.bound), datagram.path.local);
        let Some(socket) = self.sockets.get_mut(index) else { return };
        socket.batch.push(datagram);
        if socket.batch.len() == SEND_BATCH {
            socket.flush(now, bytes);
        }
    }

    /// Sends all that waits, which is in these bytes.
    pub(super) fn flush(&mut self, now: Instant, bytes: &[u8]) {
        self.sockets.iter_mut().for_each(|socket| socket.flush(now, bytes));
    }

    /// Returns what was counted since the start, over all sockets.
    pub(super) fn counters(&self) -> UdpCounters {
        self.sockets.iter().fold(UdpCounters::default(), |sum, socket| sum + socket.udp.counters())
    }
}

impl Socket {
    fn flush(&mut self, now: Instant, bytes: &[u8]) {
        if !self.batch.is_empty() {
            self.udp.send(now, &self.batch, bytes);
            self.batch.clear();
        }
    }
}

/// Returns which of the bound addresses receives what is sent to `local`: the one that names it, before one that takes
/// all of its port; the first where none does.
fn leaving_by(bound: impl Iterator<Item = SocketAddr>, local: SocketAddr) -> usize {
    let fit = |bound: SocketAddr| {
        let takes_all = bound.ip().is_unspecified() && (bound.is_ipv6() || local.is_ipv4());
        match bound.port() == local.port() {
            true if bound.ip() == local.ip() => 2,
            true if takes_all => 1,
            true | false => 0,
        }
    };
    let best = bound.enumerate().map(|(index, bound)| (fit(bound), std::cmp::Reverse(index))).max();
    best.map_or(0, |(_, std::cmp::Reverse(index))| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_leaves_by_the_socket_of_its_address() {
        let cases: &[(&str, &[&str], &str, usize)] = &[
            ("one", &["[::]:1"], "192.0.2.1:1", 0),
            ("by port", &["[::]:1", "[::]:2"], "192.0.2.1:2", 1),
            ("by address", &["192.0.2.1:1", "192.0.2.2:1"], "192.0.2.2:1", 1),
            ("named before all", &["0.0.0.0:1", "127.0.0.1:1"], "127.0.0.1:1", 1),
            ("all of the port", &["127.0.0.1:1", "0.0.0.0:1"], "192.0.2.1:1", 1),
            ("of the family", &["0.0.0.0:1", "[::1]:1"], "[::1]:1", 1),
            ("of both families", &["127.0.0.1:1", "[::]:1"], "[2001:db8::1]:1", 1),
            ("none", &["127.0.0.1:1", "127.0.0.1:2"], "192.0.2.1:3", 0),
        ];
        for (name, bound, local, want) in cases {
            let bound = bound.iter().map(|text| text.parse().unwrap());
            assert_eq!(leaving_by(bound, local.parse().unwrap()), *want, "{name}");
        }
    }
}
