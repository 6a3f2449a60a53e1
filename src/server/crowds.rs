//! Strangers by their networks: which network holds most conns that no user has registered on, and which of them goes first.
//!
//! A subscriber has a /64, a /56 or a /48 of IPv6 (RFC 6177), or some neighbouring addresses of IPv4. So networks are compared
//! by the widest of these first, and then inside the one that holds most: nobody makes room for a crowd that comes from next
//! door to it. One that rests, which is idle after a whole answer, weighs little: browsers keep six of them, and lose nothing
//! with them (RFC 9112 §9.5). Knows neither limits nor what conns do. Invariant: each member stands in one network of each width, and is
//! counted once in each. All that is asked takes a time that grows with the logarithm of the members.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use slotmap::SecondaryMap;

use super::quotas::{Network, WEIGHT, weight};
use crate::keys::ConnKey;

/// How many widths of networks there are.
const WIDTHS: usize = 3;

/// What all networks of the first width stand in.
const ALL: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The conns of strangers.
pub(super) struct Crowds {
    members: SecondaryMap<ConnKey, Member>,
    /// By their networks.
    ordered: BTreeMap<Network, Ordered>,
    /// What those of each network weigh, for each width.
    counts: [BTreeMap<IpAddr, usize>; WIDTHS],
    /// The same in order: a network's width, the wider one that it stands in, its weight, and itself.
    ranks: BTreeSet<(usize, IpAddr, usize, IpAddr)>,
}

/// What is known of one conn.
#[derive(Clone, Copy)]
struct Member {
    network: Network,
    /// When it did something last.
    at: Instant,
    rests: bool,
}

/// The conns of one network, in the order in which they did something last.
#[derive(Default)]
struct Ordered {
    waiting: BTreeSet<(Instant, ConnKey)>,
    resting: BTreeSet<(Instant, ConnKey)>,
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

    /// Adds a member that did something at `at`, or moves it there; it does not rest.
    pub(super) fn put(&mut self, conn: ConnKey, network: Network, at: Instant) {
        self.remove(conn);
        self.insert(conn, Member { network, at, rests: false });
    }

    /// Takes it that a member did something.
    pub(super) fn stir(&mut self, conn: ConnKey, at: Instant) {
        if let Some(member) = self.take(conn) {
            self.insert(conn, Member { at, ..member });
        }
    }

    /// Takes it that a member rests, or does not any more.
    pub(super) fn set_rests(&mut self, conn: ConnKey, at: Instant, rests: bool) {
        if let Some(member) = self.take(conn) {
            self.insert(conn, Member { at, rests, ..member });
        }
    }

    /// Removes a member.
    pub(super) fn remove(&mut self, conn: ConnKey) {
        self.take(conn);
    }

    /// Returns the member of the largest crowd that goes first, if that crowd weighs as much as so many that wait: of those
    /// that wait whoever did nothing for the longest time, if for longer than `grace`; else of those that rest; else
    /// whoever.
    pub(super) fn member_of_largest(&self, size_min: usize, now: Instant, grace: Duration) -> Option<ConnKey> {
        let mut network = ALL;
        for width in 0..WIDTHS {
            let within = (width, network, 0, ALL)..(width, network, usize::MAX, ALL);
            let &(_, _, weight, largest) = self.ranks.range(within).next_back()?;
            if width == 0 && weight < size_min * WEIGHT {
                return None;
            }
            network = largest;
        }
        let network = Network::of(network);
        let first = || self.ordered.get(&network)?.waiting.first().map(|&(_, conn)| conn);
        self.longest_waiting(network, now, grace).or_else(|| self.longest_resting(network)).or_else(first)
    }

    /// Returns the member of a network that waits, and did nothing for the longest time, if for longer than `grace`.
    pub(super) fn longest_waiting(&self, network: Network, now: Instant, grace: Duration) -> Option<ConnKey> {
        let first = self.ordered.get(&network)?.waiting.first().filter(|(at, _)| *at + grace <= now);
        first.map(|&(_, conn)| conn)
    }

    /// Returns the member of a network that has rested for longest.
    pub(super) fn longest_resting(&self, network: Network) -> Option<ConnKey> {
        self.ordered.get(&network)?.resting.first().map(|&(_, conn)| conn)
    }

    /// Tells whether a member rests; `None` of what is none.
    pub(super) fn rests(&self, conn: ConnKey) -> Option<bool> {
        self.members.get(conn).map(|member| member.rests)
    }

    /// Returns the network that a member is of.
    pub(super) fn network(&self, conn: ConnKey) -> Option<Network> {
        self.members.get(conn).map(|member| member.network)
    }

    /// Returns how many members there are.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Asserts that the tables agree.
    pub(super) fn check(&self) {
        for (conn, member) in &self.members {
            let ordered = &self.ordered[&member.network];
            let ordered = if member.rests { &ordered.resting } else { &ordered.waiting };
            assert!(ordered.contains(&(member.at, conn)), "members ↔ their order");
        }
        let ordered = self.ordered.values().map(|ordered| ordered.waiting.len() + ordered.resting.len());
        assert_eq!(ordered.sum::<usize>(), self.members.len(), "members ↔ their order");
        let weight = self.members.values().map(Member::weight).sum::<usize>();
        for (width, counts) in self.counts.iter().enumerate() {
            assert_eq!(counts.values().sum::<usize>(), weight, "members ↔ weights of width {width}");
        }
        assert_eq!(self.counts.iter().map(BTreeMap::len).sum::<usize>(), self.ranks.len(), "weights ↔ ranks");
    }

    fn take(&mut self, conn: ConnKey) -> Option<Member> {
        let member = self.members.remove(conn)?;
        if let Some(ordered) = self.ordered.get_mut(&member.network) {
            ordered.of(member.rests).remove(&(member.at, conn));
            if ordered.waiting.is_empty() && ordered.resting.is_empty() {
                self.ordered.remove(&member.network);
            }
        }
        self.count(member.network, |weight| weight - member.weight());
        Some(member)
    }

    fn insert(&mut self, conn: ConnKey, member: Member) {
        self.members.insert(conn, member);
        self.ordered.entry(member.network).or_default().of(member.rests).insert((member.at, conn));
        self.count(member.network, |weight| weight + member.weight());
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

impl Member {
    fn weight(&self) -> usize {
        weight(self.rests)
    }
}

impl Ordered {
    fn of(&mut self, rests: bool) -> &mut BTreeSet<(Instant, ConnKey)> {
        if rests { &mut self.resting } else { &mut self.waiting }
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
        let grace = Duration::from_secs(1);
        // Past everybody's grace.
        let late = start + Duration::from_secs(3600);
        let largest = |crowds: &Crowds, size_min| crowds.member_of_largest(size_min, late, grace);
        assert_eq!(largest(&crowds, 0), None);
        let near: Vec<ConnKey> = (0..3).map(|n| arrive(&mut crowds, &format!("192.0.2.{n}"), n)).collect();
        let host: Vec<ConnKey> = (0..2).map(|n| arrive(&mut crowds, "192.0.2.7", 10 + n)).collect();
        let far: Vec<ConnKey> = (0..4).map(|n| arrive(&mut crowds, &format!("2001:db8:0:{n}00::1"), n)).collect();
        assert_eq!(largest(&crowds, 0), Some(host[0]), "the host with most, in the /24 with most");
        assert_eq!(largest(&crowds, 6), None, "so many are no crowd");
        let more: Vec<ConnKey> = (0..2).map(|n| arrive(&mut crowds, &format!("2001:db8:0:30{n}::9"), 20)).collect();
        assert_eq!(largest(&crowds, 6), Some(far[3]), "in the /48 the /56 with most, in that the /64");
        crowds.stir(far[3], start + Duration::from_secs(30));
        assert_eq!(largest(&crowds, 6), Some(more[0]), "the other one there");
        crowds.put(near[0], Network::of("2001:db8:1::1".parse().unwrap()), start);
        crowds.check();
        for conn in near.into_iter().chain(host).chain(far).chain(more) {
            crowds.remove(conn);
            crowds.remove(conn);
        }
        crowds.check();
        assert_eq!((crowds.len(), largest(&crowds, 0)), (0, None));
    }

    #[test]
    fn who_goes_first_of_a_network() {
        let (start, mut keys, mut crowds) = (Instant::now(), SlotMap::<ConnKey, ()>::with_key(), Crowds::new());
        let at = |ms| start + Duration::from_millis(ms);
        let (here, grace) = (Network::of("192.0.2.1".parse().unwrap()), Duration::from_secs(1));
        let conns: Vec<ConnKey> = (0..5).map(|_| keys.insert(())).collect();
        for (n, &conn) in conns.iter().enumerate() {
            crowds.put(conn, here, at(100 * n as u64));
        }
        crowds.set_rests(conns[0], at(500), true);
        crowds.set_rests(conns[1], at(400), true);
        let mut order = Vec::new();
        for _ in 0..5 {
            crowds.check();
            let conn = crowds.member_of_largest(0, at(1300), grace).unwrap();
            crowds.remove(conn);
            order.push(conns.iter().position(|&known| known == conn).unwrap());
        }
        assert_eq!(order, [2, 3, 1, 0, 4], "who waits too long, who rests, who may still ask");
    }

    #[test]
    fn what_rests_makes_no_crowd() {
        let (start, mut keys, mut crowds) = (Instant::now(), SlotMap::<ConnKey, ()>::with_key(), Crowds::new());
        let mut come = |crowds: &mut Crowds, ip: &str, rests: bool| {
            let conn = keys.insert(());
            crowds.put(conn, Network::of(ip.parse().unwrap()), start);
            crowds.set_rests(conn, start, rests);
            conn
        };
        let browsers: Vec<ConnKey> = (0..2 * WEIGHT).map(|_| come(&mut crowds, "192.0.2.1", true)).collect();
        assert_eq!(crowds.member_of_largest(3, start, Duration::ZERO), None);
        assert_eq!(crowds.member_of_largest(2, start, Duration::ZERO), Some(browsers[0]));
        let attackers: Vec<ConnKey> = (0..3).map(|_| come(&mut crowds, "203.0.113.1", false)).collect();
        assert_eq!(crowds.member_of_largest(3, start, Duration::ZERO), Some(attackers[0]));
        crowds.check();
    }
}
