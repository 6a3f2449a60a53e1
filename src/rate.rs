//! Bounds how often something may happen: a token bucket (RFC 2697 in its simplest form).
//!
//! Invariant: over any span of time no more than `burst` plus the rate times the span is allowed.

use std::time::{Duration, Instant};

/// A bucket that starts full.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: Rate,
    /// When the bucket will be full again if nothing more is taken.
    full_at: Instant,
}

/// How much a bucket allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How long one event takes to be allowed again.
    pub interval: Duration,
    /// How many events may come at once.
    pub burst: u32,
}

impl Rate {
    /// Returns the rate of so many events a second.
    pub const fn per_second(events: u32, burst: u32) -> Rate {
        Rate { interval: Duration::from_nanos(1_000_000_000 / events as u64), burst }
    }

    /// Returns the rate of so many events a minute.
    pub const fn per_minute(events: u32, burst: u32) -> Rate {
        Rate { interval: Duration::from_nanos(60_000_000_000 / events as u64), burst }
    }

    /// Returns the rate of so many events an hour.
    pub const fn per_hour(events: u32, burst: u32) -> Rate {
        Rate { interval: Duration::from_nanos(3_600_000_000_000 / events as u64), burst }
    }
}

impl Bucket {
    /// Returns a full bucket.
    pub fn new(now: Instant, rate: Rate) -> Bucket {
        Bucket { rate, full_at: now }
    }

    /// Tells whether an event is there, and leaves it.
    pub fn has_one(&self, now: Instant) -> bool {
        self.full_at.max(now) + self.rate.interval - now <= self.rate.interval * self.rate.burst
    }

    /// Takes one event out; tells whether it was there.
    pub fn take(&mut self, now: Instant) -> bool {
        let is_allowed = self.has_one(now);
        if is_allowed {
            self.full_at = self.full_at.max(now) + self.rate.interval;
        }
        is_allowed
    }

    /// Tells whether as much may be taken as at the beginning.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }

    /// Puts back the event that was taken last.
    pub fn give_back(&mut self) {
        self.full_at -= self.rate.interval;
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start, Rate::per_second(10, 3));
        let taken =
            |bucket: &mut Bucket, ms| (0..100).filter(|_| bucket.take(start + Duration::from_millis(ms))).count();
        assert_eq!(taken(&mut bucket, 0), 3);
        assert_eq!(taken(&mut bucket, 99), 0);
        assert_eq!(taken(&mut bucket, 100), 1);
        assert_eq!(taken(&mut bucket, 350), 2);
        assert_eq!(taken(&mut bucket, 10_000), 3, "never more than the burst");
        assert!(!bucket.has_one(start + Duration::from_secs(10)));
        bucket.give_back();
        assert!(bucket.has_one(start + Duration::from_secs(10)), "and it stays");
        assert_eq!(taken(&mut bucket, 10_000), 1);
    }
}
