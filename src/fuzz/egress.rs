//! What one listener's numbering does with any list of packets, switches and waits.
//!
//! Invariant: the listener hears one stream: no number twice, each source in its order, no gap that the network did not
//! make, and time that goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use slotmap::KeyData;

use super::bytes::Choices;
use crate::keys::PeerKey;
use crate::peer::egress::{Egress, Position, Rewritten, Source};
use crate::wire::media::MediaKind;
use crate::wire::opus;

/// A step of up to so many packets, two seconds, is loss; a longer one a restart.
const LOSS_MAX: u64 = 100;
/// Ticks in a millisecond (RFC 7587 §4.1).
const TICKS_PER_MS: u64 = 48;

/// The laws of [`Egress`] hold over a list of operations.
pub fn egress(start: Instant, bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut stream = Stream::new(start, choices.u64());
    let mut sources: Vec<Microphone> = (0..3).map(|index| Microphone::new(index, &mut choices)).collect();
    while !choices.is_empty() {
        let operation = choices.u8();
        match operation & 7 {
            0 => stream.cut(),
            1 => stream.wait(u64::from(choices.u16())),
            2 | 3 => stream.wait(u64::from(operation >> 3)),
            4 => stream.wait(20),
            _ => {
                let source = &mut sources[usize::from(operation >> 6) % 3];
                if let Some((position, payload)) = source.packet(operation, &mut choices) {
                    stream.send(position, payload);
                }
            }
        }
    }
}

/// A source of packets, none of which comes twice: the library has seen to that (RFC 3711 §3.3.2).
struct Microphone {
    source: Source,
    newest: u64,
    timestamp: u32,
    came: BTreeSet<u64>,
}

impl Microphone {
    /// The first two are streams of one session.
    fn new(index: u32, choices: &mut Choices<'_>) -> Microphone {
        let peer = PeerKey::from(KeyData::from_ffi(1 << 32 | u64::from(index / 2 + 1)));
        // The library extends 16 bits by a rollover counter of 32.
        let newest = u64::from(choices.u16()) << (index * 8);
        let timestamp = u32::from(choices.u16()) << 16;
        Microphone { source: (peer, index), newest, timestamp, came: BTreeSet::new() }
    }

    fn packet<'a>(&mut self, operation: u8, choices: &mut Choices<'a>) -> Option<(Position, &'a [u8])> {
        let sequence = match operation & 7 {
            5 => self.newest + 1,
            6 => self.newest + u64::from(choices.u8()),
            _ => self.newest.checked_sub(u64::from(choices.u8()))?,
        };
        if !self.came.insert(sequence) {
            return None;
        }
        let payload = choices.slice(usize::from(operation >> 3 & 3));
        self.timestamp = match operation >> 5 & 1 {
            0 => self.timestamp.wrapping_add(960),
            _ => self.timestamp.wrapping_add(u32::from(choices.u16()) << 8),
        };
        self.newest = self.newest.max(sequence);
        let marker = payload.len() == 1;
        Some((Position { source: self.source, sequence, timestamp: self.timestamp, marker }, payload))
    }
}

/// What the listener got.
struct Stream {
    egress: Egress,
    now: Instant,
    /// What left of each source, by its own number.
    left: BTreeMap<Source, BTreeMap<u64, Rewritten>>,
    numbers: BTreeSet<u64>,
    /// The packet with the highest number, when it left, and how long it sounds in ticks.
    highest: Option<(Rewritten, Instant, u64)>,
    /// A packet that left of the source that is followed, unless it was cut.
    followed: Option<(Position, Rewritten)>,
}

impl Stream {
    fn new(now: Instant, chance: u64) -> Stream {
        let egress = Egress::new(MediaKind::Audio, chance);
        let (left, numbers) = (BTreeMap::new(), BTreeSet::new());
        Stream { egress, now, left, numbers, highest: None, followed: None }
    }

    fn cut(&mut self) {
        self.egress.cut();
        self.followed = None;
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn send(&mut self, position: Position, payload: &[u8]) {
        let newest =
            self.left.get(&position.source).and_then(|left| left.last_key_value()).map(|(&newest, _)| newest);
        let rewritten = self.egress.rewrite(self.now, position, payload);
        let Some(rewritten) = rewritten else {
            assert!(newest > Some(position.sequence), "a gap that is ours: {position:?}");
            return;
        };
        self.check_order(position, rewritten);
        let follows = self.followed.filter(|(before, _)| {
            before.source == position.source && newest.is_some_and(|newest| position.sequence <= newest + LOSS_MAX)
        });
        match follows {
            Some((before, sent)) => check_difference((before, sent), (position, rewritten)),
            None => self.check_switch(rewritten),
        }
        self.followed = Some((position, rewritten));
        self.left.entry(position.source).or_default().insert(position.sequence, rewritten);
        if self.highest.is_none_or(|(highest, ..)| rewritten.sequence > highest.sequence) {
            let ticks = opus::duration_samples(payload).ok().filter(|&ticks| ticks > 0).unwrap_or(960);
            self.highest = Some((rewritten, self.now, u64::from(ticks)));
        }
    }

    /// Each number at most once, and within a source the order in which it was sent.
    fn check_order(&mut self, position: Position, rewritten: Rewritten) {
        assert!(self.numbers.insert(rewritten.sequence), "{} twice", rewritten.sequence);
        let Some(left) = self.left.get(&position.source) else { return };
        let before = left.range(..position.sequence).next_back();
        let after = left.range(position.sequence..).next();
        assert!(before.is_none_or(|(_, before)| before.sequence < rewritten.sequence), "overtakes: {position:?}");
        assert!(after.is_none_or(|(_, after)| rewritten.sequence < after.sequence), "comes too late: {position:?}");
    }

    /// At a switch the numbers go on without a gap, and the time by what passed here, at least by one packet.
    fn check_switch(&self, rewritten: Rewritten) {
        assert!(rewritten.marker, "a switch is marked");
        let Some((highest, sent, ticks)) = self.highest else {
            assert!((1..=0x4000).contains(&rewritten.sequence), "a rollover counter that nobody knows");
            return;
        };
        assert_eq!(rewritten.sequence, highest.sequence + 1);
        let passed = (self.now - sent).as_millis() as u64 * TICKS_PER_MS;
        let advanced = rewritten.timestamp.wrapping_sub(highest.timestamp);
        assert_eq!(advanced, passed.max(ticks) as u32);
    }
}

/// Within one source, numbers and timestamps differ as the source's do.
fn check_difference(before: (Position, Rewritten), after: (Position, Rewritten)) {
    let sequence =
        |(position, rewritten): (Position, Rewritten)| rewritten.sequence.wrapping_sub(position.sequence);
    let timestamp =
        |(position, rewritten): (Position, Rewritten)| rewritten.timestamp.wrapping_sub(position.timestamp);
    assert_eq!(sequence(after), sequence(before));
    assert_eq!(timestamp(after), timestamp(before));
    assert_eq!(after.1.marker, after.0.marker);
}
