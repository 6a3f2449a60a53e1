//! Operations on one listener's numbering. The property is [`ecoute::fuzz::egress`].
#![no_main]

use std::time::Instant;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ecoute::fuzz::egress(Instant::now(), bytes));
