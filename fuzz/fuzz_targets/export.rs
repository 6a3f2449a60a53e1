//! Journals that somebody shows. The property is [`ecoute::fuzz::export`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ecoute::fuzz::export(bytes));
