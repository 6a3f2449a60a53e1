//! Publishers by what they send: how one is found whose address changed without a word.
//!
//! A router that forgets a client gives it another address, from which its packets come at once, and its next check up to
//! 6 s later. The synchronization source in a packet says whose it may be; anybody can write it, so it does not do more than
//! have that address asked. Invariant: a source belongs to one session, and each address that is asked waits for one.

use std::collections::{HashMap, VecDeque};

use slotmap::SecondaryMap;

use crate::keys::PeerKey;
use crate::path::Remote;

/// The table of sources, and of addresses that were asked.
#[derive(Debug, Default)]
pub(super) struct Sources {
    by_source: HashMap<u32, PeerKey>,
    source_of: SecondaryMap<PeerKey, u32>,
    /// Longest waiting first.
    asked: VecDeque<(Remote, PeerKey)>,
}

impl Sources {
    /// A session's packet of this source was authenticated; one that is somebody's already stays so.
    #[inline]
    pub(super) fn follow(&mut self, peer: PeerKey, source: u32) {
        if self.source_of.get(peer) != Some(&source) && !self.by_source.contains_key(&source) {
            if let Some(before) = self.source_of.insert(peer, source) {
                self.by_source.remove(&before);
            }
            self.by_source.insert(source, peer);
        }
    }

    /// Returns the session that sends this source.
    pub(super) fn sender(&self, source: u32) -> Option<PeerKey> {
        self.by_source.get(&source).copied()
    }

    /// An address is asked whether this session's client is there; of so many at most it is remembered.
    pub(super) fn ask(&mut self, remote: Remote, peer: PeerKey, asked_max: usize) {
        if self.asked.iter().any(|&asked| asked == (remote, peer)) {
            return;
        }
        if self.asked.len() >= asked_max {
            self.asked.pop_front();
        }
        self.asked.push_back((remote, peer));
    }

    /// Returns for which session an address was asked last.
    pub(super) fn asked_for(&self, remote: Remote) -> Option<PeerKey> {
        self.asked.iter().rev().find(|(asked, _)| *asked == remote).map(|&(_, peer)| peer)
    }

    /// An address is a session's, or no more asked for it.
    pub(super) fn forget(&mut self, remote: Remote) {
        self.asked.retain(|(asked, _)| *asked != remote);
    }

    /// Forgets a session.
    pub(super) fn remove(&mut self, peer: PeerKey) {
        if let Some(source) = self.source_of.remove(peer) {
            self.by_source.remove(&source);
        }
        self.asked.retain(|(_, asked)| *asked != peer);
    }

    /// Returns how many rows the fullest of the tables has.
    pub(super) fn rows_max(&self) -> usize {
        self.by_source.len().max(self.source_of.len()).max(self.asked.len())
    }

    /// Asserts that both maps have the same pairs, of sessions that are there.
    pub(super) fn check(&self, is_there: impl Fn(PeerKey) -> bool) {
        assert_eq!(self.by_source.len(), self.source_of.len(), "sources ↔ sessions");
        for (peer, source) in &self.source_of {
            assert_eq!(self.sender(*source), Some(peer), "sources ↔ sessions");
            assert!(is_there(peer), "a source is of a session that is gone");
        }
        assert!(self.asked.iter().all(|&(_, peer)| is_there(peer)), "an address is asked for who is gone");
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

    #[test]
    fn a_source_is_of_who_had_it_first_and_ends_with_it() {
        let mut peers: SlotMap<PeerKey, ()> = SlotMap::with_key();
        let [one, two] = [peers.insert(()), peers.insert(())];
        let mut sources = Sources::default();
        sources.follow(one, 7);
        sources.follow(two, 7);
        assert_eq!(sources.sender(7), Some(one));
        sources.follow(one, 8);
        sources.follow(two, 7);
        assert_eq!([7, 8, 9].map(|source| sources.sender(source)), [Some(two), Some(one), None]);
        sources.check(|peer| peers.contains_key(peer));
        sources.remove(one);
        sources.remove(two);
        assert_eq!(sources.rows_max(), 0);
    }

    #[test]
    fn so_many_addresses_are_asked_and_the_oldest_forgotten() {
        let mut peers: SlotMap<PeerKey, ()> = SlotMap::with_key();
        let [one, two] = [peers.insert(()), peers.insert(())];
        let mut sources = Sources::default();
        for port in [1, 1, 2, 3] {
            sources.ask(remote(port), one, 2);
        }
        assert_eq!([1, 2, 3].map(|port| sources.asked_for(remote(port))), [None, Some(one), Some(one)]);
        sources.ask(remote(3), two, 2);
        assert_eq!(sources.asked_for(remote(3)), Some(two), "the last one");
        sources.forget(remote(3));
        assert_eq!(sources.rows_max(), 0);
        sources.ask(remote(3), two, 2);
        sources.remove(two);
        assert_eq!(sources.rows_max(), 0);
    }
}
