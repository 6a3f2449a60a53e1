//! How loud one stream is, for people who look and do not listen (RFC 6464).
//!
//! Knows levels that clients declare, never audio. Invariant: what is shown is at most one interval old, or silence.

use std::time::{Duration, Instant};

use crate::words::LEVEL_SILENT;

/// The level of one stream.
#[derive(Debug)]
pub struct Level {
    /// The loudest packet since the last [`Level::take`] that is no older than an interval, in dBov, and when it was.
    loudest: Option<(i8, Instant)>,
    /// What was taken last.
    shown: i8,
    heard: Option<Instant>,
}

impl Level {
    /// Returns the level of a stream that was never heard.
    pub fn silent() -> Level {
        Level { loudest: None, shown: LEVEL_SILENT, heard: None }
    }

    /// A packet came, so loud in dBov. What was louder counts for one `interval`: people may begin to look late.
    pub fn hear(&mut self, now: Instant, level: i8, interval: Duration) {
        let stands = |(loudest, at): (i8, Instant)| loudest >= level && at + interval > now;
        if !self.loudest.is_some_and(stands) {
            self.loudest = Some((level, now));
        }
        self.heard = Some(now);
    }

    /// Returns how loud it was since the last call, in dBov; between packets that come rarely (DTX) what it was
    /// before, and silence after `silence` without one.
    pub fn take(&mut self, now: Instant, silence: Duration) -> i8 {
        let is_silent = self.heard.is_none_or(|at| at + silence <= now);
        let loudest = self.loudest.take();
        self.shown = if is_silent { LEVEL_SILENT } else { loudest.map_or(self.shown, |(level, _)| level) };
        self.shown
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use super::*;

    #[test]
    fn shows_the_loudest_and_falls_to_silence() {
        let (start, silence) = (Instant::now(), Duration::from_millis(400));
        let interval = Duration::from_millis(200);
        let mut level = Level::silent();
        assert_eq!(level.take(start, silence), LEVEL_SILENT);
        for heard in [-60, -20, -40] {
            level.hear(start, heard, interval);
        }
        assert_eq!(level.take(start, silence), -20);
        let almost = start + Duration::from_millis(399);
        assert_eq!(level.take(almost, silence), -20, "between two packets of DTX");
        assert_eq!(level.take(start + silence, silence), LEVEL_SILENT);
        level.hear(start + silence, -50, interval);
        assert_eq!(level.take(start + silence, silence), -50, "the past is forgotten");
        level.hear(start, -5, interval);
        level.hear(start + interval, -50, interval);
        assert_eq!(level.take(start + interval, silence), -50, "also when nobody looked meanwhile");
    }
}
