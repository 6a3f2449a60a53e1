//! Reports, as they are when they are decrypted. The property is [`ecoute::fuzz::rtcp`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ecoute::fuzz::rtcp(bytes));
