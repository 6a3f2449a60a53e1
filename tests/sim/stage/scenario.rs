//! How scenarios are run, and what most of them ask: who hears whom, and what a page was told last.

use std::time::Duration;

use serde_json::Value;

use crate::link::Quality;
use crate::world::{Who, World};

pub const SEEDS: [u64; 6] = [1, 2, 3, 5, 8, 13];

/// Runs a scenario on a perfect and on a mobile network, with every seed.
pub fn scenario(run: impl Fn(&mut World)) {
    for seed in SEEDS {
        for quality in [Quality::PERFECT, Quality::MOBILE] {
            let mut world = World::new(seed, quality);
            run(&mut world);
            world.end();
        }
    }
}

/// Asserts that a listener heard at least so many percent of what one microphone made in the last `ms`.
pub fn assert_hears(world: &World, listener: usize, publisher: usize, ms: u64, percent: usize) {
    let since = world.now - Duration::from_millis(ms);
    let heard = world.browsers[listener].heard_of(publisher as u16).filter(|heard| heard.at > since).count();
    let made = ms as usize / 20;
    assert!(heard * 100 >= made * percent, "heard {heard} of {made}");
}

pub fn hears_nothing(world: &World, listener: usize, ms: u64) -> bool {
    let since = world.now - Duration::from_millis(ms);
    !world.browsers[listener].heard.iter().any(|heard| heard.at > since)
}

/// Léa on air, heard by Paul.
pub fn heard(world: &mut World) -> (Who, Who) {
    let lea = world.publisher("lea");
    let paul = world.listener("paul");
    world.settle();
    world.join(paul, "lea");
    world.run_ms(2000);
    assert_hears(world, paul, lea, 1000, 80);
    (lea, paul)
}

pub fn last<'a>(world: &'a World, who: Who, event: &'a str) -> &'a Value {
    world.browsers[who].messages_of(event).last().unwrap_or_else(|| panic!("no {event}"))
}

pub fn count(world: &World, who: Who, event: &str) -> usize {
    world.browsers[who].messages_of(event).count()
}
