//! The devices that stream and are nobody's microphone, as text: JSON, with an id and a place for each.
//!
//! A device is heard without anybody being told, so all who work there must be able to read where it stands. Not the file:
//! who reads it is the shell. Invariant: each id stands in it once, and each place can be shown.

use super::{is_valid_id, is_valid_name};
use crate::words::Device;

/// How many devices there may be.
pub const DEVICES_MAX: usize = 128;

/// The longest file, in bytes.
pub const DEVICES_BYTES_MAX: usize = 128 * 1024;

/// Why a list of devices can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DevicesError {
    #[error("it is no list in JSON as [{{\"id\": \"hall\", \"place\": \"Hall\"}}]")]
    Unreadable,
    #[error("it holds {given} devices, more than {DEVICES_MAX}")]
    TooMany { given: usize },
    #[error(
        "the id of its device {number} is none: 1 to 128 printable ASCII characters, no space and none of / ? # % \\"
    )]
    BadId { number: usize },
    #[error("the place of its device {number} is none that can be shown: 1 to 80 characters on one line")]
    BadPlace { number: usize },
    #[error("its device {number} has the id of another")]
    SameId { number: usize },
}

/// All devices, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    list: Vec<Device>,
}

impl Devices {
    /// Reads a list.
    ///
    /// # Errors
    /// [`DevicesError`], for the first device that is wrong.
    pub fn parse(contents: &[u8]) -> Result<Devices, DevicesError> {
        // As some editors begin a file.
        let contents = contents.strip_prefix(b"\xef\xbb\xbf").unwrap_or(contents);
        let list: Vec<Device> = serde_json::from_slice(contents).map_err(|_| DevicesError::Unreadable)?;
        if list.len() > DEVICES_MAX {
            return Err(DevicesError::TooMany { given: list.len() });
        }
        for (index, Device { id, place }) in list.iter().enumerate() {
            let number = index + 1;
            if !is_valid_id(id) {
                return Err(DevicesError::BadId { number });
            }
            if !is_valid_name(place) {
                return Err(DevicesError::BadPlace { number });
            }
            if list[..index].iter().any(|other| other.id == *id) {
                return Err(DevicesError::SameId { number });
            }
        }
        Ok(Devices { list })
    }

    /// Tells whether a device of this id is on the list.
    pub fn has(&self, id: &str) -> bool {
        self.list.iter().any(|device| device.id == id)
    }

    /// Returns all of them.
    pub fn list(&self) -> &[Device] {
        &self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let many = |count: usize| {
            let list: Vec<String> = (0..count).map(|n| format!(r#"{{"id":"d{n}","place":"Hall"}}"#)).collect();
            format!("[{}]", list.join(","))
        };
        let cases: &[(&str, String, Result<usize, DevicesError>)] = &[
            ("none", "[]".into(), Ok(0)),
            ("one", r#"[{"id": "hall", "place": "Hall d’entrée"}]"#.into(), Ok(1)),
            ("behind a byte order mark", "\u{feff}[]".into(), Ok(0)),
            ("most", many(DEVICES_MAX), Ok(DEVICES_MAX)),
            ("too many", many(DEVICES_MAX + 1), Err(DevicesError::TooMany { given: DEVICES_MAX + 1 })),
            ("empty", String::new(), Err(DevicesError::Unreadable)),
            ("cut", many(3)[..40].into(), Err(DevicesError::Unreadable)),
            ("without a place", r#"[{"id": "hall"}]"#.into(), Err(DevicesError::Unreadable)),
            ("with more", r#"[{"id": "hall", "place": "Hall", "x": 1}]"#.into(), Err(DevicesError::Unreadable)),
            ("no id", r#"[{"id": "a b", "place": "Hall"}]"#.into(), Err(DevicesError::BadId { number: 1 })),
            ("no place", r#"[{"id": "hall", "place": " "}]"#.into(), Err(DevicesError::BadPlace { number: 1 })),
            (
                "an escape",
                r#"[{"id": "hall", "place": "\u001b[2J"}]"#.into(),
                Err(DevicesError::BadPlace { number: 1 }),
            ),
            (
                "twice",
                r#"[{"id": "hall", "place": "Hall"}, {"id": "hall", "place": "Bar"}]"#.into(),
                Err(DevicesError::SameId { number: 2 }),
            ),
        ];
        for (name, contents, want) in cases {
            assert_eq!(Devices::parse(contents.as_bytes()).map(|devices| devices.list().len()), *want, "{name}");
        }
        let devices = Devices::parse(many(3).as_bytes()).unwrap();
        assert!(devices.has("d2") && !devices.has("d") && !devices.has("d3"));
    }
}
