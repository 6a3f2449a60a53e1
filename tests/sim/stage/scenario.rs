//! How scenarios are run, and what most of them ask: who hears whom, and what a page was told last.

use std::iter;
use std::time::Duration;

use ecoute::token::Claims;
use ecoute::words::Role;
use serde_json::Value;

use crate::link::Quality;
use crate::world::{Who, World};

/// What a mobile network loses, doubles and delays is drawn from a seed: each of these is another bad day. A seed that
/// finds a bug is added, and stays.
pub const SEEDS: [u64; 6] = [1, 2, 3, 5, 8, 13];

/// A perfect network draws nothing. What is drawn all the same, as first numbers and ids, no scenario is about: one seed
/// is enough.
const PERFECT_SEED: u64 = 1;

/// Runs a scenario on a perfect network, and with every seed on a mobile one.
pub fn scenario(run: impl Fn(&mut World)) {
    let mobile = SEEDS.map(|seed| (seed, Quality::MOBILE));
    for (seed, quality) in iter::once((PERFECT_SEED, Quality::PERFECT)).chain(mobile) {
        let mut world = World::new(seed, quality);
        run(&mut world);
        world.end();
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

/// Opens a page and its headphones, with a token that is not quite the usual one.
pub fn listener_with(world: &mut World, id: &str, edit: impl FnOnce(&mut Claims)) -> Who {
    let token = world.token(Role::Admin, id, edit);
    let who = world.open_with(id, &token);
    let now = world.now;
    world.browsers[who].open_audio(now);
    who
}

/// The same with a microphone.
pub fn publisher_with(world: &mut World, id: &str, edit: impl FnOnce(&mut Claims)) -> Who {
    let token = world.token(Role::Commercial, id, edit);
    let who = world.open_with(id, &token);
    let now = world.now;
    world.browsers[who].start_streaming(now);
    who
}

/// Returns what a page was told last of a kind.
pub fn last<'a>(world: &'a World, who: Who, event: &'a str) -> &'a Value {
    world.browsers[who].messages_of(event).last().unwrap_or_else(|| panic!("no {event}"))
}

pub fn count(world: &World, who: Who, event: &str) -> usize {
    world.browsers[who].messages_of(event).count()
}

/// Returns the codes of all errors that a page was told.
pub fn error_codes(world: &World, who: Who) -> Vec<&str> {
    world.browsers[who].messages_of("error").map(|error| error["code"].as_str().expect("a code")).collect()
}
