//! The clock of a place: how far it is ahead of UTC, and when that changes.
//!
//! Reads no file: whoever has the rules hands them over. Invariant: what is beyond the rules goes by the last of them, and of
//! none by UTC.

use tz::{TimeZone, TimeZoneSettings};

/// The rules of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

impl Zone {
    /// Returns that of nowhere.
    pub fn utc() -> Zone {
        Zone { name: "UTC".to_owned(), rules: TimeZone::utc() }
    }

    /// Returns what a file of the tz database says (RFC 9636), under a name; `None` where it is none.
    pub fn from_file(name: &str, contents: &[u8]) -> Option<Zone> {
        Some(Zone { name: name.to_owned(), rules: TimeZone::from_tz_data(contents).ok()? })
    }

    /// Returns what a rule says, as `CET-1CEST,M3.5.0,M10.5.0/3` (POSIX, Environment Variables, TZ); `None` where it is none.
    pub fn from_rule(name: &str, rule: &str) -> Option<Zone> {
        let no_files = TimeZoneSettings::new(&[], |_| Err("no file is read here".into()));
        Some(Zone { name: name.to_owned(), rules: no_files.parse_posix_tz(rule).ok()? })
    }

    /// Returns what the place is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what clocks there show at a moment, as milliseconds since their 1970.
    pub fn local_ms(&self, unix_ms: u64) -> u64 {
        let local = self.rules.find_local_time_type((unix_ms / 1000) as i64);
        let ahead_s = local.map_or(0, |local| i64::from(local.ut_offset()));
        unix_ms.saturating_add_signed(ahead_s * 1000)
    }
}
