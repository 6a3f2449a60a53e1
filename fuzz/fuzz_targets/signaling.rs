//! Messages of the WebSocket, and what others are told of them. The property is [`ecoute::fuzz::signaling`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ecoute::fuzz::signaling(bytes));
