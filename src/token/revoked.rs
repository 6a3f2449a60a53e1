//! The list of users whose tokens were revoked, as text: a line for each, with the id and the Unix second.
//!
//! Empty lines, and those that begin with `#`, say nothing. Not the file: who reads and writes it is the shell.
//! Invariant: an id stands in a [`Revoked`] once, with the latest second that the text gave.

use std::collections::HashMap;

use super::{Claims, SKEW_S, is_valid_id};

/// How many users may be revoked at one time.
pub const REVOKED_IDS_MAX: usize = 65_536;

/// The longest list, in bytes: as many of the longest lines, and room for remarks.
pub const REVOKED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many damaged lines are named in the log; more are counted.
const DAMAGED_NAMED_MAX: usize = 16;

/// Why a list can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokedError {
    #[error(
        "the list of revoked users would hold more than {REVOKED_IDS_MAX}: remove lines of those whose tokens have \
         all expired"
    )]
    TooMany,
}

/// Up to which second the tokens of users are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    until_s: HashMap<String, u64>,
}

impl Revoked {
    /// Reads a list. A line that can't be read is skipped and told in the log; the others hold.
    ///
    /// # Errors
    /// [`RevokedError::TooMany`].
    pub fn parse(contents: &[u8]) -> Result<Revoked, RevokedError> {
        // As some editors begin a file; it must not hide whoever stands first.
        let contents = contents.strip_prefix(b"\xef\xbb\xbf").unwrap_or(contents);
        let mut until_s = HashMap::new();
        let mut damaged = 0;
        for (index, line) in contents.split(|&byte| byte == b'\n').enumerate() {
            match parse_line(line) {
                Line::Revocation { id, unix_s } => {
                    if until_s.len() >= REVOKED_IDS_MAX && !until_s.contains_key(id) {
                        return Err(RevokedError::TooMany);
                    }
                    let known = until_s.entry(id.to_owned()).or_insert(unix_s);
                    *known = unix_s.max(*known);
                }
                Line::Remark => {}
                Line::Damaged => {
                    damaged += 1;
                    if damaged <= DAMAGED_NAMED_MAX {
                        let number = index + 1;
                        log::error!("the list of revoked users has a line that can't be read: line={number}");
                    }
                }
            }
        }
        if damaged > DAMAGED_NAMED_MAX {
            log::error!("the list of revoked users is damaged: lines={damaged}");
        }
        Ok(Revoked { until_s })
    }

    /// Returns the text of a list to which `id` was added, or whose second it was given; all other lines stay. One who was
    /// revoked before gets a later second than then, so that a token that was made in between is refused too.
    ///
    /// # Errors
    /// [`RevokedError::TooMany`].
    pub fn add(contents: &[u8], id: &str, unix_s: u64) -> Result<Vec<u8>, RevokedError> {
        let mut text = Vec::with_capacity(contents.len() + id.len() + 32);
        let before = Revoked::parse(contents).ok().and_then(|list| list.until_s(id));
        let unix_s = before.map_or(unix_s, |before| unix_s.max(before.saturating_add(1)));
        for line in contents.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            if !matches!(parse_line(line), Line::Revocation { id: other, .. } if other == id) {
                text.extend_from_slice(line);
                text.push(b'\n');
            }
        }
        text.extend_from_slice(format!("{id} {unix_s}\n").as_bytes());
        Revoked::parse(&text).map(|_| text)
    }

    /// Tells whether a token is refused: one that was issued up to the second of its user's revocation, by a clock that may
    /// be [`SKEW_S`] ahead of ours, unless its issuer says that it knew of that revocation.
    pub fn refuses(&self, claims: &Claims) -> bool {
        self.until_s(&claims.sub).is_some_and(|until_s| {
            let knew = claims.after_revocation.is_some_and(|known_s| known_s >= until_s);
            !knew && claims.iat <= until_s.saturating_add(SKEW_S)
        })
    }

    /// Returns up to which second tokens of `id` are refused.
    pub fn until_s(&self, id: &str) -> Option<u64> {
        self.until_s.get(id).copied()
    }

    /// Returns how many users are on the list.
    pub fn len(&self) -> usize {
        self.until_s.len()
    }

    /// Tells whether nobody is on the list.
    pub fn is_empty(&self) -> bool {
        self.until_s.is_empty()
    }
}

enum Line<'a> {
    Revocation { id: &'a str, unix_s: u64 },
    Remark,
    Damaged,
}

fn parse_line(line: &[u8]) -> Line<'_> {
    let Ok(text) = std::str::from_utf8(line) else { return Line::Damaged };
    let text = text.trim_end();
    if text.is_empty() || text.starts_with('#') {
        return Line::Remark;
    }
    match text.split_once(' ').map(|(id, unix_s)| (id, unix_s.parse())) {
        Some((id, Ok(unix_s))) if is_valid_id(id) => Line::Revocation { id, unix_s },
        Some(_) | None => Line::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_line_leaves_the_others() {
        let text = b"\xef\xbb\xbflea 50\n# left in May\nlea 100\n\n\xff\xfe 5\ntom\ntom x\na/b 7\nzoe 200\r\nlea 90\nmax 1 2\npaul 300";
        let revoked = Revoked::parse(text).unwrap();
        let cases = [("lea", 100), ("zoe", 200), ("paul", 300)];
        assert_eq!(revoked.len(), cases.len());
        for (id, until_s) in cases {
            assert_eq!(revoked.until_s(id), Some(until_s), "{id}");
        }
        assert_eq!(revoked.until_s("tom"), None);
    }

    #[test]
    fn adding_keeps_every_other_line() {
        let cases: &[(&str, &[u8], &[u8])] = &[
            ("first", b"", b"lea 5\n"),
            ("beside another", b"tom 1\n", b"tom 1\nlea 5\n"),
            ("no line end", b"tom 1", b"tom 1\nlea 5\n"),
            ("again", b"lea 1\ntom 1\nlea 3\n", b"tom 1\nlea 5\n"),
            ("again in the same second", b"lea 5\n", b"lea 6\n"),
            ("after the clock was set back", b"lea 9\ntom 1\n", b"tom 1\nlea 10\n"),
            ("remarks and damage", b"# lea 1\nlea\n\xff\n", b"# lea 1\nlea\n\xff\nlea 5\n"),
        ];
        for (name, before, after) in cases {
            assert_eq!(Revoked::add(before, "lea", 5).as_deref(), Ok(*after), "{name}");
        }
    }

    #[test]
    fn the_list_has_a_bound() {
        let full: String = (0..REVOKED_IDS_MAX).map(|index| format!("user{index} 1\n")).collect();
        assert_eq!(Revoked::parse(full.as_bytes()).map(|list| list.len()), Ok(REVOKED_IDS_MAX));
        assert!(Revoked::add(full.as_bytes(), "user7", 2).is_ok());
        assert_eq!(Revoked::add(full.as_bytes(), "another", 2), Err(RevokedError::TooMany));
    }
}
