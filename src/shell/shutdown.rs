//! Turns SIGTERM and SIGINT into readiness of a file descriptor.
//!
//! Not the shutdown itself: the loop decides what a signal means. Invariant: both signals are blocked from
//! [`Signals::new`] on, so none interrupts a system call or kills the process by itself.

use std::io;
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals that ask the server to end.
pub(super) struct Signals {
    descriptor: SignalFd,
}

impl Signals {
    /// Blocks the signals and registers the descriptor that tells of them.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Signals> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGTERM);
        mask.add(Signal::SIGINT);
        mask.thread_block()?;
        let descriptor = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        registry.register(&mut SourceFd(&descriptor.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Signals { descriptor })
    }

    /// Returns how many signals came since the last call; equal ones that waited together are one.
    pub(super) fn take(&mut self) -> usize {
        self.descriptor.by_ref().count()
    }
}
