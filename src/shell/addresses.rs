//! Chooses the addresses that clients are told to send media to, and keeps addresses in one form.
//!
//! Not the demultiplexing of what arrives: that is the core's. Invariant: what [`advertised`] picks by itself can
//! be reached through the bound socket, and is at most [`ADVERTISED_MAX`] addresses.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::config::ADVERTISED_MAX;

/// How many places among the default addresses are kept for loopback, one of each family.
const LOOPBACK_MAX: usize = 2;

/// An address given from outside; without a port the bound one is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicAddress {
    pub ip: IpAddr,
    pub port: Option<u16>,
}

/// Why a text names no address that clients could send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicAddressError {
    #[error("write it as 203.0.113.7, 203.0.113.7:8080, 2001:db8::7 or [2001:db8::7]:8080")]
    Malformed,
    #[error("it must be the address of one host")]
    NotOneHost,
    #[error("the port must be between 1 and 65535")]
    PortZero,
}

impl FromStr for PublicAddress {
    type Err = PublicAddressError;

    fn from_str(text: &str) -> Result<PublicAddress, PublicAddressError> {
        let unbracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let (ip, port) = match (text.parse::<SocketAddr>(), text.parse::<IpAddr>(), unbracketed) {
            (Ok(address), _, _) => (address.ip(), Some(address.port())),
            (Err(_), Ok(ip), _) => (ip, None),
            (Err(_), Err(_), Some(inner)) => {
                (IpAddr::V6(inner.parse::<Ipv6Addr>().map_err(|_| PublicAddressError::Malformed)?), None)
            }
            (Err(_), Err(_), None) => return Err(PublicAddressError::Malformed),
        };
        if ip.is_unspecified() || ip.is_multicast() {
            return Err(PublicAddressError::NotOneHost);
        }
        if port == Some(0) {
            return Err(PublicAddressError::PortZero);
        }
        Ok(PublicAddress { ip: ip.to_canonical(), port })
    }
}

/// Returns the addresses to advertise for a socket bound to `bound`: those given, or else those of the machine.
///
/// Without given ones: every address of an interface that is up, loopback included; no link-local and no multicast
/// ones. The most public come first, because the first of a family stands for all that is not advertised itself.
///
/// # Errors
/// The system's, when it does not list its interfaces.
pub fn advertised(given: &[PublicAddress], bound: SocketAddr) -> io::Result<Vec<SocketAddr>> {
    if !given.is_empty() {
        let with_port = |address: &PublicAddress| SocketAddr::new(address.ip, address.port.unwrap_or(bound.port()));
        return Ok(given.iter().map(with_port).collect());
    }
    let bound = canonical(bound);
    if !bound.ip().is_unspecified() {
        return Ok(vec![bound]);
    }
    let mut ips = of_machine()?;
    if bound.is_ipv4() {
        let before = ips.len();
        ips.retain(IpAddr::is_ipv4);
        if ips.len() < before {
            log::info!("not advertised, the socket is IPv4 only: ipv6_addresses={}", before - ips.len());
        }
    }
    Ok(pick(ips).into_iter().map(|ip| SocketAddr::new(ip, bound.port())).collect())
}

/// Returns the addresses to advertise for several sockets: those given, where the first socket's port is meant without
/// one, or else as many of each socket's as there is room for.
///
/// # Errors
/// Those of [`advertised`].
pub fn advertised_for(given: &[PublicAddress], bounds: &[SocketAddr]) -> io::Result<Vec<SocketAddr>> {
    let sockets = if given.is_empty() { bounds } else { &bounds[..bounds.len().min(1)] };
    let of_each = sockets.iter().map(|&bound| advertised(given, bound)).collect::<io::Result<Vec<_>>>()?;
    let longest = of_each.iter().map(Vec::len).max().unwrap_or(0);
    let in_turn = (0..longest).flat_map(|rank| of_each.iter().filter_map(move |addresses| addresses.get(rank)));
    let mut all: Vec<SocketAddr> = Vec::new();
    for &address in in_turn {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    if given.is_empty() {
        all.truncate(ADVERTISED_MAX);
    }
    Ok(all)
}

/// Returns the address without IPv4-mapped IPv6 and without a flow label; link-local replies need its scope.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::from((v4, v6.port())),
            None => SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()).into(),
        },
    }
}

fn of_machine() -> io::Result<Vec<IpAddr>> {
    let mut ips = Vec::new();
    for interface in getifaddrs()? {
        let Some(storage) = interface.address else { continue };
        let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let v6 = storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()));
        ips.extend(v4.or(v6).filter(|ip| is_advertisable(interface.flags, *ip)));
    }
    Ok(ips)
}

fn is_advertisable(flags: InterfaceFlags, ip: IpAddr) -> bool {
    let is_link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    flags.contains(InterfaceFlags::IFF_UP) && !is_link_local && !ip.is_multicast() && !ip.is_unspecified()
}

/// Orders by how far an address reaches and cuts to [`ADVERTISED_MAX`]; loopback comes last but is never cut off.
fn pick(ips: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut picked: Vec<IpAddr> = Vec::new();
    for ip in ips {
        if !picked.contains(&ip) {
            picked.push(ip);
        }
    }
    let found = picked.len();
    let (mut loopback, mut others): (Vec<IpAddr>, Vec<IpAddr>) = picked.into_iter().partition(IpAddr::is_loopback);
    loopback.truncate(LOOPBACK_MAX);
    others.sort_by_key(is_private);
    others.truncate(ADVERTISED_MAX - loopback.len());
    others.append(&mut loopback);
    if others.len() < found {
        log::info!("more addresses than can be advertised: found={found} advertised={}", others.len());
    }
    others
}

fn is_private(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_private(),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advertisable_addresses() {
        let up = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
        let cases = [
            ("private", up, "192.168.1.4", true),
            ("loopback", up | InterfaceFlags::IFF_LOOPBACK, "127.0.0.1", true),
            ("loopback v6", up | InterfaceFlags::IFF_LOOPBACK, "::1", true),
            ("unique local", up, "fd00::2", true),
            ("down", InterfaceFlags::IFF_BROADCAST, "192.168.1.4", false),
            ("link-local", up, "169.254.3.4", false),
            ("just outside of link-local", up, "169.253.255.255", true),
            ("link-local v6", up, "fe80::1", false),
            ("end of link-local v6", up, "febf::1", false),
            ("after link-local v6", up, "fec0::1", true),
            ("multicast", up, "224.0.0.1", false),
            ("multicast v6", up, "ff02::1", false),
            ("unspecified", up, "0.0.0.0", false),
        ];
        for (name, flags, ip, want) in cases {
            assert_eq!(is_advertisable(flags, ip.parse().unwrap()), want, "{name}");
        }
    }

    #[test]
    fn public_addresses_come_first_and_loopback_is_kept() {
        let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let got = pick(ips(&["127.0.0.1", "10.0.0.1", "::1", "203.0.113.7", "fd00::2", "10.0.0.1", "2001:db8::7"]));
        assert_eq!(got, ips(&["203.0.113.7", "2001:db8::7", "10.0.0.1", "fd00::2", "127.0.0.1", "::1"]));

        let many: Vec<IpAddr> =
            (1..=20).map(|last| IpAddr::from([10, 0, 0, last])).chain(ips(&["127.0.0.1"])).collect();
        let got = pick(many);
        assert_eq!(got.len(), ADVERTISED_MAX);
        assert_eq!(got.last().copied(), ips(&["127.0.0.1"]).pop());
    }

    #[test]
    fn advertised_follows_what_is_bound() {
        let given = [PublicAddress { ip: "203.0.113.7".parse().unwrap(), port: None }];
        let bound = "[::]:4000".parse().unwrap();
        assert_eq!(advertised(&given, bound).unwrap(), ["203.0.113.7:4000".parse().unwrap()]);
        let one = "127.0.0.1:4000".parse().unwrap();
        assert_eq!(advertised(&[], one).unwrap(), [one]);
        let v4_only = advertised(&[], "0.0.0.0:4000".parse().unwrap()).unwrap();
        assert!(v4_only.iter().all(SocketAddr::is_ipv4), "{v4_only:?}");
        assert!(v4_only.contains(&"127.0.0.1:4000".parse().unwrap()), "{v4_only:?}");
    }

    #[test]
    fn several_sockets_share_the_room() {
        let bound = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let two = bound(&["127.0.0.1:4000", "127.0.0.1:443"]);
        assert_eq!(advertised_for(&[], &two).unwrap(), two);
        let given = [PublicAddress { ip: "203.0.113.7".parse().unwrap(), port: None }];
        assert_eq!(advertised_for(&given, &two).unwrap(), bound(&["203.0.113.7:4000"]));
        let all = advertised_for(&[], &bound(&["0.0.0.0:1", "0.0.0.0:2", "0.0.0.0:1"])).unwrap();
        assert!(
            all.contains(&"127.0.0.1:1".parse().unwrap()) && all.contains(&"127.0.0.1:2".parse().unwrap()),
            "{all:?}"
        );
        assert!(all.len() <= ADVERTISED_MAX);
        let ten: Vec<SocketAddr> = (1..=10).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        assert_eq!(advertised_for(&[], &ten).unwrap(), ten[..ADVERTISED_MAX]);
    }

    #[test]
    fn parse_public_address() {
        let address = |ip: &str, port| Ok(PublicAddress { ip: ip.parse().unwrap(), port });
        let cases = [
            ("v4", "203.0.113.7", address("203.0.113.7", None)),
            ("v4 and port", "203.0.113.7:80", address("203.0.113.7", Some(80))),
            ("v6", "2001:db8::7", address("2001:db8::7", None)),
            ("v6 in brackets", "[2001:db8::7]", address("2001:db8::7", None)),
            ("v6 and port", "[2001:db8::7]:80", address("2001:db8::7", Some(80))),
            ("mapped", "::ffff:203.0.113.7", address("203.0.113.7", None)),
            ("port 0", "203.0.113.7:0", Err(PublicAddressError::PortZero)),
            ("port too large", "203.0.113.7:65536", Err(PublicAddressError::Malformed)),
            ("v4 in brackets", "[203.0.113.7]", Err(PublicAddressError::Malformed)),
            ("name", "example.org", Err(PublicAddressError::Malformed)),
            ("empty", "", Err(PublicAddressError::Malformed)),
            ("unspecified", "0.0.0.0", Err(PublicAddressError::NotOneHost)),
            ("multicast", "ff02::1", Err(PublicAddressError::NotOneHost)),
        ];
        for (name, text, want) in cases {
            assert_eq!(text.parse::<PublicAddress>(), want, "{name}");
        }
    }

    #[test]
    fn canonical_addresses() {
        let cases = [
            ("v4", "192.0.2.1:5", "192.0.2.1:5"),
            ("mapped", "[::ffff:192.0.2.1]:5", "192.0.2.1:5"),
            ("v6", "[2001:db8::1]:5", "[2001:db8::1]:5"),
            ("compatible is not mapped", "[::192.0.2.1]:5", "[::192.0.2.1]:5"),
        ];
        for (name, address, want) in cases {
            assert_eq!(canonical(address.parse().unwrap()), want.parse().unwrap(), "{name}");
        }
        let with_flow = SocketAddrV6::new("fe80::1".parse().unwrap(), 5, 9, 3);
        assert_eq!(canonical(with_flow.into()), SocketAddrV6::new(*with_flow.ip(), 5, 0, 3).into());
    }
}
