//! A network in virtual time: datagrams may be lost, delayed, doubled and overtaken; streams are only delayed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// How good a network is.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    /// Of a thousand datagrams, so many are lost.
    pub lost_per_mille: u32,
    /// Of a thousand datagrams, so many arrive twice.
    pub doubled_per_mille: u32,
    pub delay: Duration,
    /// A datagram takes up to this much longer, so that later ones overtake it.
    pub jitter: Duration,
}

impl Quality {
    pub const PERFECT: Quality = Quality {
        lost_per_mille: 0,
        doubled_per_mille: 0,
        delay: Duration::from_millis(1),
        jitter: Duration::ZERO,
    };
    pub const MOBILE: Quality = Quality {
        lost_per_mille: 30,
        doubled_per_mille: 10,
        delay: Duration::from_millis(40),
        jitter: Duration::from_millis(30),
    };
}

/// What is on its way, ordered by when it arrives.
pub struct Link<T> {
    queue: BinaryHeap<Reverse<Entry<T>>>,
    sent: u64,
    chance: fastrand::Rng,
    /// While set, nothing gets lost.
    pub is_kind: bool,
}

struct Entry<T> {
    at: Instant,
    order: u64,
    what: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl<T: Clone> Link<T> {
    pub fn new(seed: u64) -> Link<T> {
        Link { queue: BinaryHeap::new(), sent: 0, chance: fastrand::Rng::with_seed(seed), is_kind: false }
    }

    /// Sends something that may get lost.
    pub fn send(&mut self, now: Instant, quality: Quality, what: T) {
        if self.chance.u32(..1000) < quality.lost_per_mille && !self.is_kind {
            return;
        }
        if self.chance.u32(..1000) < quality.doubled_per_mille {
            let at = now + self.delay(quality);
            self.push(at, what.clone());
        }
        let at = now + self.delay(quality);
        self.push(at, what);
    }

    /// Sends something that arrives, in order.
    pub fn stream(&mut self, now: Instant, quality: Quality, what: T) {
        self.push(now + quality.delay, what);
    }

    pub fn next(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse(entry)| entry.at)
    }

    pub fn pop(&mut self, now: Instant) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        self.queue.pop().map(|Reverse(entry)| entry.what)
    }

    fn delay(&mut self, quality: Quality) -> Duration {
        quality.delay + quality.jitter.mul_f64(self.chance.f64())
    }

    fn push(&mut self, at: Instant, what: T) {
        self.sent += 1;
        self.queue.push(Reverse(Entry { at, order: self.sent, what }));
    }
}
