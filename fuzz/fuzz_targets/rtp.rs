//! Headers of media, and the first bytes of Opus. The property is [`ecoute::fuzz::rtp`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ecoute::fuzz::rtp(bytes));
