//! How loud one stream is, for people who look and do not listen (RFC 6464).
//!
//! Knows levels that clients declare, never audio. Invariant: what is shown is at most one interval old, or silence.

use std::time::{Duration, Instant};

use crate::wire::signaling::LEVEL_SILENT;

/// The level of one stream.
#[derive(Debug)]
pub struct Level {
    /// The loudest packet since the last [`Level::take`], in dBov.
    loudest: Option<i8>,
    /// What was taken last.
    shown: i8,
    heard: Option<Instant>,
}

impl Level {
    /// Returns the level of a stream that was never heard.
    pub fn silent() -> Level {
        Level { loudest: None, shown: LEVEL_SILENT, heard: None }
    }

    /// A packet came, so loud in dBov.
    pub fn hear(&mut self, now: Instant, level: i8) {
        self.loudest = self.loudest.max(Some(level));
        self.heard = Some(now);
    }

    /// Returns how loud it was since the last call, in dBov; between packets that come rarely (DTX) what it was
    /// before, and silence after `silence` without one.
    pub fn take(&mut self, now: Instant, silence: Duration) -> i8 {
        let is_silent = self.heard.is_none_or(|at| at + silence <= now);
        let loudest = self.loudest.take();
        self.shown = if is_silent { LEVEL_SILENT } else { loudest.unwrap_or(self.shown) };
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
        let mut level = Level::silent();
        assert_eq!(level.take(start, silence), LEVEL_SILENT);
        for heard in [-60, -20, -40] {
            level.hear(start, heard);
        }
        assert_eq!(level.take(start, silence), -20);
        let almost = start + Duration::from_millis(399);
        assert_eq!(level.take(almost, silence), -20, "between two packets of DTX");
        assert_eq!(level.take(start + silence, silence), LEVEL_SILENT);
        level.hear(start + silence, -50);
        assert_eq!(level.take(start + silence, silence), -50, "the past is forgotten");
    }
}
