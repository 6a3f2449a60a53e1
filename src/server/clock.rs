//! The wall clock as the core knows it: what it showed at some moment, and what it will have shown since.
//!
//! Invariant: between two tellings it runs as the monotonic clock does.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The last second that HTTP has a date for: the end of the year 9999.
const LAST: Duration = Duration::from_secs(253_402_300_799);

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

    /// Returns what the wall clock shows, as HTTP writes it (RFC 9110 §5.6.7); a clock that is out of its mind shows the
    /// first or the last date that there is.
    pub(super) fn http_date(&self, now: Instant) -> String {
        httpdate::fmt_http_date(UNIX_EPOCH + self.unix(now).min(LAST))
    }

    /// Returns the moment at which the wall clock will show `unix_s`; never before `now`.
    pub(super) fn instant_of(&self, now: Instant, unix_s: u64) -> Option<Instant> {
        let left = Duration::from_secs(unix_s).saturating_sub(self.unix(now));
        now.checked_add(left)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use super::*;

    #[test]
    fn any_clock_has_a_date() {
        let at = Instant::now();
        let date = |unix| Clock { at, unix }.http_date(at);
        assert_eq!(date(UNIX_EPOCH + Duration::from_secs(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(UNIX_EPOCH - Duration::from_secs(1)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date(UNIX_EPOCH + LAST), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(date(UNIX_EPOCH + LAST + Duration::from_secs(1)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
