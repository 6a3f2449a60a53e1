//! SDP fragments, read and written. The property is [`ecoute::fuzz::sdpfrag`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ecoute::fuzz::sdpfrag(bytes));
