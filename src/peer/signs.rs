//! Whether a client is still there that checks no more.
//!
//! Browsers check their connection for as long as it lasts (RFC 7675). Some programs, those over libnice among them, send
//! only what asks for no answer once they are connected (RFC 8445 §11); their media and its reports say that they are there.
//!
//! Invariant: who is neither checked nor heard for a while has an end.

use std::time::{Duration, Instant};

/// What was heard of a client lately.
#[derive(Debug)]
pub(super) struct Signs {
    heard: Instant,
    /// Whether checks have come and come no more.
    is_unchecked: bool,
    /// How long it may be unheard then; without it, it has to check.
    patience: Option<Duration>,
}

impl Signs {
    pub(super) fn new(now: Instant, patience: Option<Duration>) -> Signs {
        Signs { heard: now, is_unchecked: false, patience }
    }

    /// Media came, or a report on it, the way that the client is reached.
    pub(super) fn on_heard(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(super) fn on_checked(&mut self) {
        self.is_unchecked = false;
    }

    /// No check came for so long that the library gives up.
    pub(super) fn on_unchecked(&mut self) {
        self.is_unchecked = true;
    }

    /// Tells whether the client may be there without checks.
    pub(super) fn may_stop_checking(&self) -> bool {
        self.patience.is_some()
    }

    /// Returns when the client has vanished, unless there is another sign of it.
    pub(super) fn end(&self) -> Option<Instant> {
        if self.is_unchecked { self.patience.map(|patience| self.heard + patience) } else { None }
    }
}
