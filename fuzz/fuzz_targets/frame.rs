//! Datagrams over TCP. The property is [`ecoute::fuzz::frame`].
#![no_main]

use std::time::Instant;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ecoute::fuzz::frame(Instant::now(), bytes));
