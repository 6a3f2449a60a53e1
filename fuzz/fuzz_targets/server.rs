//! Operations of several clients and strangers on the whole core in virtual time. The property is [`fuzz::server`],
//! which lives on the stage of the simulation.
#![no_main]

use stage::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::server(bytes));
