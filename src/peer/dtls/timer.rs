//! Instead of OpenSSL's timer, which reads the system's clock: it writes each flight at once as often as it may ever be
//! repeated, each time in new records. An old record says nothing to a client that has it and whose answer was lost.
//!
//! Has `unsafe`: no safe wrapper knows the timer. Invariant: outside of [`writing`] nothing that is written is a repetition.
#![expect(unsafe_code, reason = "a function of C")]

use std::cell::Cell;
use std::ffi::c_uint;

use foreign_types::ForeignTypeRef;
use openssl::ssl::SslRef;
use openssl_sys::SSL;

use super::RETRANSMITS;

/// When what was repeated often enough would be due, in microseconds: later than any handshake ends.
const NEVER_US: c_uint = 3_600_000_000;

thread_local! {
    /// Which repetition of a flight is being written, from 1; 0 of what is written first.
    static REPETITION: Cell<usize> = const { Cell::new(0) };
}

unsafe extern "C" {
    /// Has a function say how long the timer runs, in microseconds: first, for 0, and after each time that it was due.
    fn DTLS_set_timer_cb(ssl: *mut SSL, callback: Option<extern "C" fn(*mut SSL, c_uint) -> c_uint>);
}

/// Makes the timer of a session run as this module says.
pub(super) fn replace(ssl: &mut SslRef) {
    // SAFETY: the session is alive and borrowed, and the function lasts for ever and touches no session.
    unsafe { DTLS_set_timer_cb(ssl.as_ptr(), Some(next)) }
}

/// What is left to run says how often a flight was written. So short a time is over whenever OpenSSL looks, which it does
/// when it has nothing to read.
extern "C" fn next(_: *mut SSL, last_us: c_uint) -> c_uint {
    REPETITION.set(last_us as usize);
    if (last_us as usize) < RETRANSMITS { last_us + 1 } else { NEVER_US }
}

/// Calls a session that may write a flight.
pub(super) fn writing<T>(call: impl FnOnce() -> T) -> T {
    let returned = call();
    REPETITION.set(0);
    returned
}

/// Returns which repetition of a flight is being written, from 1; 0 of what is written first. One after the last is not
/// wanted: the system's clock was set far ahead.
pub(super) fn repetition() -> usize {
    REPETITION.get().min(RETRANSMITS + 1)
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn a_clock_that_is_set_ahead_brings_one_repetition_too_many_and_no_more() {
        writing(|| {
            let mut us = 0;
            for nth in 0..=RETRANSMITS {
                us = next(ptr::null_mut(), us);
                assert_eq!((repetition(), us == NEVER_US), (nth, nth == RETRANSMITS));
            }
            for _ in 0..3 {
                us = next(ptr::null_mut(), us);
                assert_eq!((repetition(), us), (RETRANSMITS + 1, NEVER_US));
            }
        });
        assert_eq!(repetition(), 0);
    }
}
