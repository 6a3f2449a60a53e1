//! Maps remote addresses to peers.
//!
//! An address is learned from what we *answer*, never from what we are sent: the caller claims it after its
//! session's ICE agent has answered an authenticated check (RFC 8445 §7.3), so a forged request can't claim one.
//!
//! Invariant: `by_address` and `addresses_of` hold the same pairs; both are bounded.

use std::collections::HashMap;

use slotmap::SecondaryMap;

use crate::keys::PeerKey;
use crate::path::Remote;

/// The table of addresses.
#[derive(Debug)]
pub struct Demux {
    by_address: HashMap<Remote, PeerKey>,
    /// Longest unclaimed first.
    addresses_of: SecondaryMap<PeerKey, Vec<Remote>>,
    addresses_per_peer_max: usize,
}

impl Demux {
    /// Returns an empty table that keeps up to `addresses_per_peer_max` addresses of each peer.
    pub fn new(addresses_per_peer_max: usize) -> Demux {
        Demux { by_address: HashMap::new(), addresses_of: SecondaryMap::new(), addresses_per_peer_max }
    }

    /// Returns the peer that owns an address.
    pub fn owner(&self, remote: Remote) -> Option<PeerKey> {
        self.by_address.get(&remote).copied()
    }

    /// Gives an address to `peer`, whoever had it; when the peer has too many, the one that it has not claimed for
    /// the longest time is forgotten, but not the one `in_use`. Returns the forgotten one.
    pub fn claim(&mut self, remote: Remote, peer: PeerKey, in_use: Option<Remote>) -> Option<Remote> {
        if let Some(before) = self.by_address.insert(remote, peer)
            && let Some(addresses) = self.addresses_of.get_mut(before)
        {
            addresses.retain(|&address| address != remote);
        }
        let Some(entry) = self.addresses_of.entry(peer) else {
            // A removed peer's key owns nothing.
            self.by_address.remove(&remote);
            return None;
        };
        let addresses = entry.or_default();
        addresses.push(remote);
        if addresses.len() <= self.addresses_per_peer_max {
            return None;
        }
        let oldest = addresses.iter().position(|&address| Some(address) != in_use).unwrap_or_default();
        let forgotten = addresses.remove(oldest);
        self.by_address.remove(&forgotten);
        Some(forgotten)
    }

    /// Returns the addresses of a peer.
    pub fn addresses(&self, peer: PeerKey) -> &[Remote] {
        self.addresses_of.get(peer).map_or(&[], Vec::as_slice)
    }

    /// Forgets one address; returns whose it was.
    pub fn forget(&mut self, remote: Remote) -> Option<PeerKey> {
        let peer = self.by_address.remove(&remote)?;
        if let Some(addresses) = self.addresses_of.get_mut(peer) {
            addresses.retain(|&address| address != remote);
        }
        Some(peer)
    }

    /// Forgets all addresses of a peer, and returns them.
    pub fn remove(&mut self, peer: PeerKey) -> Vec<Remote> {
        let addresses = self.addresses_of.remove(peer).unwrap_or_default();
        for remote in &addresses {
            self.by_address.remove(remote);
        }
        addresses
    }

    /// Returns how many addresses are known.
    pub fn len(&self) -> usize {
        self.by_address.len()
    }

    /// Tells whether no address is known.
    pub fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use slotmap::SlotMap;
    use str0m::net::Protocol;

    use super::*;
    use crate::path::Path;

    fn remote(port: u16) -> Remote {
        let [remote, local] = [port, 8080].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        Path { proto: Protocol::Udp, remote, local }.client()
    }

    fn two_peers() -> [PeerKey; 2] {
        let mut peers: SlotMap<PeerKey, ()> = SlotMap::with_key();
        [peers.insert(()), peers.insert(())]
    }

    #[test]
    fn the_last_claim_owns_and_both_maps_agree() {
        let [a, b] = two_peers();
        let mut demux = Demux::new(2);
        demux.claim(remote(1), a, None);
        demux.claim(remote(1), a, None);
        demux.claim(remote(1), b, None);
        assert_eq!(demux.owner(remote(1)), Some(b));
        demux.remove(a);
        assert_eq!(demux.owner(remote(1)), Some(b), "a lost the address and can't take it along");
        demux.remove(b);
        assert!(demux.is_empty());
    }

    #[test]
    fn the_oldest_address_is_forgotten() {
        let [a, _] = two_peers();
        let mut demux = Demux::new(2);
        let forgotten: Vec<_> = (1..=3).map(|port| demux.claim(remote(port), a, None)).collect();
        assert_eq!(forgotten, [None, None, Some(remote(1))]);
        assert_eq!(demux.owner(remote(1)), None);
        assert_eq!(demux.owner(remote(3)), Some(a));
        demux.claim(remote(2), a, None);
        demux.claim(remote(4), a, None);
        assert_eq!(demux.owner(remote(2)), Some(a), "claimed again, so not the oldest");
        assert_eq!(demux.len(), 2);
    }

    #[test]
    fn an_address_is_forgotten_by_itself() {
        let [a, b] = two_peers();
        let mut demux = Demux::new(2);
        demux.claim(remote(1), a, None);
        demux.claim(remote(2), a, None);
        assert_eq!(demux.forget(remote(1)), Some(a));
        assert_eq!(demux.forget(remote(1)), None);
        demux.claim(remote(1), b, None);
        assert_eq!(demux.remove(a), [remote(2)]);
        assert_eq!(demux.remove(b), [remote(1)]);
        assert!(demux.is_empty());
    }

    #[test]
    fn connections_to_two_addresses_from_one_port_are_two() {
        let [remote, local, other] =
            ["192.0.2.9:5", "192.0.2.1:80", "192.0.2.2:80"].map(|text| text.parse().unwrap());
        let client = |proto, local| Path { proto, remote, local }.client();
        assert_ne!(client(Protocol::Tcp, local), client(Protocol::Tcp, other));
        assert_eq!(client(Protocol::Udp, local), client(Protocol::Udp, other));
        assert_ne!(client(Protocol::Udp, local), client(Protocol::Tcp, local));
    }

    #[test]
    fn the_address_in_use_is_kept_however_many_others_come() {
        let [a, _] = two_peers();
        for addresses_max in [1, 2] {
            let mut demux = Demux::new(addresses_max);
            for port in 1..100 {
                demux.claim(remote(port), a, Some(remote(1)));
            }
            assert_eq!(demux.owner(remote(1)), Some(a));
            assert_eq!(demux.len(), addresses_max);
        }
    }
}
