//! The wall clock as the core knows it: what it showed at some moment, and what it will have shown since.
//!
//! Invariant: between two tellings it runs as the monotonic clock does.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the wall clock stood at a moment of the monotonic one.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    pub(super) at: Instant,
    pub(super) unix: SystemTime,
}

impl Clock {
    /// Returns what the wall clock shows.
    pub(super) fn system_time(&self, now: Instant) -> SystemTime {
        self.unix + now.saturating_duration_since(self.at)
    }

    /// Returns the time since the epoch, as the wall clock has it.
    pub(super) fn unix(&self, now: Instant) -> Duration {
        self.system_time(now).duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// Returns the moment at which the wall clock will show `unix_s`; never before `now`.
    pub(super) fn instant_of(&self, now: Instant, unix_s: u64) -> Option<Instant> {
        let left = Duration::from_secs(unix_s).saturating_sub(self.unix(now));
        now.checked_add(left)
    }
}
