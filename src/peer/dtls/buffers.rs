//! Lets go of what OpenSSL keeps for records between two of them: 33 KB of each session, which may never get another one.
//!
//! Has `unsafe`: no safe wrapper knows these functions. Invariant: a session's buffers are there while it is called, as it
//! expects, even to say goodbye.
#![expect(unsafe_code, reason = "functions of C")]

use std::ffi::c_int;

use foreign_types::ForeignTypeRef;
use openssl::ssl::SslStream;
use openssl_sys::SSL;

unsafe extern "C" {
    fn SSL_alloc_buffers(ssl: *mut SSL) -> c_int;
    /// Frees both, if nothing is in them.
    fn SSL_free_buffers(ssl: *mut SSL) -> c_int;
}

/// Calls a session that is connected, for which no record waits, half or whole (SSL_alloc_buffers(3)); `None` where there is
/// no memory.
pub(super) fn with<S, T>(stream: &mut SslStream<S>, call: impl FnOnce(&mut SslStream<S>) -> T) -> Option<T> {
    // SAFETY: the session is alive and nobody else uses it, as its stream is borrowed so.
    let are_there = unsafe { SSL_alloc_buffers(stream.ssl().as_ptr()) == 1 };
    let returned = are_there.then(|| call(stream));
    release(stream);
    returned
}

/// Frees the buffers of a session that was connected just now.
pub(super) fn release<S>(stream: &mut SslStream<S>) {
    // SAFETY: as above; where something is in them it leaves them.
    unsafe {
        SSL_free_buffers(stream.ssl().as_ptr());
    }
}
