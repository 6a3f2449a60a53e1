//! ICE-TCP of browsers whose network blocks UDP: the datagrams of their WebRTC sessions, framed on a TCP connection.
//!
//! The session itself does not know: what a checklist would choose is decided here. Invariant: a browser has at most one
//! such connection.

use std::net::SocketAddr;

use ecoute::keys::ConnKey;
use ecoute::wire::frame;

use super::{ADVERTISED, Delivery, Who, World, ends, is_media};

/// The client's end of such a connection.
pub(super) struct Tunnel {
    pub(super) conn: ConnKey,
    /// The how-manieth this is.
    connection: u32,
    /// How many bytes the network takes until the client reads again; anything, where it reads at once.
    room: Option<usize>,
    received: Vec<u8>,
    /// How much of what waits to be written was looked at.
    seen: usize,
}

impl World {
    /// Lets no UDP of a browser through.
    pub fn block_udp(&mut self, who: Who) {
        self.udp_blocked.insert(who);
    }

    /// Lets UDP through again; the TCP connection stays as it is.
    pub fn unblock_udp(&mut self, who: Who) {
        self.udp_blocked.remove(&who);
    }

    /// The browser reads nothing over ICE-TCP any more, but for what [`World::read_tunnel`] lets it.
    pub fn stop_reading_tunnel(&mut self, who: Who) {
        self.tunnels.get_mut(&who).expect("there is a connection").room = Some(0);
        self.slow_readers.insert(who);
    }

    /// The browser reads so many bytes.
    pub fn read_tunnel(&mut self, who: Who, bytes: usize) {
        let tunnel = self.tunnels.get_mut(&who).expect("there is a connection");
        tunnel.room = tunnel.room.map(|room| room + bytes);
        // The shell hears that the socket takes more.
        self.out.touch(tunnel.conn);
    }

    /// Ends the ICE-TCP connection of a browser, as a proxy might.
    pub fn drop_tunnel(&mut self, who: Who) {
        if let Some(tunnel) = self.tunnels.remove(&who) {
            self.server.handle_hangup(self.now, tunnel.conn, &mut self.out);
        }
    }

    /// Tells whether a browser's ICE-TCP connection is open.
    pub fn has_tunnel(&self, who: Who) -> bool {
        self.tunnels.contains_key(&who)
    }

    /// Takes bytes on a browser's ICE-TCP connection at once, and serves them; returns how much there was to do in one
    /// turn at the most.
    pub fn push_to_tunnel(&mut self, who: Who, bytes: &[u8]) -> usize {
        self.server.handle_bytes(self.now, self.tunnels[&who].conn, bytes, &mut self.out);
        let mut most = self.out.len();
        while self.server.next_deadline().is_some_and(|(at, _)| at <= self.now) {
            self.server.handle_timeout(self.now, &mut self.out);
            most = most.max(self.out.len());
            self.flush();
        }
        most
    }

    /// Sends a datagram of a browser over its TCP connection.
    pub(super) fn send_framed(&mut self, who: Who, datagram: &[u8]) {
        if !self.tunnels.contains_key(&who) {
            // A client checks a new connection before it sends anything else on it.
            if !datagram.starts_with(&[0, 1]) {
                return;
            }
            self.tunnels_opened += 1;
            let ip = self.office.unwrap_or(self.browsers[who].address).ip();
            let from = SocketAddr::new(ip, 20_000 + self.tunnels_opened as u16);
            // Where there is no room the network loses it.
            let Some(conn) = self.server.handle_accept(self.now, ends(from), &mut self.out) else { return };
            let tunnel =
                Tunnel { conn, connection: self.tunnels_opened, room: None, received: Vec::new(), seen: 0 };
            self.tunnels.insert(who, tunnel);
        }
        let mut bytes = Vec::new();
        assert!(frame::write(datagram, &mut bytes));
        let connection = self.tunnels[&who].connection;
        let quality = self.browsers[who].quality;
        // As a network cuts it.
        let (head, tail) = bytes.split_at(1 + self.cuts.usize(..bytes.len()));
        for bytes in [head, tail].map(<[u8]>::to_vec) {
            self.link.stream(self.now, quality, Delivery::FramedToServer { who, connection, bytes });
        }
    }

    pub(super) fn deliver_to_server(&mut self, who: Who, connection: u32, bytes: &[u8]) {
        if let Some(tunnel) = self.tunnels.get(&who).filter(|tunnel| tunnel.connection == connection) {
            self.server.handle_bytes(self.now, tunnel.conn, bytes, &mut self.out);
        }
    }

    pub(super) fn deliver_to_client(&mut self, who: Who, connection: u32, bytes: &[u8]) {
        let tunnel = self.tunnels.get_mut(&who).filter(|tunnel| tunnel.connection == connection);
        let Some(tunnel) = tunnel else { return };
        tunnel.received.extend(bytes);
        while let Some(datagram) = frame::parse(&tunnel.received).expect("the server writes frames") {
            let datagram = datagram.to_vec();
            tunnel.received.drain(..frame::HEADER_BYTES + datagram.len());
            if is_media(&datagram) {
                *self.media_sent.entry(who).or_default() += 1;
            }
            self.browsers[who].handle_datagram(self.now, ADVERTISED.parse().unwrap(), &datagram);
        }
    }

    pub(super) fn is_of_tunnel(&self, conn: ConnKey) -> bool {
        self.tunnels.values().any(|tunnel| tunnel.conn == conn)
    }

    /// Looks at what was queued for each since: media that waits there can't be taken back.
    pub(super) fn watch_tunnels(&mut self) {
        for (&who, tunnel) in &mut self.tunnels {
            let pending = self.server.pending_write(tunnel.conn);
            // Nothing is left of what a dead conn had.
            tunnel.seen = tunnel.seen.min(pending.len());
            while let Some(datagram) = frame::parse(&pending[tunnel.seen..]).expect("the server writes frames") {
                tunnel.seen += frame::HEADER_BYTES + datagram.len();
                if is_media(datagram) {
                    self.witness.on_media(who, datagram);
                }
            }
        }
    }

    /// Does what the shell does for a conn that may have something to write, if it is one of these.
    pub(super) fn flush_tunnel(&mut self, conn: ConnKey) {
        self.watch_tunnels();
        let Some((&who, tunnel)) = self.tunnels.iter_mut().find(|(_, tunnel)| tunnel.conn == conn) else { return };
        let pending = self.server.pending_write(conn);
        let taken = if self.cut.contains(&who) { 0 } else { tunnel.room.unwrap_or(usize::MAX).min(pending.len()) };
        let bytes = pending[..taken].to_vec();
        tunnel.room = tunnel.room.map(|room| room - taken);
        tunnel.seen = tunnel.seen.saturating_sub(taken);
        if taken > 0 {
            let (quality, connection) = (self.browsers[who].quality, tunnel.connection);
            self.link.stream(self.now, quality, Delivery::FramedToClient { who, connection, bytes });
            self.server.handle_written(self.now, conn, taken, &mut self.out);
        }
        if self.server.should_close(conn) {
            self.tunnels.remove(&who);
        }
    }
}
