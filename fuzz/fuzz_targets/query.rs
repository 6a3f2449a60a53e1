//! Questions about the past. The property is [`ecoute::fuzz::query`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ecoute::fuzz::query(bytes));
