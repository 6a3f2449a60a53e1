//! Frames, whole and in pieces. The property is [`ecoute::fuzz::websocket`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ecoute::fuzz::websocket(bytes));
