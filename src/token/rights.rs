//! What somebody may do beside what their role is for.
//!
//! Invariant: a right is only had by name.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To record who agreed to it.
    Record,
    /// To take recordings out.
    Export,
    /// To see what others heard, and all that is written down.
    Audit,
    /// To manage people and phones.
    Manage,
}

impl Right {
    const ALL: [Right; 4] = [Right::Record, Right::Export, Right::Audit, Right::Manage];

    /// Returns the word that tokens and clients have for it.
    pub fn name(self) -> &'static str {
        match self {
            Right::Record => "record",
            Right::Export => "export",
            Right::Audit => "audit",
            Right::Manage => "manage",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A right that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such right: choose among record, export, audit, manage")]
pub struct UnknownRight;

impl FromStr for Right {
    type Err = UnknownRight;

    fn from_str(text: &str) -> Result<Right, UnknownRight> {
        Right::ALL.into_iter().find(|right| right.name() == text).ok_or(UnknownRight)
    }
}

/// Those that somebody has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u8);

impl Rights {
    /// Tells whether a right is among them.
    pub fn has(self, right: Right) -> bool {
        self.0 & (1 << right as u8) != 0
    }

    /// Returns their words.
    pub fn names(self) -> Vec<&'static str> {
        Right::ALL.into_iter().filter(|right| self.has(*right)).map(Right::name).collect()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Rights {
        Rights(rights.into_iter().fold(0, |all, right| all | 1 << right as u8))
    }
}

impl Serialize for Rights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}
