//! Whom an admin may see and hear, in as little memory as the token itself took.
//!
//! Invariant: every id in it is one that somebody may have; what nobody can be called is left out, and allows nothing.

use serde::de::Deserialize;
use serde::{Deserializer, Serialize, Serializer};

use super::is_valid_id;

/// The only salespeople that an admin may see and hear.
///
/// Thousands of short ids fit into a token; a string for each would take ten times as much as they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Separated by spaces, which no id has.
    ids: Box<str>,
}

impl Scope {
    /// Returns the scope of these ids.
    pub fn new<'a>(ids: impl IntoIterator<Item = &'a str>) -> Scope {
        let mut joined = String::new();
        for id in ids.into_iter().filter(|id| is_valid_id(id)) {
            if !joined.is_empty() {
                joined.push(' ');
            }
            joined.push_str(id);
        }
        Scope { ids: joined.into() }
    }

    /// Tells whether `id` is one of them.
    pub fn contains(&self, id: &str) -> bool {
        self.ids().any(|other| other == id)
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        self.ids.split(' ').filter(|id| !id.is_empty())
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.ids())
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scope, D::Error> {
        let ids = Vec::<String>::deserialize(deserializer)?;
        Ok(Scope::new(ids.iter().map(String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_whole_ids_and_nothing_between_them() {
        let scope = Scope::new(["lea", "tom", "a b", ""]);
        for id in ["lea", "tom"] {
            assert!(scope.contains(id), "{id}");
        }
        for id in ["le", "ea", "a", "b", "a b", "", "lea tom", " "] {
            assert!(!scope.contains(id), "{id:?}");
        }
        assert!(!Scope::new([]).contains(""), "an empty scope allows nobody");
        assert_eq!(serde_json::to_string(&scope).unwrap(), r#"["lea","tom"]"#);
        assert_eq!(serde_json::from_str::<Scope>(r#"["lea","tom"]"#).unwrap(), scope);
        assert!(serde_json::from_str::<Scope>(r#""lea""#).is_err());
    }
}
