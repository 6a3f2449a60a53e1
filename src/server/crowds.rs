//! Strangers by their networks: which network holds most conns that no user has registered on.
//!
//! A subscriber has a /64, a /56 or a /48 of IPv6 (RFC 6177), or some neighbouring addresses of IPv4. So networks are compared
//! by the widest of these first, and then inside the one that holds most: nobody makes room for a crowd that comes from next
//! door to it. Knows neither limits nor what conns do. Invariant: each member stands in one network of each width, and is
//! counted once in each. All that is asked takes a time that grows with the logarithm of the members.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use slotmap::SecondaryMap;

use super::quotas::Network;
use crate::keys::ConnKey;

/// How many widths of networks there are.
const WIDTHS: usize = 3;

/// What all networks of the first width stand in.
const ALL: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The conns of strangers.
pub(super) struct Crowds {
    members: SecondaryMap<ConnKey, (Network, Instant)>,
    /// By their networks, and in the order in which they did something last.
    ordered: BTreeMap<Network, BTreeSet<(Instant, ConnKey)>>,
    /// How many each network has, for each width.
    counts: [BTreeMap<IpAddr, usize>; WIDTHS],
    /// The same in order: a network's width, the wider one that it stands in, how many it has, and itself.
    ranks: BTreeSet<(usize, IpAddr, usize, IpAddr)>,
}

impl Crowds {
    /// Returns a table without members.
    pub(super) fn new() -> Crowds {
        Crowds {
            members: SecondaryMap::new(),
            ordered: BTreeMap::new(),
            counts: Default::default(),
            ranks: BTreeSet::new(),
        }
    }

    /// Adds a member that did something at `at`, or moves it there.
    pub(super) fn put(&mut self, conn: ConnKey, network: Network, at: Instant) {
        self.remove(conn);
        self.members.insert(conn, (network, at));
        self.ordered.entry(network).or_default().insert((at, conn));
        self.count(network, |count| count + 1);
    }

    /// Takes it that a member did something.
    pub(super) fn stir(&mut self, conn: ConnKey, at: Instant) {
        let Some((network, before)) = self.members.get_mut(conn) else { return };
        let ordered = self.ordered.entry(*network).or_default();
        ordered.remove(&(*before, conn));
        ordered.insert((at, conn));
        *before = at;
    }

    /// Removes a member.
    pub(super) fn remove(&mut self, conn: ConnKey) {
        let Some((network, at)) = self.members.remove(conn) else { return };
        if let Some(ordered) = self.ordered.get_mut(&network) {
            ordered.remove(&(at, conn));
            if ordered.is_empty() {
                self.ordered.remove(&network);
            }
        }
        self.count(network, |count| count - 1);
    }

    /// Returns the member of the largest crowd that did nothing for the longest time, if that crowd has so many.
    pub(super) fn member_of_largest(&self, size_min: usize) -> Option<ConnKey> {
        let mut network = ALL;
        for width in 0..WIDTHS {
            let within = (width, network, 0, ALL)..(width, network, usize::MAX, ALL);
            let &(_, _, count, largest) = self.ranks.range(within).next_back()?;
            if width == 0 && count < size_min {
                return None;
            }
            network = largest;
        }
        self.ordered.get(&Network::of(network))?.first().map(|&(_, conn)| conn)
    }

    /// Tells whether a conn is a member.
    pub(super) fn has(&self, conn: ConnKey) -> bool {
        self.members.contains_key(conn)
    }

    /// Returns the network that a member is of.
    pub(super) fn network(&self, conn: ConnKey) -> Option<Network> {
        self.members.get(conn).map(|&(network, _)| network)
    }

    /// Returns how many members there are.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Asserts that the tables agree.
    pub(super) fn check(&self) {
        for (conn, (network, at)) in &self.members {
            assert!(self.ordered[network].contains(&(*at, conn)), "members ↔ their order");
        }
        assert_eq!(
            self.ordered.values().map(BTreeSet::len).sum::<usize>(),
            self.members.len(),
            "members ↔ their order"
        );
        for (width, counts) in self.counts.iter().enumerate() {
            assert_eq!(counts.values().sum::<usize>(), self.members.len(), "members ↔ counts of width {width}");
        }
        assert_eq!(self.counts.iter().map(BTreeMap::len).sum::<usize>(), self.ranks.len(), "counts ↔ ranks");
    }

    fn count(&mut self, network: Network, change: impl Fn(usize) -> usize) {
        let mut wider = ALL;
        for (width, ip) in widths(network).into_iter().enumerate() {
            let before = self.counts[width].get(&ip).copied().unwrap_or_default();
            let after = change(before);
            self.ranks.remove(&(width, wider, before, ip));
            if after > 0 {
                self.counts[width].insert(ip, after);
                self.ranks.insert((width, wider, after, ip));
            } else {
                self.counts[width].remove(&ip);
            }
            wider = ip;
        }
    }
}

/// Returns the networks that a network stands in, the widest first and itself last.
fn widths(network: Network) -> [IpAddr; WIDTHS] {
    match network.ip() {
        IpAddr::V4(ip) => [Ipv4Addr::from_bits(ip.to_bits() & !0xff).into(), ip.into(), ip.into()],
        IpAddr::V6(ip) => {
            [48, 56, 64].map(|bits| Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << (128 - bits))).into())
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use std::time::Duration;

    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn the_largest_crowd_and_in_it_who_did_nothing_for_longest() {
        let (start, mut keys, mut crowds) = (Instant::now(), SlotMap::<ConnKey, ()>::with_key(), Crowds::new());
        let mut arrive = |crowds: &mut Crowds, ip: &str, at_s: u64| {
            let conn = keys.insert(());
            crowds.put(conn, Network::of(ip.parse().unwrap()), start + Duration::from_secs(at_s));
            conn
        };
        assert_eq!(crowds.member_of_largest(0), None);
        let near: Vec<ConnKey> = (0..3).map(|n| arrive(&mut crowds, &format!("192.0.2.{n}"), n)).collect();
        let host: Vec<ConnKey> = (0..2).map(|n| arrive(&mut crowds, "192.0.2.7", 10 + n)).collect();
        let far: Vec<ConnKey> = (0..4).map(|n| arrive(&mut crowds, &format!("2001:db8:0:{n}00::1"), n)).collect();
        assert_eq!(crowds.member_of_largest(0), Some(host[0]), "the host with most, in the /24 with most");
        assert_eq!(crowds.member_of_largest(6), None, "so many are no crowd");
        let more: Vec<ConnKey> = (0..2).map(|n| arrive(&mut crowds, &format!("2001:db8:0:30{n}::9"), 20)).collect();
        assert_eq!(crowds.member_of_largest(6), Some(far[3]), "in the /48 the /56 with most, in that the /64");
        crowds.stir(far[3], start + Duration::from_secs(30));
        assert_eq!(crowds.member_of_largest(6), Some(more[0]), "the other one there");
        crowds.put(near[0], Network::of("2001:db8:1::1".parse().unwrap()), start);
        crowds.check();
        for conn in near.into_iter().chain(host).chain(far).chain(more) {
            crowds.remove(conn);
            crowds.remove(conn);
        }
        crowds.check();
        assert_eq!((crowds.len(), crowds.member_of_largest(0)), (0, None));
    }
}
