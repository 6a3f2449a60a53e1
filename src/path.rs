//! Says where bytes come from and where they go: the two ends of a datagram's way, or of a connection's.
//!
//! No sockets and no lookups. Invariant: what is written here is canonical, as whoever makes it has to see to.

use std::net::SocketAddr;

use str0m::net::Protocol;

/// Where a datagram came from and where it was received; a reply leaves the other way round.
///
/// Addresses are canonical: no IPv4-mapped IPv6. `local` is the address that the datagram was sent to, which
/// behind NAT is not what is advertised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    pub proto: Protocol,
    pub remote: SocketAddr,
    pub local: SocketAddr,
}

/// A client's end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Remote {
    proto: Protocol,
    address: SocketAddr,
    /// Of TCP also where it was accepted: a client may have connections to several addresses from one port.
    accepted_at: Option<SocketAddr>,
}

impl Path {
    /// Returns the client's end.
    pub fn client(self) -> Remote {
        let Path { proto, remote, local } = self;
        Remote { proto, address: remote, accepted_at: (proto == Protocol::Tcp).then_some(local) }
    }
}

/// The two ends of a client's TCP connection, both canonical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub remote: SocketAddr,
    /// Where the client was accepted.
    pub local: SocketAddr,
    pub door: Door,
}

/// Which of the server's ports a TCP client came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Where all is served.
    Main,
    /// Where plain HTTP is sent to HTTPS.
    Redirect,
}

impl Ends {
    /// Returns the way of datagrams over the connection.
    pub fn path(self) -> Path {
        Path { proto: Protocol::Tcp, remote: self.remote, local: self.local }
    }
}
