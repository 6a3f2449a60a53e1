//! What finding the session of a datagram costs, and giving an address to one.
//!
//! `cargo bench --bench demux`. Every call takes another address than the one before: nothing is at hand by chance.
#![allow(clippy::disallowed_methods, reason = "the bench measures in real time")]

use std::cell::RefCell;
use std::net::{Ipv6Addr, SocketAddr};

use divan::{Bencher, black_box};
use ecoute::config::MediaLimits;
use ecoute::demux::Demux;
use ecoute::keys::PeerKey;
use ecoute::path::{Path, Remote};
use slotmap::SlotMap;
use str0m::net::Protocol;

fn main() {
    divan::main();
}

/// Sessions with as many addresses as each may have.
struct Table {
    demux: Demux,
    peers: Vec<PeerKey>,
    remotes: Vec<(Remote, PeerKey)>,
    chance: fastrand::Rng,
}

impl Table {
    fn new(peers: usize) -> Table {
        let limits = MediaLimits::default();
        let mut keys: SlotMap<PeerKey, ()> = SlotMap::with_key();
        let peers: Vec<PeerKey> = (0..peers).map(|_| keys.insert(())).collect();
        let mut demux = Demux::new(limits.addresses_per_peer_max);
        let mut chance = fastrand::Rng::with_seed(1);
        let mut remotes = Vec::new();
        for _ in 0..limits.addresses_per_peer_max {
            for &peer in &peers {
                let remote = remote(&mut chance);
                demux.claim(remote, peer, None);
                remotes.push((remote, peer));
            }
        }
        assert_eq!(demux.len(), remotes.len());
        Table { demux, peers, remotes, chance }
    }

    fn known(&mut self) -> (Remote, PeerKey) {
        self.remotes[self.chance.usize(..self.remotes.len())]
    }

    fn unknown(&mut self) -> (Remote, PeerKey) {
        (remote(&mut self.chance), self.peers[self.chance.usize(..self.peers.len())])
    }
}

/// A place that nobody else has, of either family.
fn remote(chance: &mut fastrand::Rng) -> Remote {
    let port = chance.u16(1024..);
    let address = if chance.bool() {
        SocketAddr::from((chance.u32(..).to_be_bytes(), port))
    } else {
        SocketAddr::from((Ipv6Addr::from_bits(chance.u128(..)), port))
    };
    Path { proto: Protocol::Udp, remote: address, local: SocketAddr::from(([192, 0, 2, 1], 8080)) }.client()
}

/// One datagram of somebody, among `peers` sessions with 8 addresses each.
#[divan::bench(args = [10, 100, 1000, 4096])]
fn owner_of_a_known_address(bencher: Bencher<'_, '_>, peers: usize) {
    let table = RefCell::new(Table::new(peers));
    bencher
        .with_inputs(|| table.borrow_mut().known())
        .bench_local_refs(|(remote, _)| table.borrow().demux.owner(black_box(*remote)));
}

/// One datagram of a stranger.
#[divan::bench(args = [10, 100, 1000, 4096])]
fn owner_of_an_unknown_address(bencher: Bencher<'_, '_>, peers: usize) {
    let table = RefCell::new(Table::new(peers));
    bencher
        .with_inputs(|| table.borrow_mut().unknown())
        .bench_local_refs(|(remote, _)| table.borrow().demux.owner(black_box(*remote)));
}

/// One answered check from an address that its session has already.
#[divan::bench(args = [10, 100, 1000, 4096])]
fn claim_again(bencher: Bencher<'_, '_>, peers: usize) {
    let table = RefCell::new(Table::new(peers));
    bencher
        .with_inputs(|| table.borrow_mut().known())
        .bench_local_refs(|(remote, peer)| table.borrow_mut().demux.claim(black_box(*remote), *peer, None));
}

/// One answered check from a new address, for which the session's oldest is forgotten.
#[divan::bench(args = [10, 100, 1000, 4096])]
fn claim_a_new_address(bencher: Bencher<'_, '_>, peers: usize) {
    let table = RefCell::new(Table::new(peers));
    bencher
        .with_inputs(|| table.borrow_mut().unknown())
        .bench_local_refs(|(remote, peer)| table.borrow_mut().demux.claim(black_box(*remote), *peer, None));
}
