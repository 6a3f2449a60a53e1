//! ICE-TCP of browsers whose network blocks UDP: the datagrams of their WebRTC sessions, framed on a TCP connection.
//!
//! The session itself does not know: what a checklist would choose is decided here. Between the server and the network is
//! the kernel, which keeps what it took until the client has acknowledged it, and gives nothing of it back but by a reset.
//! Invariant: a browser has at most one such connection that is open.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ecoute::conn::Unsent;
use ecoute::keys::ConnKey;
use ecoute::wire::frame;

use super::{ADVERTISED, Delivery, Who, World, ends, is_media};

/// How much the kernel takes where nobody says otherwise, in bytes.
const KERNEL_BYTES: usize = 128 * 1024;

/// How long the kernel goes on after the server has closed a connection.
const LINGER: Duration = Duration::from_secs(1);

/// Such a connection, from the kernel on.
pub(super) struct Tunnel {
    pub(super) conn: ConnKey,
    /// The how-manieth this is.
    connection: u32,
    /// How many bytes the client takes until it reads again; anything, where it reads at once.
    room: Option<usize>,
    /// What the kernel took and has not sent.
    kernel: VecDeque<u8>,
    /// How many bytes it has sent that are not acknowledged.
    flying: usize,
    received: Vec<u8>,
    /// How much of what waits to be written belongs to a datagram of which a part was written.
    seen: usize,
    /// When the kernel gives up, once the server has closed it.
    closes: Option<Instant>,
}

impl Tunnel {
    fn unsent(&self) -> usize {
        self.kernel.len() + self.flying
    }
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

    /// The browser reads so many bytes, of a connection that is open and of those that the server has closed.
    pub fn read_tunnel(&mut self, who: Who, bytes: usize) {
        for tunnel in self.tunnels_of(who) {
            tunnel.room = tunnel.room.map(|room| room + bytes);
        }
        self.pump_tunnels(who);
    }

    fn tunnels_of(&mut self, who: Who) -> impl Iterator<Item = &mut Tunnel> {
        let closed =
            self.closed_tunnels.iter_mut().filter(move |(other, _)| *other == who).map(|(_, tunnel)| tunnel);
        self.tunnels.get_mut(&who).into_iter().chain(closed)
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
            let tunnel = Tunnel {
                conn,
                connection: self.tunnels_opened,
                room: None,
                kernel: VecDeque::new(),
                flying: 0,
                received: Vec::new(),
                seen: 0,
                closes: None,
            };
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
        let Some(tunnel) = self.tunnels_of(who).find(|tunnel| tunnel.connection == connection) else { return };
        tunnel.received.extend(bytes);
        let mut datagrams = Vec::new();
        while let Some(datagram) = frame::parse(&tunnel.received).expect("the server writes frames") {
            datagrams.push(datagram.to_vec());
            let bytes = frame::HEADER_BYTES + datagram.len();
            tunnel.received.drain(..bytes);
        }
        let acknowledged = Delivery::FramedAcknowledged { who, connection, bytes: bytes.len() };
        self.link.stream(self.now, self.browsers[who].quality, acknowledged);
        for datagram in datagrams {
            if is_media(&datagram) {
                *self.media_sent.entry(who).or_default() += 1;
            }
            self.browsers[who].handle_datagram(self.now, ADVERTISED.parse().unwrap(), &datagram);
        }
    }

    pub(super) fn is_of_tunnel(&self, conn: ConnKey) -> bool {
        self.tunnels.values().any(|tunnel| tunnel.conn == conn)
    }

    /// The client has acknowledged so many bytes.
    pub(super) fn acknowledge(&mut self, who: Who, connection: u32, bytes: usize) {
        let tunnel = self.tunnels_of(who).find(|tunnel| tunnel.connection == connection);
        let Some(conn) = tunnel.map(|tunnel| {
            tunnel.flying -= bytes;
            tunnel.conn
        }) else {
            return;
        };
        // The shell looks again after a moment.
        self.out.touch(conn);
    }

    /// Does what the shell does for a conn that may have something to write, if it is one of these.
    pub(super) fn flush_tunnel(&mut self, conn: ConnKey) {
        let Some((&who, tunnel)) = self.tunnels.iter_mut().find(|(_, tunnel)| tunnel.conn == conn) else { return };
        if self.server.unsent(conn) == Unsent::Void && tunnel.unsent() > 0 {
            self.tunnels.remove(&who);
            return self.hang_up(conn);
        }
        let round_trip = 2 * self.browsers[who].quality.delay;
        loop {
            let pending = self.server.pending_write(conn);
            let allowed = match self.server.unsent(conn) {
                Unsent::AtMost(limits) => limits.allowed_bytes(round_trip),
                Unsent::Any | Unsent::Void => KERNEL_BYTES,
            };
            if pending.is_empty() || tunnel.unsent() > allowed.min(KERNEL_BYTES) {
                break;
            }
            let taken = 1 + self.cuts.usize(..pending.len());
            // Nobody takes back what has begun to leave.
            while tunnel.seen < taken {
                let datagram = frame::parse(&pending[tunnel.seen..]).expect("the server writes frames");
                let datagram = datagram.expect("and whole ones");
                tunnel.seen += frame::HEADER_BYTES + datagram.len();
                if is_media(datagram) {
                    self.witness.on_media(who, datagram);
                }
            }
            tunnel.seen -= taken;
            tunnel.kernel.extend(&pending[..taken]);
            self.server.handle_written(self.now, conn, taken, &mut self.out);
        }
        if self.server.should_close(conn)
            && let Some(tunnel) = self.tunnels.remove(&who)
        {
            self.closed_tunnels.push((who, Tunnel { closes: Some(self.now + LINGER), ..tunnel }));
        }
        self.pump_tunnels(who);
    }

    /// The kernel sends what the client takes.
    fn pump_tunnels(&mut self, who: Who) {
        let now = self.now;
        self.closed_tunnels.retain(|(_, tunnel)| tunnel.closes.is_none_or(|at| now < at));
        if self.cut.contains(&who) {
            return;
        }
        let mut sent = Vec::new();
        for tunnel in self.tunnels_of(who) {
            let bytes = tunnel.room.unwrap_or(usize::MAX).min(tunnel.kernel.len());
            tunnel.room = tunnel.room.map(|room| room - bytes);
            tunnel.flying += bytes;
            sent.push((tunnel.connection, tunnel.kernel.drain(..bytes).collect::<Vec<u8>>()));
        }
        for (connection, bytes) in sent.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
            let delivery = Delivery::FramedToClient { who, connection, bytes };
            self.link.stream(now, self.browsers[who].quality, delivery);
        }
    }
}
