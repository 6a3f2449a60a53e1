//! What a TCP client speaks. The property is [`ecoute::fuzz::sniff`].
#![no_main]

use std::time::Instant;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ecoute::fuzz::sniff(Instant::now(), bytes));
