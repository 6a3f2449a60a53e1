//! What one client is sent, and what it reports. The property is [`ecoute::fuzz::srtp`].
#![no_main]

use std::time::Instant;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ecoute::fuzz::srtp(Instant::now(), bytes));
