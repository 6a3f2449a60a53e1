//! Finds the rules of clocks that the system has: the tz database, and what is set of it.
//!
//! Invariant: a name leads to a file of that database, and nowhere else.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::history::Zone;

/// Where systems keep the database.
const DATABASES: [&str; 2] = ["/usr/share/zoneinfo", "/etc/zoneinfo"];
/// What the system's clock goes by: one file of the database.
const OF_SYSTEM: &str = "/etc/localtime";
/// A longer file says nothing of clocks.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// A longer name is none.
const NAME_BYTES_MAX: usize = 64;

/// Why nothing is known of a place's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    #[error("write it as Europe/Paris or UTC")]
    NoName,
    #[error("this system knows no such zone: look in /usr/share/zoneinfo, which the package tzdata makes")]
    Unknown,
}

/// Returns the clock of a place, by its name in the tz database.
///
/// # Errors
/// [`ZoneError`].
pub fn load(name: &str) -> Result<Zone, ZoneError> {
    if !is_name(name) {
        return Err(ZoneError::NoName);
    }
    let found = DATABASES.iter().find_map(|database| read(&Path::new(database).join(name), name));
    // Where there is no database, everybody knows this one.
    found.or_else(|| (name == "UTC").then(Zone::utc)).ok_or(ZoneError::Unknown)
}

/// Returns the clock of the system: what `TZ` says, or `/etc/localtime`; UTC where neither says something.
pub fn of_system() -> Zone {
    match env::var("TZ").ok().filter(|set| !set.is_empty()) {
        Some(set) => of_variable(&set).unwrap_or_else(Zone::utc),
        None => read(Path::new(OF_SYSTEM), &name_of_system()).unwrap_or_else(Zone::utc),
    }
}

/// Reads what `TZ` says: a name, a file, or a rule.
fn of_variable(set: &str) -> Option<Zone> {
    let name = set.strip_prefix(':').unwrap_or(set);
    if name.starts_with('/') {
        return read(Path::new(name), &name_in_database(Path::new(name)).unwrap_or_else(|| name.to_owned()));
    }
    load(name).ok().or_else(|| Zone::from_rule(name, name))
}

/// Returns what the system calls its clock.
fn name_of_system() -> String {
    let of_link = fs::read_link(OF_SYSTEM).ok().and_then(|file| name_in_database(&file));
    let of_file = || fs::read_to_string("/etc/timezone").ok().map(|name| name.trim().to_owned());
    of_link.or_else(of_file).filter(|name| is_name(name)).unwrap_or_else(|| OF_SYSTEM.to_owned())
}

/// Returns the name of a file of the database.
fn name_in_database(file: &Path) -> Option<String> {
    let (_, name) = file.to_str()?.split_once("zoneinfo/")?;
    Some(name.to_owned())
}

fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
    };
    name.len() <= NAME_BYTES_MAX && name.split('/').all(is_part)
}

fn read(path: &Path, name: &str) -> Option<Zone> {
    let contents = || -> io::Result<Vec<u8>> {
        let mut contents = Vec::new();
        File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut contents)?;
        Ok(contents)
    };
    Zone::from_file(name, &contents().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_the_database() {
        for name in ["UTC", "Europe/Paris", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "America/Port-au-Prince"]
        {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for name in ["", "/etc/passwd", "../../etc/passwd", "Europe/", "a//b", ".", "a b", "a\0", "é", &long] {
            assert!(matches!(load(name), Err(ZoneError::NoName)), "{name:?}");
        }
        assert_eq!(load("Nowhere/At_All"), Err(ZoneError::Unknown));
        assert_eq!(load("UTC").map(|zone| zone.local_ms(7)), Ok(7));
    }

    #[test]
    fn paris_goes_forward_in_march_and_back_in_october() {
        // Not where nobody has installed the database.
        let Ok(paris) = load("Europe/Paris") else { return };
        let hour_ms = 3_600_000;
        // 2026-03-29 and 2026-10-25, 1.00 UTC, and the same in a year of which no table says anything.
        for (forward_ms, back_ms) in
            [(1_774_746_000_000, 1_792_890_000_000), (4_109_878_800_000, 4_128_627_600_000)]
        {
            let ahead = |at_ms: u64| (paris.local_ms(at_ms) - at_ms) / hour_ms;
            assert_eq!((ahead(forward_ms - 1), ahead(forward_ms)), (1, 2), "{forward_ms}");
            assert_eq!((ahead(back_ms - 1), ahead(back_ms)), (2, 1), "{back_ms}");
        }
        assert_eq!(paris.name(), "Europe/Paris");
    }

    #[test]
    fn what_is_set_is_a_name_a_file_or_a_rule() {
        let rule = of_variable("CET-1CEST,M3.5.0,M10.5.0/3").expect("it is a rule");
        assert_eq!(rule.local_ms(1_774_746_000_000), 1_774_746_000_000 + 2 * 3_600_000);
        assert_eq!(of_variable("not a rule"), None);
        assert_eq!(of_variable("/etc/passwd"), None);
        if let Ok(paris) = load("Europe/Paris") {
            for set in ["Europe/Paris", ":Europe/Paris", "/usr/share/zoneinfo/Europe/Paris"] {
                assert_eq!(of_variable(set), Some(paris.clone()), "{set}");
            }
        }
    }
}
