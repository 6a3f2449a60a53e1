//! Public keys of identity providers. The property is [`ecoute::fuzz::keys`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ecoute::fuzz::keys(bytes));
