//! Datagrams of every kind. The property is [`ecoute::fuzz::classify`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ecoute::fuzz::classify(bytes));
