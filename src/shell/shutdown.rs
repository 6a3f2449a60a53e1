//! Turns SIGTERM, SIGINT and SIGHUP into readiness of a file descriptor.
//!
//! Not what they bring about: the loop decides what a signal means. Invariant: they are blocked from [`Signals::new`] on,
//! so none interrupts a system call or kills the process by itself; but on a terminal SIGHUP still does, because the
//! terminal is gone.

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

impl Signals {
    /// Blocks the signals and registers the descriptor that tells of them.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Signals> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGTERM);
        mask.add(Signal::SIGINT);
        if !io::stdout().is_terminal() {
            mask.add(Signal::SIGHUP);
        }
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
