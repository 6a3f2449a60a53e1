//! How well one publisher's packets arrive: loss, jitter and bitrate between two looks.
//!
//! Sees numbers of packets, never audio. Invariant: a quality covers only the time since one was told last.

use std::time::{Duration, Instant};

use crate::keys::PeerKey;
use crate::wire::media::MediaKind;
use crate::words::Quality;

/// One packet that arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub kind: MediaKind,
    /// The publisher's session and, within it, the SSRC.
    pub source: (PeerKey, u32),
    /// Extended: does not wrap.
    pub sequence: u64,
    pub timestamp: u32,
    /// Of the payload.
    pub bytes: usize,
}

/// What arrived since the last [`Arrivals::take`].
#[derive(Debug)]
pub struct Arrivals {
    since: Instant,
    received: u64,
    /// How many numbers were passed.
    expected: u64,
    bytes: u64,
    last: Option<Last>,
    /// Over more than the window, as RFC 3550 has it.
    jitter_s: f64,
    /// How many were missing before the window.
    lost_before: u64,
}

/// The packet with the highest number of the current source.
#[derive(Clone, Copy, Debug)]
struct Last {
    source: (PeerKey, u32),
    sequence: u64,
    timestamp: u32,
    at: Instant,
}

impl Arrivals {
    /// Returns a window that begins now.
    pub fn new(now: Instant) -> Arrivals {
        Arrivals { since: now, received: 0, expected: 0, bytes: 0, last: None, jitter_s: 0.0, lost_before: 0 }
    }

    /// What comes until the next [`Arrivals::hear`] is not told, and not missed either.
    pub fn cut(&mut self) {
        self.last = None;
    }

    /// A packet arrived.
    pub fn hear(&mut self, now: Instant, arrival: Arrival) {
        self.received += 1;
        self.bytes += arrival.bytes as u64;
        let Arrival { kind, source, sequence, timestamp, .. } = arrival;
        let same_source = self.last.filter(|last| last.source == source);
        match same_source {
            Some(last) if sequence <= last.sequence => return,
            Some(last) if sequence - last.sequence <= kind.loss_max() => {
                self.expected += sequence - last.sequence;
                // RFC 3550 §6.4.1: the difference of the spacing here and at the sender.
                let ticks = timestamp.wrapping_sub(last.timestamp).cast_signed();
                let sent_s = f64::from(ticks) / f64::from(kind.clock_hz());
                let arrived_s = now.saturating_duration_since(last.at).as_secs_f64();
                self.jitter_s += ((arrived_s - sent_s).abs() - self.jitter_s) / 16.0;
            }
            Some(_) | None => {
                self.expected += 1;
                self.jitter_s = 0.0;
            }
        }
        self.last = Some(Last { source, sequence, timestamp, at: now });
    }

    /// Returns how many are missing since the first one.
    pub fn lost(&self) -> u64 {
        self.lost_before + self.expected.saturating_sub(self.received)
    }

    /// Returns how well packets arrived, and begins the next window; `None` when none did.
    pub fn take(&mut self, now: Instant, rtt: Option<Duration>) -> Option<Quality> {
        let window =
            Arrivals { last: self.last, jitter_s: self.jitter_s, lost_before: self.lost(), ..Arrivals::new(now) };
        let over = std::mem::replace(self, window);
        let seconds = now.saturating_duration_since(over.since).as_secs_f64();
        if over.received == 0 || seconds == 0.0 {
            return None;
        }
        let lost = over.expected.saturating_sub(over.received) as f64;
        Some(Quality {
            loss: rounded(lost / over.expected.max(1) as f64, 10_000.0),
            jitter_ms: rounded(over.jitter_s * 1000.0, 10.0),
            rtt_ms: rtt.map(|rtt| rtt.as_millis() as u64),
            bitrate_bps: (over.bytes as f64 * 8.0 / seconds) as u64,
        })
    }
}

fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    fn arrival(source: (PeerKey, u32), sequence: u64, timestamp: u32) -> Arrival {
        Arrival { kind: MediaKind::Audio, source, sequence, timestamp, bytes: 80 }
    }

    /// Hears packets of 20 ms and 80 bytes, so late in ms each; `None` is lost.
    fn window(lateness_ms: &[Option<u64>]) -> Option<Quality> {
        let mut peers: SlotMap<PeerKey, ()> = SlotMap::with_key();
        let (start, source) = (Instant::now(), (peers.insert(()), 7));
        let mut arrivals = Arrivals::new(start);
        for (index, late_ms) in lateness_ms.iter().enumerate() {
            let Some(late_ms) = late_ms else { continue };
            let at = start + Duration::from_millis(20 * index as u64 + late_ms);
            let timestamp = (960 * index as u32).wrapping_sub(2000);
            arrivals.hear(at, arrival(source, 10 + index as u64, timestamp));
        }
        arrivals.take(start + Duration::from_secs(2), Some(Duration::from_millis(31)))
    }

    #[test]
    fn counts_what_is_missing_and_how_unsteady_the_rest_is() {
        let steady = window(&[Some(5); 100]).unwrap();
        assert_eq!(steady, Quality { loss: 0.0, jitter_ms: 0.0, rtt_ms: Some(31), bitrate_bps: 32_000 });
        let lossy: Vec<_> = (0..100).map(|index| (index % 10 != 5).then_some(5)).collect();
        assert_eq!(window(&lossy).unwrap().loss, 0.1);
        let unsteady: Vec<_> = (0..100).map(|index| Some(index % 2 * 10)).collect();
        let jitter_ms = window(&unsteady).unwrap().jitter_ms;
        assert!((9.0..=10.0).contains(&jitter_ms), "{jitter_ms}");
        assert_eq!(window(&[None; 100]), None);
    }

    #[test]
    fn another_source_late_packets_and_leaps_are_no_loss() {
        let mut peers: SlotMap<PeerKey, ()> = SlotMap::with_key();
        let (start, one, two) = (Instant::now(), peers.insert(()), peers.insert(()));
        let mut arrivals = Arrivals::new(start);
        for (peer, sequence) in [(one, 10), (one, 12), (one, 11), (two, 50_000), (two, 50_001), (two, 60_000)] {
            arrivals.hear(start, arrival((peer, 1), sequence, 0));
        }
        assert_eq!(arrivals.take(start + Duration::from_secs(1), None).unwrap().loss, 0.0);
        assert_eq!(arrivals.take(start + Duration::from_secs(2), None), None, "the window is over");
    }
}
