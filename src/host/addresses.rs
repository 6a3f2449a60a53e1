//! Chooses the addresses that clients are told to send media to, and keeps addresses in one form.
//!
//! Not the demultiplexing of what arrives: that is the core's. Invariant: what [`advertised`] picks by itself can
//! be reached through the bound socket, and makes no more than [`ADVERTISED_MAX`] addresses.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::str::FromStr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::config::ADVERTISED_MAX;

/// How many places among the default addresses are kept for loopback, one of each family.
const LOOPBACK_MAX: usize = 2;

/// The longest host name, in bytes (RFC 1035 §2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// An address given from outside; without a port the bound one is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicAddress {
    pub host: PublicHost,
    pub port: Option<u16>,
}

/// Where clients find the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicHost {
    Ip(IpAddr),
    /// A host name, to be resolved at the start.
    Name(String),
}

/// Why a text names no address that clients could send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicAddressError {
    #[error("write it as 203.0.113.7, 203.0.113.7:8080, 2001:db8::7, [2001:db8::7]:8080 or ecoute.example")]
    Malformed,
    #[error("it must be the address of one host")]
    NotOneHost,
    #[error("the port must be between 1 and 65535")]
    PortZero,
}

/// Why there is nothing to advertise.
#[derive(Debug, thiserror::Error)]
pub enum AddressesError {
    #[error("can't list this machine's addresses: {0}; give one with --public-address")]
    Interfaces(io::Error),
    #[error("can't find the address of {name}: {error}; check --public-address, or give the address itself")]
    Unresolved { name: String, error: io::Error },
    #[error("this machine has neither IPv4 nor IPv6 for any --public-address: give one that clients reach it at")]
    NoFamily,
}

impl FromStr for PublicAddress {
    type Err = PublicAddressError;

    fn from_str(text: &str) -> Result<PublicAddress, PublicAddressError> {
        let unbracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let (host, port) = match (text.parse::<SocketAddr>(), text.parse::<IpAddr>(), unbracketed) {
            (Ok(address), _, _) => (PublicHost::Ip(address.ip()), Some(address.port())),
            (Err(_), Ok(ip), _) => (PublicHost::Ip(ip), None),
            (Err(_), Err(_), Some(inner)) => {
                let ip = inner.parse::<Ipv6Addr>().map_err(|_| PublicAddressError::Malformed)?;
                (PublicHost::Ip(IpAddr::V6(ip)), None)
            }
            (Err(_), Err(_), None) => parse_name(text)?,
        };
        let host = match host {
            PublicHost::Ip(ip) if ip.is_unspecified() || ip.is_multicast() => {
                return Err(PublicAddressError::NotOneHost);
            }
            PublicHost::Ip(ip) => PublicHost::Ip(ip.to_canonical()),
            PublicHost::Name(name) => PublicHost::Name(name),
        };
        if port == Some(0) {
            return Err(PublicAddressError::PortZero);
        }
        Ok(PublicAddress { host, port })
    }
}

/// Reads `ecoute.example` or `ecoute.example:8080`. What ends in digits is an address that went wrong, never a name.
fn parse_name(text: &str) -> Result<(PublicHost, Option<u16>), PublicAddressError> {
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port.parse().map_err(|_| PublicAddressError::Malformed)?)),
        None => (text, None),
    };
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(is_inner) && !label.starts_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_name = name.len() <= NAME_BYTES_MAX
        && name.split('.').all(is_label)
        && last.bytes().any(|byte| byte.is_ascii_alphabetic());
    if is_name { Ok((PublicHost::Name(name.to_owned()), port)) } else { Err(PublicAddressError::Malformed) }
}

/// Returns the addresses to advertise for a socket bound to `bound`, as [`advertised_for`] does for several.
///
/// # Errors
/// Those of [`advertised_for`].
pub fn advertised(given: &[PublicAddress], bound: SocketAddr) -> Result<Vec<SocketAddr>, AddressesError> {
    advertised_for(given, &[bound])
}

/// Returns the addresses to advertise for several sockets: those given, where the first socket's port is meant without
/// one, and then as many of the machine's as there is room for, of each socket in turn.
///
/// Of the machine: every address of an interface that is up; no link-local and no multicast ones. The most public come
/// first, because the first of a family stands for all that is not advertised itself; given ones before them, because
/// behind NAT only they are public. Loopback comes last, and not where addresses are given: a client on this machine
/// reaches the others.
///
/// # Errors
/// [`AddressesError`]: the system's, when it does not list its interfaces; a name without an address.
pub fn advertised_for(given: &[PublicAddress], bounds: &[SocketAddr]) -> Result<Vec<SocketAddr>, AddressesError> {
    let of_machine = of_machine().map_err(AddressesError::Interfaces)?;
    let bounds: Vec<SocketAddr> = bounds.iter().copied().map(canonical).collect();
    let mut all = of_given(given, &bounds, &of_machine)?;
    if all.is_empty() && !given.is_empty() {
        return Err(AddressesError::NoFamily);
    }
    let of_each: Vec<Vec<SocketAddr>> = bounds.iter().map(|&bound| of_socket(bound, &of_machine)).collect();
    let longest = of_each.iter().map(Vec::len).max().unwrap_or(0);
    let in_turn = (0..longest).flat_map(|rank| of_each.iter().filter_map(move |addresses| addresses.get(rank)));
    for &address in in_turn {
        let is_offered = given.is_empty() || !address.ip().is_loopback();
        if is_offered && all.len() < ADVERTISED_MAX && !all.contains(&address) {
            all.push(address);
        }
    }
    Ok(all)
}

fn of_given(
    given: &[PublicAddress],
    bounds: &[SocketAddr],
    of_machine: &[IpAddr],
) -> Result<Vec<SocketAddr>, AddressesError> {
    let port_of_first = bounds.first().map_or(0, SocketAddr::port);
    let mut addresses = Vec::new();
    for PublicAddress { host, port } in given {
        let ips = match host {
            PublicHost::Ip(ip) => vec![*ip],
            PublicHost::Name(name) => resolve(name, of_machine)?,
        };
        for ip in ips {
            let is_heard = |bound: &SocketAddr| {
                ip.is_ipv4() == bound.is_ipv4() || (bound.is_ipv6() && bound.ip().is_unspecified())
            };
            if bounds.iter().any(is_heard) {
                addresses.push(SocketAddr::new(ip, port.unwrap_or(port_of_first)));
            } else {
                log::info!("not advertised, no socket is of that family: address={ip}");
            }
        }
    }
    Ok(addresses)
}

/// Returns where a socket is reached.
fn of_socket(bound: SocketAddr, of_machine: &[IpAddr]) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return vec![bound];
    }
    let mut ips = of_machine.to_vec();
    if bound.is_ipv4() {
        ips.retain(IpAddr::is_ipv4);
        if ips.len() < of_machine.len() {
            let left_out = of_machine.len() - ips.len();
            log::info!("not advertised, the socket is IPv4 only: ipv6_addresses={left_out}");
        }
    }
    pick(ips).into_iter().map(|ip| SocketAddr::new(ip, bound.port())).collect()
}

/// Returns the addresses of a name, of those families that the machine has.
fn resolve(name: &str, of_machine: &[IpAddr]) -> Result<Vec<IpAddr>, AddressesError> {
    let unresolved = |error| AddressesError::Unresolved { name: name.to_owned(), error };
    // The port is of no matter; the system wants one.
    let found = (name, 1).to_socket_addrs().map_err(unresolved)?;
    let mut ips = Vec::new();
    for ip in found.map(|address| address.ip().to_canonical()) {
        let is_family = |own: &&IpAddr| own.is_ipv4() == ip.is_ipv4() && own.is_loopback() == ip.is_loopback();
        if !of_machine.iter().any(|own| is_family(&own)) {
            log::info!("not advertised, this machine has no address of that family: name={name} address={ip}");
        } else if !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    log::info!("resolved name={name} addresses={ips:?}");
    Ok(ips)
}

/// Returns the address without IPv4-mapped IPv6 and without a flow label; link-local replies need its scope.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
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
        let given = ["203.0.113.7".parse().unwrap()];
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
    fn given_addresses_come_first_and_those_of_the_machine_after_them() {
        let advertised = |given: &[&str], bound: &str| -> Vec<String> {
            let given: Vec<PublicAddress> = given.iter().map(|text| text.parse().unwrap()).collect();
            let found = advertised(&given, bound.parse().unwrap()).unwrap();
            found.iter().map(ToString::to_string).collect()
        };
        let got = advertised(&["203.0.113.7", "203.0.113.8:9"], "[::]:4000");
        assert_eq!(got[..2], ["203.0.113.7:4000", "203.0.113.8:9"]);
        assert!(got.len() <= ADVERTISED_MAX && !got.contains(&"127.0.0.1:4000".to_owned()), "{got:?}");
        assert_eq!(advertised(&["203.0.113.7"], "10.1.2.3:4000"), ["203.0.113.7:4000", "10.1.2.3:4000"]);
        assert_eq!(advertised(&["10.1.2.3"], "10.1.2.3:4000"), ["10.1.2.3:4000"]);
        assert_eq!(advertised(&["203.0.113.7"], "127.0.0.1:4000"), ["203.0.113.7:4000"]);
        let skipped = advertised(&["2001:db8::7", "203.0.113.7"], "10.1.2.3:4000");
        assert_eq!(skipped, ["203.0.113.7:4000", "10.1.2.3:4000"]);
        let many: Vec<String> = (1..=9).map(|last| format!("203.0.113.{last}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(advertised(&many, "10.1.2.3:4000").len(), 9, "too many given is for the configuration to say");
        assert_eq!(advertised(&["localhost:7"], "127.0.0.1:4000"), ["127.0.0.1:7"]);
    }

    #[test]
    fn addresses_that_cannot_be_advertised() {
        let advertised = |given: &str| advertised(&[given.parse().unwrap()], "10.1.2.3:4000".parse().unwrap());
        assert!(matches!(advertised("2001:db8::7"), Err(AddressesError::NoFamily)));
        assert!(matches!(advertised("nobody.invalid"), Err(AddressesError::Unresolved { .. })));
    }

    #[test]
    fn parse_public_address() {
        let address = |ip: &str, port| Ok(PublicAddress { host: PublicHost::Ip(ip.parse().unwrap()), port });
        let name = |name: &str, port| Ok(PublicAddress { host: PublicHost::Name(name.to_owned()), port });
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
            ("name", "example.org", name("example.org", None)),
            ("name and port", "ecoute-1.example:80", name("ecoute-1.example", Some(80))),
            ("name of one word", "localhost", name("localhost", None)),
            ("cut address", "203.0.113", Err(PublicAddressError::Malformed)),
            ("number", "3405803783", Err(PublicAddressError::Malformed)),
            ("name with a space", "a b", Err(PublicAddressError::Malformed)),
            ("name with an empty label", "example..org", Err(PublicAddressError::Malformed)),
            ("url", "https://example.org", Err(PublicAddressError::Malformed)),
            ("name and port 0", "example.org:0", Err(PublicAddressError::PortZero)),
            ("name and no port", "example.org:", Err(PublicAddressError::Malformed)),
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
