//! Requests, whole and in pieces. The property is [`ecoute::fuzz::http`].
#![no_main]

use std::time::Instant;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ecoute::fuzz::http(Instant::now(), bytes));
