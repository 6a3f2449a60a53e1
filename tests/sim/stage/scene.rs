//! A world on a perfect network in which some hear others, and strangers do their worst.
//!
//! Invariant: whoever is named with [`Scene::hears`] hears every packet made from then on until the scene's end, once.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use crate::link::Quality;
use crate::world::{Who, World};

/// Someone who hears someone, from that packet on.
#[derive(Clone, Copy)]
struct Pair {
    hearer: Who,
    speaker: Who,
    from: u32,
}

pub struct Scene {
    pub world: World,
    /// Bystanders: on air, and who hears them.
    pub speaker: Who,
    pub hearer: Who,
    pairs: Vec<Pair>,
}

impl Scene {
    /// Returns a scene with two bystanders.
    #[allow(clippy::new_without_default, reason = "seconds of the world have passed when it returns")]
    pub fn new() -> Scene {
        let mut world = World::new(7, Quality::PERFECT);
        let speaker = world.publisher("speaker");
        let hearer = world.listener("hearer");
        world.settle();
        let mut scene = Scene { world, speaker, hearer, pairs: Vec::new() };
        scene.joins(hearer, speaker);
        scene.hears(hearer, speaker);
        scene
    }

    /// Adds somebody on air, `lea`, and two who hear her, `paul` and `ana`: those who are attacked.
    pub fn with_lea() -> (Scene, Who, [Who; 2]) {
        let mut scene = Scene::new();
        let lea = scene.world.publisher("lea");
        let listeners = ["paul", "ana"].map(|id| scene.world.listener(id));
        scene.world.settle();
        for who in listeners {
            scene.joins(who, lea);
        }
        (scene, lea, listeners)
    }

    /// The same, where nothing of the attack may be heard either.
    pub fn with_unharmed_lea() -> (Scene, Who, [Who; 2]) {
        let (mut scene, lea, listeners) = Scene::with_lea();
        for who in listeners {
            scene.hears(who, lea);
        }
        (scene, lea, listeners)
    }

    fn joins(&mut self, hearer: Who, speaker: Who) {
        let id = self.world.browsers[speaker].id.clone();
        self.world.join(hearer, &id);
        self.world.run_ms(1000);
    }

    /// From now on a listener must hear somebody without a gap.
    pub fn hears(&mut self, hearer: Who, speaker: Who) {
        let from = self.world.browsers[speaker].made;
        self.pairs.push(Pair { hearer, speaker, from });
    }

    /// Asserts that everybody heard all that was made until now, and each packet once.
    pub fn check(&mut self) {
        let until: Vec<u32> = self.pairs.iter().map(|pair| self.world.browsers[pair.speaker].made).collect();
        self.world.run_ms(10);
        for (&Pair { hearer, speaker, from }, until) in self.pairs.iter().zip(until) {
            let (hearer, speaker) = (&self.world.browsers[hearer], &self.world.browsers[speaker]);
            let heard = hearer.heard_of(speaker.index).map(|heard| heard.counter);
            let heard: Vec<u32> = heard.filter(|counter| (from..until).contains(counter)).collect();
            let once: BTreeSet<u32> = heard.iter().copied().collect();
            let missed = (from..until).find(|counter| !once.contains(counter));
            assert_eq!(missed, None, "law 4: {} did not hear all of {}", hearer.id, speaker.id);
            assert_eq!(heard.len(), once.len(), "law 7: {} heard a packet twice", hearer.id);
        }
    }

    /// Asserts that nothing was felt, and that nothing is left of it.
    pub fn end(mut self) {
        self.world.run_ms(1000);
        let is_silent = self.pairs.iter().any(|pair| self.world.browsers[pair.speaker].made <= pair.from);
        assert!(!is_silent, "somebody was silent, so that nothing was tested");
        self.check();
        self.world.end();
    }

    /// Lets a browser send nothing for so long; returns what it would have sent.
    pub fn withhold(&mut self, who: Who, ms: u64) -> Vec<Vec<u8>> {
        self.world.record(who);
        self.world.unplug(who);
        self.world.run_ms(ms);
        self.world.plug(who);
        self.world.take_record(who)
    }

    /// Lets time pass; returns what a browser sent meanwhile, as somebody on the way could keep it.
    pub fn overhear(&mut self, who: Who, ms: u64) -> Vec<Vec<u8>> {
        self.world.record(who);
        self.world.run_ms(ms);
        self.world.take_record(who)
    }

    /// Sends `count` datagrams in `ms`, evenly.
    pub fn flood(&mut self, ms: u64, count: u64, mut send: impl FnMut(&mut World, u64)) {
        let step = Duration::from_millis(ms) / count as u32;
        let mut due = self.world.now;
        for n in 0..count {
            due += step;
            // Whole milliseconds, so that a datagram does not cost a turn of everybody.
            let ahead_ms = due.saturating_duration_since(self.world.now).as_millis() as u64;
            if ahead_ms > 0 {
                self.world.run_ms(ahead_ms);
            }
            send(&mut self.world, n);
        }
        self.world.run_ms(1);
    }
}

/// An address that is nobody's.
pub fn stranger(n: usize) -> SocketAddr {
    SocketAddr::from(([198, 18, (n / 250) as u8, (n % 250) as u8], 4000))
}

/// Tells what a datagram is (RFC 7983, RFC 5761 §4).
pub fn is_rtp(bytes: &[u8]) -> bool {
    matches!(bytes, [128..=191, second, ..] if !(64..96).contains(&(second & 0x7f)))
}

pub fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [128..=191, second, ..] if (64..96).contains(&(second & 0x7f)))
}

pub fn is_dtls(bytes: &[u8]) -> bool {
    matches!(bytes, [20..=63, ..])
}

pub fn is_stun(bytes: &[u8]) -> bool {
    matches!(bytes, [0..=3, ..])
}
