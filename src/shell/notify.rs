//! Tells the service manager that the server serves, is alive, and stops: sd_notify(3).
//!
//! Says nothing where there is no `NOTIFY_SOCKET`. Invariant: only a turn of the loop says that it is alive, so a loop
//! that hangs falls silent and is started anew.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// A connection to the service manager, if one started us.
pub(super) struct Notify {
    watchdog: Watchdog,
}

/// Whether somebody watches over us.
enum Watchdog {
    Absent,
    /// Wants to hear from us at `due`, and again every `interval`.
    Present {
        interval: Duration,
        due: Instant,
    },
}

impl Notify {
    /// Reads from the environment who wants to hear what, and how often.
    pub(super) fn new(now: Instant) -> Notify {
        // Half of what is allowed, so that one turn may be late (sd_watchdog_enabled(3)).
        let interval = sd_notify::watchdog_enabled().map(|allowed| allowed / 2);
        let watchdog = interval.map_or(Watchdog::Absent, |interval| Watchdog::Present { interval, due: now });
        Notify { watchdog }
    }

    /// Tells that clients are served from now on.
    pub(super) fn on_ready(&self) {
        send(NotifyState::Ready);
    }

    /// Tells that the end was asked for.
    pub(super) fn on_stopping(&self) {
        send(NotifyState::Stopping);
    }

    /// Tells that the loop turns, where that is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match &mut self.watchdog {
            Watchdog::Present { interval, due } if *due <= now => {
                *due = now + *interval;
                send(NotifyState::Watchdog);
            }
            Watchdog::Present { .. } | Watchdog::Absent => {}
        }
    }

    /// Returns when the loop must turn to be taken for alive.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match self.watchdog {
            Watchdog::Present { due, .. } => Some(due),
            Watchdog::Absent => None,
        }
    }
}

fn send(state: NotifyState) {
    if let Err(error) = sd_notify::notify(&[state]) {
        log::warn!("the service manager can't be told: {error}");
    }
}
