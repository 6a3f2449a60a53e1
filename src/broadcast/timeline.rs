//! Which packets of the stream on air were sent after a moment, over a network that may hold some back.
//!
//! A page counts what it sends, so that its own word tells which packet comes next. What says no count is known by its
//! timestamps: had it come as fast as the fastest one before, when was it sent? Invariant: nothing from before a moment is
//! taken for later, but of an encoder all of whose packets were held back alike from the first one on.

use std::time::{Duration, Instant};

use crate::arrivals::Arrival;
use crate::config::STREAMS_LEFT_MAX;
use crate::keys::PeerKey;

/// How many packets a page may have sent beyond its count: statistics are read a moment late, and what was spoken before
/// passes the encoder after.
pub(super) const SENT_MARGIN: u64 = 10;
/// How much faster than ours the clock of an encoder may run: so much is the fastest packet forgotten, in parts per million.
const DRIFT_PPM: i64 = 100;

/// From where on a stream may be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// From anywhere.
    Any,
    /// After so many packets of this session, of the stream of this SSRC where that is known: the others of that session
    /// are not to be heard. What another session brings is later, since it was made later.
    Count { publisher: PeerKey, ssrc: Option<u32>, packets: u64 },
    /// What was sent after this moment.
    Moment(Instant),
}

/// What is known of the stream that comes, and of those of the same session that were left for it.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    stream: Option<Stream>,
    /// The last one first: one that comes again is no new one, and somebody may have kept what it brings.
    left: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    /// The publisher's session and, within it, the SSRC.
    source: (PeerKey, u32),
    lowest: u64,
    highest: u64,
    /// When the first packet came, from which all is counted.
    began: Instant,
    /// How much less than the first one's the least transit time is, in microseconds: negative, but for drift.
    least_transit_us: i64,
    last: Last,
}

/// The packet that came last.
#[derive(Clone, Copy, Debug)]
struct Last {
    at: Instant,
    sequence: u64,
    timestamp: u32,
    /// Since the first one.
    ticks: i64,
    /// When it was sent at the latest, since the first one came.
    sent_us: i64,
}

impl Timeline {
    /// A packet came, as it was authenticated.
    pub(super) fn hear(&mut self, now: Instant, arrival: Arrival) {
        let Arrival { kind, source, sequence, timestamp, .. } = arrival;
        if let Some(stream) = self.stream.as_mut().filter(|stream| stream.source == source) {
            return stream.hear(now, sequence, timestamp, kind.clock_hz());
        }
        let before = self.stream.take().filter(|stream| stream.source.0 == source.0);
        if before.is_none() {
            self.left.clear();
        }
        let mut stream = match self.left.iter().position(|stream| stream.source == source) {
            Some(index) => self.left.remove(index),
            // The same session's clock goes on: the network may have held back all of the new stream, but for so long at most as
            // since the last packet of the one before was sent.
            None => Stream::new(now, arrival, before.as_ref().map_or(0, |stream| -micros(now, stream.sent()))),
        };
        stream.hear(now, sequence, timestamp, kind.clock_hz());
        if let Some(before) = before {
            self.left.truncate(STREAMS_LEFT_MAX - 1);
            self.left.insert(0, before);
        }
        self.stream = Some(stream);
    }

    /// Returns which stream of a session comes, and how many of its numbers were passed so far.
    pub(super) fn passed(&self, publisher: PeerKey) -> Option<(u32, u64)> {
        let stream = self.stream.as_ref().filter(|stream| stream.source.0 == publisher)?;
        Some((stream.source.1, stream.highest - stream.lowest + 1))
    }

    /// Tells whether the packet that came last may be heard.
    pub(super) fn is_after(&self, from: Since) -> bool {
        match (from, &self.stream) {
            (Since::Any, _) => true,
            (_, None) => false,
            (Since::Count { publisher, ssrc, packets }, Some(stream)) => {
                let first = stream.lowest.saturating_add(packets).saturating_add(SENT_MARGIN);
                let is_counted = ssrc.is_none_or(|ssrc| ssrc == stream.source.1);
                stream.source.0 != publisher || (is_counted && stream.last.sequence >= first)
            }
            (Since::Moment(at), Some(stream)) => stream.sent() >= at,
        }
    }
}

impl Stream {
    /// Returns one of which a packet comes now, so much less as it was on its way at the least.
    fn new(now: Instant, arrival: Arrival, least_transit_us: i64) -> Stream {
        let Arrival { source, sequence, timestamp, .. } = arrival;
        let last = Last { at: now, sequence, timestamp, ticks: 0, sent_us: least_transit_us };
        Stream { source, lowest: sequence, highest: sequence, began: now, least_transit_us, last }
    }

    fn hear(&mut self, now: Instant, sequence: u64, timestamp: u32, clock_hz: u32) {
        self.lowest = self.lowest.min(sequence);
        self.highest = self.highest.max(sequence);
        // Timestamps are the client's to choose, and may leap with each packet.
        let leap = i64::from(timestamp.wrapping_sub(self.last.timestamp).cast_signed());
        let ticks = self.last.ticks.saturating_add(leap);
        let spoken_us = ticks.saturating_mul(1_000_000) / i64::from(clock_hz);
        let came_us = micros(now, self.began);
        self.least_transit_us += micros(now, self.last.at) * DRIFT_PPM / 1_000_000;
        self.least_transit_us = self.least_transit_us.min(came_us.saturating_sub(spoken_us));
        let sent_us = spoken_us.saturating_add(self.least_transit_us);
        self.last = Last { at: now, sequence, timestamp, ticks, sent_us };
    }

    /// Returns when the last packet was sent at the latest.
    fn sent(&self) -> Instant {
        let since = Duration::from_micros(self.last.sent_us.unsigned_abs());
        let sent =
            if self.last.sent_us < 0 { self.began.checked_sub(since) } else { self.began.checked_add(since) };
        sent.unwrap_or(self.began)
    }
}

fn micros(later: Instant, earlier: Instant) -> i64 {
    later.saturating_duration_since(earlier).as_micros() as i64
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use slotmap::SlotMap;

    use super::*;
    use crate::wire::media::MediaKind;

    /// A stream of packets of 20 ms, the first of which comes at once.
    struct Scene {
        start: Instant,
        source: (PeerKey, u32),
        timeline: Timeline,
    }

    impl Scene {
        fn new() -> Scene {
            let mut peers: SlotMap<PeerKey, ()> = SlotMap::with_key();
            Scene { start: Instant::now(), source: (peers.insert(()), 7), timeline: Timeline::default() }
        }

        /// The how-manieth packet comes so many ms after the first one.
        fn comes(&mut self, index: u64, at_ms: u64) {
            let timestamp = (960 * index as u32).wrapping_sub(5000);
            let (kind, source, sequence) = (MediaKind::Audio, self.source, 65_000 + index);
            let arrival = Arrival { kind, source, sequence, timestamp, bytes: 80 };
            self.timeline.hear(self.at(at_ms), arrival);
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn is_after_moment(&self, ms: u64) -> bool {
            self.timeline.is_after(Since::Moment(self.at(ms)))
        }

        fn is_after_count(&self, packets: u64) -> bool {
            let (publisher, ssrc) = self.source;
            self.timeline.is_after(Since::Count { publisher, ssrc: Some(ssrc), packets })
        }
    }

    #[test]
    fn a_count_begins_at_the_lowest_number_that_came() {
        let mut scene = Scene::new();
        assert!(!scene.is_after_count(0), "nothing came");
        scene.comes(3, 60);
        scene.comes(13, 61);
        assert!(scene.is_after_count(0));
        assert!(!scene.is_after_count(1));
        scene.comes(2, 62);
        assert!(!scene.is_after_count(0), "one that was overtaken is from before");
        assert_eq!(scene.timeline.passed(scene.source.0), Some((7, 12)));
        scene.comes(13, 63);
        assert!(scene.is_after_count(1));
        assert!(!scene.is_after_count(u64::MAX));
    }

    #[test]
    fn what_another_session_brings_is_later() {
        let mut peers: SlotMap<PeerKey, ()> = SlotMap::with_key();
        let (first, second) = (peers.insert(()), peers.insert(()));
        let mut scene = Scene { source: (second, 7), ..Scene::new() };
        scene.comes(0, 0);
        assert!(scene.timeline.is_after(Since::Count { publisher: first, ssrc: Some(7), packets: 500 }));
        assert_eq!(scene.timeline.passed(first), None);
    }

    #[test]
    fn a_stream_that_comes_again_is_where_it_was() {
        let mut scene = Scene::new();
        for index in 0..50 {
            scene.comes(index, 20 * index);
        }
        for ssrc in 8..=11 {
            scene.source.1 = ssrc;
            (0..50).for_each(|index| scene.comes(index, 1000 * (u64::from(ssrc) - 6) + 20 * index));
        }
        scene.source.1 = 7;
        // Somebody kept these two.
        for index in [60, 70] {
            scene.comes(index, 7000);
            assert!(
                scene.is_after_moment(20 * index) && !scene.is_after_moment(20 * index + 1),
                "made before the others"
            );
        }
        assert_eq!(scene.timeline.passed(scene.source.0), Some((7, 71)));
        scene.comes(360, 7200);
        assert!(scene.is_after_moment(7200));
        assert_eq!(scene.timeline.left.len(), STREAMS_LEFT_MAX);
    }

    #[test]
    fn another_stream_of_a_session_was_sent_after_the_one_before_and_no_more_is_known() {
        let mut scene = Scene::new();
        for index in 0..50 {
            scene.comes(index, 20 * index);
        }
        scene.source.1 = 8;
        assert!(scene.timeline.is_after(Since::Count { publisher: scene.source.0, ssrc: Some(7), packets: 0 }));
        // All of it is held back by 3 s: what came first was sent at 1000 ms.
        for index in 0..50 {
            scene.comes(index, 4000 + 20 * index);
            assert!(!scene.is_after_moment(1000 + 20 * index), "sent at that moment");
            assert!(scene.is_after_moment(980 + 20 * index), "and after the other one");
        }
        let count = |ssrc| Since::Count { publisher: scene.source.0, ssrc, packets: 0 };
        assert!(!scene.timeline.is_after(count(Some(7))), "it was not counted");
        assert!(scene.timeline.is_after(count(Some(8))) && scene.timeline.is_after(count(None)));
        assert_eq!(scene.timeline.passed(scene.source.0), Some((8, 50)));
    }

    #[test]
    fn what_is_held_back_is_from_before() {
        let mut scene = Scene::new();
        for index in 0..50 {
            scene.comes(index, 20 * index);
        }
        assert!(scene.is_after_moment(980), "it came as fast as any");
        assert!(!scene.is_after_moment(981));
        // From here on each is held back, by up to 3 s.
        for index in 50..350 {
            scene.comes(index, 20 * index + 10 * (index - 50));
        }
        assert!(!scene.is_after_moment(7_100), "was spoken at 6980 ms, and came at 9970");
        assert!(scene.is_after_moment(6_900));
    }

    #[test]
    fn timestamps_may_leap_with_each_packet() {
        for leap in [i32::MAX, i32::MIN] {
            let mut scene = Scene::new();
            for index in 0..10_000 {
                let (kind, source, timestamp) = (MediaKind::Audio, scene.source, leap.cast_unsigned());
                let timestamp = timestamp.wrapping_mul(index as u32);
                let arrival = Arrival { kind, source, sequence: index, timestamp, bytes: 80 };
                scene.timeline.hear(scene.at(20 * index), arrival);
                assert!(
                    scene
                        .timeline
                        .stream
                        .as_ref()
                        .is_some_and(|stream| stream.last.sent_us <= 20_000 * index as i64)
                );
            }
        }
    }

    #[test]
    fn the_first_one_may_have_been_slow_and_clocks_drift() {
        let mut scene = Scene::new();
        scene.comes(0, 100);
        scene.comes(1, 105);
        assert!(scene.is_after_moment(105), "as fast as none before");
        scene.comes(2, 150);
        assert!(scene.is_after_moment(125) && !scene.is_after_moment(126), "spoken 20 ms later");
        // An encoder whose clock is slow by 50 parts per million, for three hours.
        let mut scene = Scene::new();
        for index in 0..540_000 {
            scene.comes(index, 20 * index + index / 1000);
        }
        assert!(scene.is_after_moment(20 * 539_999 + 500), "{:?}", scene.timeline);
    }
}
