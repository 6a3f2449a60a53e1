//! A TCP client that speaks ICE-TCP: datagrams behind their lengths, in both directions (RFC 6544, RFC 4571).
//!
//! A network that is slower than the audio would fall behind it for ever, so what waited for too long is dropped,
//! oldest first, as a router would. It waits here and not in the kernel, where nothing is dropped or taken back: no more is
//! written while that holds more than a little ([`Unsent`]). Invariant: what waits to be sent is bounded in time and number.

use std::collections::VecDeque;
use std::mem;
use std::time::Instant;

use super::{Conn, State, Unsent};
use crate::config::ConnLimits;
use crate::wire::classify::{self, Kind};
use crate::wire::frame::{self, FrameError};
use crate::wire::rtp::{self, Media};

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
    /// When the datagram came that is being written.
    begun: Option<Instant>,
    /// Stands in the server's queue of those who may have sent a whole datagram.
    is_queued: bool,
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
        Framed { received: Vec::new(), read: 0, waiting: VecDeque::new(), begun: None, is_queued: false, until }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.received.extend(bytes);
    }

    /// Returns how many bytes came that were not read yet.
    pub(super) fn unread_bytes(&self) -> usize {
        self.received.len() - self.read
    }

    /// Takes it that it stands in the server's queue, until nothing more is read; tells whether it did not before.
    pub(super) fn enqueue(&mut self) -> bool {
        !mem::replace(&mut self.is_queued, true)
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
        self.is_queued = false;
        Ok(None)
    }

    /// Takes a datagram to be sent.
    pub(super) fn send(&mut self, now: Instant, datagram: &[u8], limits: &ConnLimits) -> Dropped {
        self.waiting.push_back((now, datagram.to_vec()));
        let late = self.drop_late(now, limits);
        let excess = self.waiting.len().saturating_sub(limits.frames_waiting_max);
        self.waiting.drain(..excess);
        Dropped { late, excess: excess as u64 }
    }

    /// Begins to write a datagram that need not wait, where no other does; tells whether it does.
    fn begin(&mut self, now: Instant, datagram: &[u8], out: &mut Vec<u8>) -> bool {
        if !self.waiting.is_empty() {
            return false;
        }
        frame::write(datagram, out);
        self.begun = Some(now);
        true
    }

    /// Begins to write the next datagram: one at a time, because what has begun can't be dropped any more.
    pub(super) fn fill(&mut self, now: Instant, out: &mut Vec<u8>, limits: &ConnLimits) -> Dropped {
        let late = self.drop_late(now, limits);
        self.begun = None;
        if let Some((at, datagram)) = self.waiting.pop_front() {
            frame::write(&datagram, out);
            self.begun = Some(at);
        }
        if self.waiting.is_empty() {
            self.waiting.shrink_to(WAITING_KEPT);
        }
        Dropped { late, excess: 0 }
    }

    /// Drops the audio that waits: the client may not hear it any more. Returns how much that was.
    pub(super) fn withdraw(&mut self) -> u64 {
        let before = self.waiting.len();
        self.waiting.retain(|(_, datagram)| !is_audio(datagram));
        (before - self.waiting.len()) as u64
    }

    /// Writes the last words, without audio: nothing follows.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        self.withdraw();
        for (_, datagram) in self.waiting {
            frame::write(&datagram, out);
        }
    }

    /// Returns how many bytes it holds.
    pub(super) fn held_bytes(&self) -> usize {
        self.received.capacity() + self.waiting.iter().map(|(_, datagram)| datagram.capacity()).sum::<usize>()
    }

    /// Tells whether what is being written has waited for too long.
    fn is_late(&self, now: Instant, limits: &ConnLimits) -> bool {
        self.begun.is_some_and(|at| at + limits.frame_age_max < now)
    }

    fn drop_late(&mut self, now: Instant, limits: &ConnLimits) -> u64 {
        let mut late = 0;
        while self.waiting.pop_front_if(|(at, _)| *at + limits.frame_age_max < now).is_some() {
            late += 1;
        }
        late
    }
}

/// Tells RTP from all else.
fn is_audio(datagram: &[u8]) -> bool {
    classify::classify(datagram) == Ok(Kind::Media) && matches!(rtp::parse_media(datagram), Ok(Media::Rtp { .. }))
}

impl Conn {
    /// Tells whether it speaks ICE-TCP.
    pub fn is_framed(&self) -> bool {
        matches!(self.state, State::Framed(_))
    }

    /// Tells whether it stands in the server's queue.
    pub fn is_ready(&self) -> bool {
        matches!(&self.state, State::Framed(framed) if framed.is_queued)
    }

    /// Takes it that a client that speaks ICE-TCP stands in the server's queue, until no whole datagram of it is left;
    /// tells whether it did not before.
    pub fn enqueue_framed(&mut self) -> bool {
        if let State::Framed(framed) = &mut self.state { framed.enqueue() } else { false }
    }

    /// Returns the next datagram of a client that speaks ICE-TCP.
    ///
    /// # Errors
    /// [`FrameError`], after which the conn is dead.
    pub fn poll_datagram(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let State::Framed(framed) = &mut self.state else { return Ok(None) };
        framed.poll().inspect_err(|_| self.state = State::Dead)
    }

    /// Returns how many bytes of datagrams came that were not read yet.
    pub fn unread_bytes(&self) -> usize {
        if let State::Framed(framed) = &self.state { framed.unread_bytes() } else { 0 }
    }

    /// Drops audio that waits for a client that speaks ICE-TCP, but for a packet of which a part was written; returns
    /// how much that was.
    pub fn withdraw_audio(&mut self, now: Instant, limits: &ConnLimits) -> u64 {
        let State::Framed(framed) = &mut self.state else { return 0 };
        let mut withdrawn = framed.withdraw();
        let is_audio = matches!(frame::parse(self.out.pending()), Ok(Some(datagram)) if is_audio(datagram));
        if is_audio && self.out.take_back() {
            withdrawn += 1;
            framed.fill(now, self.out.end(), limits);
        }
        withdrawn
    }

    /// Queues a datagram for a client that speaks ICE-TCP; returns what was dropped instead.
    pub fn send_datagram(&mut self, now: Instant, datagram: &[u8], limits: &ConnLimits) -> Dropped {
        let State::Framed(framed) = &mut self.state else { return Dropped::default() };
        if self.out.pending().is_empty() && framed.begin(now, datagram, self.out.end()) {
            return Dropped::default();
        }
        let mut dropped = framed.send(now, datagram, limits);
        if framed.is_late(now, limits) && self.out.take_back() {
            dropped.late += 1;
        }
        if self.out.pending().is_empty() {
            dropped.late += framed.fill(now, self.out.end(), limits).late;
        }
        dropped
    }

    /// Takes it that a client that speaks ICE-TCP may not get any more what it was sent.
    pub fn void(&mut self) {
        if let Unsent::AtMost(_) = self.unsent {
            self.unsent = Unsent::Void;
        }
    }

    /// Takes it that a check that came this way was answered.
    pub fn on_checked(&mut self, now: Instant, limits: &ConnLimits) {
        if let State::Framed(framed) = &mut self.state {
            framed.until = now + limits.unchecked_timeout;
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::path::{Door, Ends};

    fn framed() -> (Framed, Instant, ConnLimits) {
        let now = Instant::now();
        (Framed::new(now), now, ConnLimits::default())
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
                framed.send(now, &[number], &limits),
                Dropped { late: number.saturating_sub(25).min(1).into(), excess: 0 }
            );
            now += Duration::from_millis(20);
        }
        assert_eq!(framed.fill(now, &mut out, &limits), Dropped { late: 1, excess: 0 });
        assert_eq!(out, [0, 1, 5]);
    }

    #[test]
    fn what_the_kernel_did_not_take_in_time_is_dropped_unless_a_part_was_written() {
        for written in [0, 1] {
            let (now, limits) = (Instant::now(), ConnLimits::default());
            let [remote, local] = ["192.0.2.9:4000", "192.0.2.1:8080"].map(|text| text.parse().unwrap());
            let mut conn = Conn::new(now, Ends { remote, local, door: Door::Main }, &limits);
            assert_eq!(conn.unsent(), Unsent::Any);
            conn.push(now, &[0], &limits);
            assert_eq!(conn.unsent(), Unsent::AtMost(limits.unsent));
            conn.send_datagram(now, &[7], &limits);
            conn.handle_written(now, written, &limits);
            let later = now + limits.frame_age_max + Duration::from_millis(1);
            let late = u64::from(written == 0);
            assert_eq!(conn.send_datagram(later, &[8], &limits), Dropped { late, excess: 0 });
            let want: &[u8] = if written == 0 { &[0, 1, 8] } else { &[1, 7] };
            assert_eq!(conn.pending_write(), want);
        }
    }

    #[test]
    fn audio_is_withdrawn_and_last_words_are_not() {
        let (mut framed, now, limits) = framed();
        let (audio, report) = (vec![0x80, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3], vec![0x80, 200, 0, 1]);
        for datagram in [&audio, &report, &vec![21, 254, 253]] {
            framed.send(now, datagram, &limits);
        }
        assert_eq!(framed.withdraw(), 1);
        framed.send(now, &audio, &limits);
        let mut out = Vec::new();
        framed.finish(&mut out);
        assert_eq!(out, [0, 4, 0x80, 200, 0, 1, 0, 3, 21, 254, 253]);
    }

    #[test]
    fn what_is_too_much_is_dropped_oldest_first() {
        let (mut framed, now, limits) = framed();
        for number in 0..limits.frames_waiting_max {
            assert_eq!(framed.send(now, &[number as u8], &limits), Dropped::default());
        }
        assert_eq!(framed.send(now, &[99], &limits), Dropped { late: 0, excess: 1 });
        let mut out = Vec::new();
        framed.fill(now, &mut out, &limits);
        assert_eq!(out, [0, 1, 1]);
    }
}
