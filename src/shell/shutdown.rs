//! Turns SIGTERM, SIGINT and SIGHUP into readiness of a file descriptor.
//!
//! Not what they bring about: the loop decides what a signal means. Invariant: they are blocked from [`Signals::new`] on,
//! so none interrupts a system call or kills the process by itself; but on a terminal SIGHUP still does, because the
//! terminal is gone. Whoever renews a certificate sends SIGHUP without asking how far a start is: it waits from the
//! first moment on, while a start may be ended as any program may.

use std::io::{self, IsTerminal};
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals that the server listens to.
pub(super) struct Signals {
    descriptor: SignalFd,
}

/// What signals asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// How many asked the server to end.
    pub(super) ends: usize,
    /// Whether one asked to read files again.
    pub(super) reload: bool,
}

/// Makes SIGHUP wait for the loop, instead of ending a server that starts.
pub fn hold_hangups() {
    // Fails for no set of signals that there is.
    let _ = hangup().thread_block();
}

/// Lets SIGHUP end what is no server.
pub fn release_hangups() {
    let _ = hangup().thread_unblock();
}

/// Returns SIGHUP, where it is no terminal's.
fn hangup() -> SigSet {
    let mut mask = SigSet::empty();
    if !io::stdout().is_terminal() {
        mask.add(Signal::SIGHUP);
    }
    mask
}

impl Signals {
    /// Blocks the signals and registers the descriptor that tells of them.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Signals> {
        let mut mask = hangup();
        mask.add(Signal::SIGTERM);
        mask.add(Signal::SIGINT);
        mask.thread_block()?;
        let descriptor = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        registry.register(&mut SourceFd(&descriptor.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Signals { descriptor })
    }

    /// Adds what was asked for since the last call; equal signals that waited together are one.
    pub(super) fn take(&mut self, asked: &mut Asked) {
        for signal in self.descriptor.by_ref() {
            match signal.ssi_signo == Signal::SIGHUP as u32 {
                true => asked.reload = true,
                false => asked.ends += 1,
            }
        }
    }
}
