//! Tokens, forged and really signed. The property is [`ecoute::fuzz::token`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ecoute::fuzz::token(bytes));
