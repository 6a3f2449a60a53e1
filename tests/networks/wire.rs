//! A wire between two namespaces that loses, delays and cuts: two TUN devices, and a thread that carries packets from
//! one to the other.
//!
//! What happens to a packet is [`Link`]'s, which has no clock of its own. Invariant: packets of one direction arrive in
//! the order in which they left, those of UDP among themselves.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tappers::{Interface, Tun};

use crate::namespace::{Namespace, set_addresses};

/// How many packets wait on the wire at the most; more are lost, as in any queue.
const WAITING_MAX: usize = 10_000;

/// The longest packet, in bytes.
const PACKET_MAX: usize = 1500;

/// How a wire treats packets, in each direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quality {
    /// Which share is lost.
    pub loss: f64,
    pub delay: Duration,
    /// What is added to the delay at the most.
    pub jitter: Duration,
    /// For how long somebody on the way holds back what goes over UDP.
    pub udp_held_back: Duration,
}

/// One direction of a wire.
pub struct Link {
    quality: Quality,
    chance: Rng,
    /// Of all but UDP, and of UDP.
    last_arrivals: [Option<Instant>; 2],
}

/// A wire in use, until it is dropped.
pub struct Wire {
    quality: Arc<Mutex<Quality>>,
    is_over: Arc<AtomicBool>,
    carrier: Option<JoinHandle<()>>,
}

impl Link {
    pub fn new(quality: Quality, seed: u64) -> Link {
        Link { quality, chance: Rng::with_seed(seed), last_arrivals: [None; 2] }
    }

    /// Returns when a packet that leaves now arrives; `None` where it is lost.
    pub fn pass(&mut self, now: Instant, is_udp: bool) -> Option<Instant> {
        if self.chance.f64() < self.quality.loss {
            return None;
        }
        let arrival = now + self.quality.delay + self.quality.jitter.mul_f64(self.chance.f64());
        let arrival = if is_udp { arrival + self.quality.udp_held_back } else { arrival };
        let last = &mut self.last_arrivals[usize::from(is_udp)];
        let arrival = last.map_or(arrival, |last| last.max(arrival));
        *last = Some(arrival);
        Some(arrival)
    }
}

impl Wire {
    /// Joins two hosts: `(host, interface, address with its prefix length)` at each end.
    pub fn new(one: (&Namespace, &str, &str), other: (&Namespace, &str, &str), quality: Quality) -> Wire {
        let ends = [one, other].map(|(host, interface, address)| {
            let open = || Tun::new_named(Interface::new(interface)?);
            let mut tun = host.enter(open).expect("/dev/net/tun can be opened (module tun; by whoever runs this)");
            tun.set_nonblocking(true).unwrap();
            set_addresses(host, interface, &[address]);
            tun
        });
        let quality = Arc::new(Mutex::new(quality));
        let is_over = Arc::new(AtomicBool::new(false));
        let (shared, over) = (Arc::clone(&quality), Arc::clone(&is_over));
        let carrier = thread::spawn(move || carry(&ends, &shared, &over));
        Wire { quality, is_over, carrier: Some(carrier) }
    }

    /// Treats packets differently from now on.
    pub fn become_like(&self, quality: Quality) {
        *self.quality.lock().unwrap() = quality;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(carrier) = self.carrier.take() {
            // A panic of its own has been shown.
            let _ = carrier.join();
        }
    }
}

fn carry(ends: &[Tun; 2], quality: &Mutex<Quality>, is_over: &AtomicBool) {
    let mut links = [1, 2].map(|seed| Link::new(*quality.lock().unwrap(), seed));
    let mut waiting: BinaryHeap<Reverse<(Instant, u64, usize, Vec<u8>)>> = BinaryHeap::new();
    let mut buffer = [0; PACKET_MAX];
    let mut count = 0;
    while !is_over.load(Ordering::SeqCst) {
        let now = Instant::now();
        while let Some(Reverse((at, ..))) = waiting.peek()
            && *at <= now
        {
            let Reverse((_, _, to, packet)) = waiting.pop().expect("it was seen");
            // A device that is full or down loses what comes.
            let _ = ends[to].send(&packet);
        }
        for (from, link) in links.iter_mut().enumerate() {
            link.quality = *quality.lock().unwrap();
            while let Ok(len) = ends[from].recv(&mut buffer) {
                count += 1;
                if let Some(at) = link.pass(now, is_udp(&buffer[..len])).filter(|_| waiting.len() < WAITING_MAX) {
                    waiting.push(Reverse((at, count, 1 - from, buffer[..len].to_vec())));
                }
            }
        }
        let next = waiting.peek().map(|Reverse((at, ..))| at.saturating_duration_since(Instant::now()));
        let wait_ms = next.map_or(10, |next| next.as_millis().min(10) as u16);
        let mut sources = ends.each_ref().map(|end| PollFd::new(end.as_fd(), PollFlags::POLLIN));
        // Whatever it says, the next turn looks.
        let _ = poll(&mut sources, PollTimeout::from(wait_ms));
    }
}

/// Tells whether an IP packet is one of UDP.
fn is_udp(packet: &[u8]) -> bool {
    const UDP: u8 = 17;
    match packet {
        [0x40..=0x4f, _, _, _, _, _, _, _, _, protocol, ..] => *protocol == UDP,
        [0x60..=0x6f, _, _, _, _, _, next_header, ..] => *next_header == UDP,
        _ => false,
    }
}

#[test]
fn a_link_loses_its_share_and_delays_the_rest_in_order() {
    let quality = Quality {
        loss: 0.2,
        delay: Duration::from_millis(60),
        jitter: Duration::from_millis(40),
        ..Quality::default()
    };
    let mut link = Link::new(quality, 7);
    let start = Instant::now();
    let sent = (0..10_000).map(|n| start + Duration::from_millis(n));
    let passed: Vec<_> = sent.map(|at| (at, link.pass(at, true))).collect();
    let arrived: Vec<_> = passed.iter().filter_map(|&(left, arrival)| Some((left, arrival?))).collect();
    assert!((7_800..8_200).contains(&arrived.len()), "{}", arrived.len());
    assert!(arrived.is_sorted_by_key(|&(_, arrival)| arrival));
    let delays = arrived.iter().map(|&(left, arrival)| arrival - left);
    assert!(delays.clone().all(|delay| delay >= quality.delay && delay <= quality.delay + quality.jitter));
    assert!(delays.max() > Some(Duration::from_millis(95)), "no jitter");

    let mut cut = Link::new(Quality { loss: 1.0, ..quality }, 7);
    assert!((0..1000).all(|_| cut.pass(start, false).is_none()));
    let mut clean = Link::new(Quality::default(), 7);
    assert!((0..1000).all(|_| clean.pass(start, false) == Some(start)));
}
