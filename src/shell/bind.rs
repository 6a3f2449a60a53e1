//! Opens the sockets that the server listens on.
//!
//! Not what comes through them. Invariant: each address is open for TCP and UDP, on the same port.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};

use super::{tcp, udp};
use crate::config::LISTENS_MAX;

/// How often another port is tried where the system chooses one and UDP has it in use.
const ANY_PORT_ATTEMPTS: usize = 16;

/// The open sockets, TCP and UDP on the same addresses.
pub struct Sockets {
    pub(super) tcp: Vec<std::net::TcpListener>,
    pub(super) udp: Vec<std::net::UdpSocket>,
    addresses: Vec<SocketAddr>,
}

/// Why the sockets could not be opened, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("{protocol} port {port} is in use: stop the program that has it, or choose another with --listen")]
    InUse { protocol: &'static str, port: u16 },
    #[error(
        "{protocol} port {port} is not allowed: choose one above 1023 with --listen, or grant CAP_NET_BIND_SERVICE"
    )]
    NotAllowed { protocol: &'static str, port: u16 },
    #[error("{address} is no address of this machine: choose another with --listen")]
    NotHere { address: SocketAddr },
    #[error("{given} addresses to listen on, more than {LISTENS_MAX}: give fewer --listen")]
    TooMany { given: usize },
    #[error("can't listen on {protocol} {address}: {error}; choose another address with --listen")]
    Other { protocol: &'static str, address: SocketAddr, error: io::Error },
}

/// Opens TCP and UDP on each address; port 0 is chosen by the system, and `[::]` becomes `0.0.0.0` without IPv6.
///
/// # Errors
/// What the system refused, as [`BindError`]; also for more than [`LISTENS_MAX`].
pub fn bind(listens: &[SocketAddr]) -> Result<Sockets, BindError> {
    if listens.len() > LISTENS_MAX {
        return Err(BindError::TooMany { given: listens.len() });
    }
    let mut sockets = Sockets { tcp: Vec::new(), udp: Vec::new(), addresses: Vec::new() };
    for &listen in listens {
        let (tcp, udp, address) = or_ipv4(listen, bind_once)?;
        sockets.tcp.push(tcp);
        sockets.udp.push(udp);
        sockets.addresses.push(address);
    }
    Ok(sockets)
}

/// Opens the port that sends clients to HTTPS.
///
/// # Errors
/// What the system refused, as [`BindError`].
pub fn bind_redirect(listen: SocketAddr) -> Result<std::net::TcpListener, BindError> {
    or_ipv4(listen, |listen| tcp::listen(listen).map_err(|error| BindError::new("TCP", listen, error)))
}

impl Sockets {
    /// Returns the bound addresses, with the real ports.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }
}

/// Binds `[::]`, and `0.0.0.0` instead where there is no IPv6.
fn or_ipv4<T>(listen: SocketAddr, bind: impl Fn(SocketAddr) -> Result<T, BindError>) -> Result<T, BindError> {
    match bind(listen) {
        Err(BindError::NotHere { .. } | BindError::Other { .. }) if is_any_ipv6(listen) && !has_ipv6() => {
            log::warn!("no IPv6 on this machine, listening on IPv4 only");
            bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, listen.port())))
        }
        bound => bound,
    }
}

fn bind_once(listen: SocketAddr) -> Result<(std::net::TcpListener, std::net::UdpSocket, SocketAddr), BindError> {
    let mut attempts = if listen.port() == 0 { ANY_PORT_ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        let failed = |protocol| move |error| BindError::new(protocol, listen, error);
        let tcp = tcp::listen(listen).map_err(failed("TCP"))?;
        let address = tcp.local_addr().map_err(failed("TCP"))?;
        match udp::bind(address) {
            Ok(udp) => return Ok((tcp, udp, address)),
            Err(error) if error.kind() == ErrorKind::AddrInUse && attempts > 0 => {}
            Err(error) => return Err(BindError::new("UDP", address, error)),
        }
    }
}

impl BindError {
    fn new(protocol: &'static str, address: SocketAddr, error: io::Error) -> BindError {
        match error.kind() {
            ErrorKind::AddrInUse => BindError::InUse { protocol, port: address.port() },
            ErrorKind::PermissionDenied => BindError::NotAllowed { protocol, port: address.port() },
            ErrorKind::AddrNotAvailable => BindError::NotHere { address },
            _ => BindError::Other { protocol, address, error },
        }
    }
}

fn is_any_ipv6(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

/// Tells whether IPv6 sockets can be opened and bound: a kernel may lack it, or have it switched off.
fn has_ipv6() -> bool {
    tcp::listen(SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0))).is_ok()
}
