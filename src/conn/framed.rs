//! A TCP client that speaks ICE-TCP: datagrams behind their lengths, in both directions (RFC 6544, RFC 4571).
//!
//! A network that is slower than the audio would fall behind it for ever, so what waited for too long is dropped,
//! oldest first, as a router would. Invariant: what waits to be sent is bounded in time and number.

use std::collections::VecDeque;
use std::time::Instant;

use crate::config::Limits;
use crate::wire::frame::{self, FrameError};

/// How much room for half frames is kept, in bytes.
const RECEIVED_BYTES_KEPT: usize = 256;

/// Room for how many datagrams is kept.
const WAITING_KEPT: usize = 4;

/// What a client has sent so far, and what waits to be sent to it.
#[derive(Debug)]
pub(super) struct Framed {
    received: Vec<u8>,
    /// How many bytes of `received` were read.
    read: usize,
    /// Datagrams, and when each came.
    waiting: VecDeque<(Instant, Vec<u8>)>,
    /// The client is cut then, unless one of its checks is answered before.
    pub(super) until: Instant,
}

/// How many datagrams for a client were dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Because they waited for too long.
    pub late: u64,
    /// Because too many waited.
    pub excess: u64,
}

impl Framed {
    /// Returns a client that must have a check answered in time.
    pub(super) fn new(until: Instant) -> Framed {
        Framed { received: Vec::new(), read: 0, waiting: VecDeque::new(), until }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.received.extend(bytes);
    }

    /// Returns the next datagram that came whole.
    pub(super) fn poll(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        if let Some(datagram) = frame::parse(&self.received[self.read..])? {
            self.read += frame::HEADER_BYTES + datagram.len();
            return Ok(Some(datagram.to_vec()));
        }
        self.received.drain(..self.read);
        self.received.shrink_to(RECEIVED_BYTES_KEPT);
        self.read = 0;
        Ok(None)
    }

    /// Takes a datagram to be sent.
    pub(super) fn send(&mut self, now: Instant, datagram: Vec<u8>, limits: &Limits) -> Dropped {
        self.waiting.push_back((now, datagram));
        let late = self.drop_late(now, limits);
        let excess = self.waiting.len().saturating_sub(limits.frames_waiting_max);
        self.waiting.drain(..excess);
        Dropped { late, excess: excess as u64 }
    }

    /// Begins to write the next datagram: one at a time, because what has begun can't be dropped any more.
    pub(super) fn fill(&mut self, now: Instant, out: &mut Vec<u8>, limits: &Limits) -> Dropped {
        let late = self.drop_late(now, limits);
        if let Some((_, datagram)) = self.waiting.pop_front() {
            frame::write(&datagram, out);
        }
        if self.waiting.is_empty() {
            self.waiting.shrink_to(WAITING_KEPT);
        }
        Dropped { late, excess: 0 }
    }

    /// Writes all that waits: nothing follows.
    pub(super) fn finish(self, out: &mut Vec<u8>) {
        for (_, datagram) in self.waiting {
            frame::write(&datagram, out);
        }
    }

    /// Returns how many bytes it holds.
    pub(super) fn held_bytes(&self) -> usize {
        self.received.capacity() + self.waiting.iter().map(|(_, datagram)| datagram.capacity()).sum::<usize>()
    }

    fn drop_late(&mut self, now: Instant, limits: &Limits) -> u64 {
        let mut late = 0;
        while self.waiting.pop_front_if(|(at, _)| *at + limits.frame_age_max < now).is_some() {
            late += 1;
        }
        late
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use std::time::Duration;

    use super::*;

    fn framed() -> (Framed, Instant, Limits) {
        let now = Instant::now();
        (Framed::new(now), now, Limits::default())
    }

    #[test]
    fn datagrams_come_one_by_one_however_they_are_cut() {
        let (mut framed, ..) = framed();
        let mut stream = Vec::new();
        for datagram in [&[1, 2][..], &[3], &[4; 300]] {
            frame::write(datagram, &mut stream);
        }
        let mut read = Vec::new();
        for byte in stream {
            framed.push(&[byte]);
            read.extend(framed.poll().unwrap());
        }
        assert_eq!(read, [&[1, 2][..], &[3], &[4; 300]]);
        assert_eq!(framed.poll(), Ok(None));
        assert!(framed.held_bytes() <= RECEIVED_BYTES_KEPT, "{}", framed.held_bytes());
        framed.push(&[0, 1, 9, 0, 0]);
        assert_eq!(framed.poll(), Ok(Some(vec![9])));
        assert_eq!(framed.poll(), Err(FrameError::Empty));
    }

    #[test]
    fn what_waited_for_too_long_is_dropped_oldest_first() {
        let (mut framed, mut now, limits) = framed();
        let mut out = Vec::new();
        for number in 0..30 {
            assert_eq!(
                framed.send(now, vec![number], &limits),
                Dropped { late: number.saturating_sub(25).min(1).into(), excess: 0 }
            );
            now += Duration::from_millis(20);
        }
        assert_eq!(framed.fill(now, &mut out, &limits), Dropped { late: 1, excess: 0 });
        assert_eq!(out, [0, 1, 5]);
    }

    #[test]
    fn what_is_too_much_is_dropped_oldest_first() {
        let (mut framed, now, limits) = framed();
        for number in 0..limits.frames_waiting_max {
            assert_eq!(framed.send(now, vec![number as u8], &limits), Dropped::default());
        }
        assert_eq!(framed.send(now, vec![99], &limits), Dropped { late: 0, excess: 1 });
        let mut out = Vec::new();
        framed.fill(now, &mut out, &limits);
        assert_eq!(out, [0, 1, 1]);
    }
}
