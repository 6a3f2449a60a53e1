//! Connectivity checks. The property is [`ecoute::fuzz::stun`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ecoute::fuzz::stun(bytes));
