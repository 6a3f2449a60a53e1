//! Numbers what one listener gets, so that it hears one stream however often the publisher behind it changes.
//!
//! While one source is followed, sequence numbers and timestamps keep the source's differences: what the network
//! lost stays visible, and DTX is no loss. At a join, switch or restart the numbers go on without a gap, and the
//! timestamp advances by the time that passed here, so that the listener's jitter buffer has nothing to mend.
//!
//! Invariant: no two packets that leave have the same number, and a packet from before the last switch never leaves,
//! nor one that was overtaken by what already left of its source.

use std::time::Instant;

use crate::keys::PeerKey;
use crate::wire::media::MediaKind;

/// How many sources are remembered that were left: who goes to and fro faster than the network mixes up packets.
const LEFT_MAX: usize = 4;
/// The first number is below this, so that the rollover counter that a late joiner assumes, zero, is right.
const FIRST_SEQUENCE_MAX: u64 = 0x4000;

/// Which stream a packet is of: the publisher's session and, within it, the SSRC.
pub type Source = (PeerKey, u32);

/// A packet's place in the stream of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub source: Source,
    /// Extended: does not wrap.
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
}

/// A packet's place in the stream to the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// Extended: does not wrap.
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
}

/// The numbering of one listener's stream.
#[derive(Debug)]
pub struct Egress {
    kind: MediaKind,
    /// The last number sent, or the one before the first.
    last_sequence: u64,
    last_timestamp: u32,
    /// When the packet of `last_timestamp` left, and how long it sounds in ticks.
    last_sent: Option<(Instant, u32)>,
    following: Option<Following>,
    /// The sources that were left, the last one first, and the newest number that was heard of each.
    left: [Option<(Source, u64)>; LEFT_MAX],
}

/// How the numbers of the current source translate.
#[derive(Debug)]
struct Following {
    source: Source,
    /// The source's number at the switch, and ours.
    first: u64,
    first_rewritten: u64,
    /// The newest of the source's numbers.
    newest: u64,
    timestamp_offset: u32,
}

impl Egress {
    /// Returns a numbering that starts at a place chosen by `chance`.
    pub fn new(kind: MediaKind, chance: u64) -> Egress {
        Egress {
            kind,
            last_sequence: chance % FIRST_SEQUENCE_MAX,
            last_timestamp: (chance >> 32) as u32,
            last_sent: None,
            following: None,
            left: [None; LEFT_MAX],
        }
    }

    /// Returns what it numbers.
    pub fn kind(&self) -> MediaKind {
        self.kind
    }

    /// Returns where on the listener's stream a moment is, in ticks; `None` where nothing has left.
    pub fn timestamp_at(&self, now: Instant) -> Option<u32> {
        let (sent, _) = self.last_sent?;
        Some(self.last_timestamp.wrapping_add(self.ticks_since(sent, now)))
    }

    fn ticks_since(&self, then: Instant, now: Instant) -> u32 {
        let micros = now.saturating_duration_since(then).as_micros() as u64;
        (micros * u64::from(self.kind.clock_hz()) / 1_000_000) as u32
    }

    /// Ends the current source: whatever comes next starts anew, even from the same source.
    pub fn cut(&mut self) {
        let Some(Following { source, newest, .. }) = self.following.take() else { return };
        let place = self.left.iter().position(|left| left.is_some_and(|(other, _)| other == source));
        self.left[..=place.unwrap_or(LEFT_MAX - 1)].rotate_right(1);
        self.left[0] = Some((source, newest));
    }

    /// Returns the numbers under which a packet leaves, or `None` when it is from before the last switch, or older
    /// than what was heard of its source before that.
    pub fn rewrite(&mut self, now: Instant, packet: Position, payload: &[u8]) -> Option<Rewritten> {
        // A source that leaps again and again must not wrap the numbers so fast that a receiver guesses the rollover counter
        // wrong (RFC 3711 §3.3.1).
        let follows = self.following.as_ref().is_some_and(|following| {
            following.source == packet.source && packet.sequence <= following.newest + self.kind.loss_max()
        });
        if !follows {
            return self.switch(now, packet, payload);
        }
        let following = self.following.as_mut()?;
        let sequence = following.first_rewritten + packet.sequence.checked_sub(following.first)?;
        let timestamp = packet.timestamp.wrapping_add(following.timestamp_offset);
        if packet.sequence > following.newest {
            following.newest = packet.sequence;
            self.last_sequence = sequence;
            self.last_timestamp = timestamp;
            self.last_sent = Some((now, self.kind.duration_ticks(payload)));
        }
        Some(Rewritten { sequence, timestamp, marker: packet.marker })
    }

    fn switch(&mut self, now: Instant, packet: Position, payload: &[u8]) -> Option<Rewritten> {
        let is_late = |&(source, newest): &(Source, u64)| source == packet.source && packet.sequence <= newest;
        if self.left.iter().flatten().any(is_late) {
            return None;
        }
        self.cut();
        let sequence = self.last_sequence + 1;
        let timestamp = match self.last_sent {
            Some((sent, ticks)) => self.last_timestamp.wrapping_add(self.ticks_since(sent, now).max(ticks)),
            None => self.last_timestamp,
        };
        self.following = Some(Following {
            source: packet.source,
            first: packet.sequence,
            first_rewritten: sequence,
            newest: packet.sequence,
            timestamp_offset: timestamp.wrapping_sub(packet.timestamp),
        });
        self.last_sequence = sequence;
        self.last_timestamp = timestamp;
        self.last_sent = Some((now, self.kind.duration_ticks(payload)));
        Some(Rewritten { sequence, timestamp, marker: true })
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use std::time::Duration;

    use super::*;

    /// 20 ms of CELT.
    const PAYLOAD: &[u8] = &[31 << 3, 0];

    const LOSS_MAX: u64 = MediaKind::Audio.loss_max();

    fn position(ssrc: u32, sequence: u64, timestamp: u32) -> Position {
        Position { source: (PeerKey::default(), ssrc), sequence, timestamp, marker: false }
    }

    struct Listener {
        egress: Egress,
        now: Instant,
    }

    impl Listener {
        fn new() -> Listener {
            Listener { egress: Egress::new(MediaKind::Audio, 100 | 7000 << 32), now: Instant::now() }
        }

        fn send(&mut self, after_ms: u64, packet: Position) -> Option<(u64, u32, bool)> {
            self.now += Duration::from_millis(after_ms);
            let rewritten = self.egress.rewrite(self.now, packet, PAYLOAD)?;
            Some((rewritten.sequence, rewritten.timestamp, rewritten.marker))
        }
    }

    #[test]
    fn keeps_the_differences_of_one_source() {
        let mut listener = Listener::new();
        assert_eq!(listener.send(0, position(1, 500, 90_000)), Some((101, 7000, true)));
        assert_eq!(listener.send(20, position(1, 501, 90_960)), Some((102, 7960, false)));
        assert_eq!(listener.send(40, position(1, 503, 92_880)), Some((104, 9880, false)), "502 was lost");
        assert_eq!(listener.send(5, position(1, 502, 91_920)), Some((103, 8920, false)), "or only late");
        assert_eq!(listener.send(400, position(1, 504, 112_080)), Some((105, 29_080, false)), "DTX");
    }

    #[test]
    fn a_switch_has_no_gap_in_numbers_and_none_in_time() {
        let mut listener = Listener::new();
        listener.send(0, position(1, 500, 0));
        assert_eq!(listener.send(100, position(2, 9, 55)), Some((102, 7000 + 4800, true)), "100 ms later");
        assert_eq!(listener.send(1, position(3, 9, 77)), Some((103, 11_800 + 960, true)), "at least one frame");
        assert_eq!(listener.send(20, position(3, 8, 0)), None, "from before the switch");
    }

    #[test]
    fn a_cut_makes_the_same_source_start_anew() {
        let mut listener = Listener::new();
        listener.send(0, position(1, 500, 0));
        listener.egress.cut();
        assert_eq!(listener.send(1000, position(1, 550, 48_000)), Some((102, 7000 + 48_000, true)));
        assert_eq!(listener.send(0, position(1, 549, 47_040)), None);
    }

    #[test]
    fn a_late_packet_does_not_begin_a_source_anew() {
        let mut listener = Listener::new();
        listener.send(0, position(1, 500, 0));
        listener.egress.cut();
        assert_eq!(listener.send(20, position(1, 499, 0)), None, "overtaken before the cut");
        assert_eq!(listener.send(20, position(2, 9, 0)), Some((102, 7000 + 1920, true)));
        assert_eq!(listener.send(5, position(1, 498, 0)), None, "late, and no reason to leave the other source");
        assert_eq!(listener.send(15, position(2, 10, 960)), Some((103, 7000 + 1920 + 960, false)));
        assert_eq!(listener.send(20, position(1, 501, 0)), Some((104, 7000 + 1920 + 1920, true)), "there and back");
        assert_eq!(listener.send(20, position(2, 8, 0)), None);
    }

    #[test]
    fn a_leap_is_a_restart_that_receivers_survive() {
        let mut listener = Listener::new();
        listener.send(0, position(1, 500, 0));
        assert_eq!(listener.send(20, position(1, 500 + LOSS_MAX, 960)), Some((101 + LOSS_MAX, 7960, false)));
        let leap = position(1, 500 + 2 * LOSS_MAX + 1, 5);
        assert_eq!(listener.send(20, leap), Some((102 + LOSS_MAX, 7960 + 960, true)));
    }

    #[test]
    fn numbers_start_where_the_rollover_counter_is_zero() {
        for chance in [0, u64::MAX, FIRST_SEQUENCE_MAX] {
            let mut egress = Egress::new(MediaKind::Audio, chance);
            let first = egress.rewrite(Instant::now(), position(1, u64::from(u32::MAX), 1), PAYLOAD).unwrap();
            assert!((1..=FIRST_SEQUENCE_MAX).contains(&first.sequence));
        }
    }

    #[test]
    fn timestamps_wrap() {
        let mut egress = Egress::new(MediaKind::Audio, u64::MAX);
        let now = Instant::now();
        let first = egress.rewrite(now, position(1, 1, u32::MAX - 10), PAYLOAD).unwrap();
        let second = egress.rewrite(now, position(1, 2, 949), PAYLOAD).unwrap();
        assert_eq!(second.timestamp, first.timestamp.wrapping_add(960));
    }
}
