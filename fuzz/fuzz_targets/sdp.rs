//! Offers, up to the answer of the WebRTC library. The property is [`ecoute::fuzz::sdp`].
#![no_main]

use std::time::Instant;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ecoute::fuzz::sdp(Instant::now(), bytes));
