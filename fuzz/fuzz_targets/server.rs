//! Operations of several clients and strangers on the whole core in virtual time. The property is [`fuzz::server`],
//! which lives in the simulation.
#![no_main]
#![allow(dead_code, reason = "the simulation has more than this needs")]

#[path = "../../tests/sim/browser.rs"]
mod browser;
#[path = "../../tests/sim/fuzz.rs"]
mod fuzz;
#[path = "../../tests/sim/link.rs"]
mod link;
#[path = "../../tests/sim/world.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::server(bytes));
