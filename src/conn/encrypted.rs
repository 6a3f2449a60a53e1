//! What a client's encryption changes for it; the shell decrypts and encrypts.
//!
//! Invariant: nothing is framed inside of TLS, so what the shell has encrypted is never dropped.

use std::time::Instant;

use super::{Conn, State};
use crate::config::ConnLimits;

impl Conn {
    /// Takes it that the client is encrypted from here on: what it took to get there is not its first request's time.
    pub fn secured(&mut self, now: Instant, limits: &ConnLimits) {
        self.is_encrypted = true;
        if let State::New { until } = &mut self.state {
            *until = now + limits.head_timeout;
        }
    }

    /// Takes it that TLS holds so many bytes in the shell, on their way in or out.
    pub fn set_tls_bytes(&mut self, bytes: usize) {
        // What is dead is closed at once, whatever it holds.
        if !matches!(self.state, State::Dead) {
            self.tls_bytes = bytes;
        }
    }

    /// Tells whether nobody on the way can read along.
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }
}
