//! Whom an admin may see and hear, in as little memory as the token itself took.
//!
//! Invariant: every id in it is one that somebody may have; what nobody can be called is left out, and allows nothing.

use std::cmp::Ordering;

use serde::{Serialize, Serializer};

use super::is_valid_id;

/// The only salespeople that an admin may see and hear.
///
/// Thousands of short ids fit into a token; a string for each would take ten times as much as they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// In order, separated by spaces, which no id has.
    ids: Box<str>,
}

impl Scope {
    /// Returns the scope of these ids.
    pub fn new<'a>(ids: impl IntoIterator<Item = &'a str>) -> Scope {
        let mut ids: Vec<&str> = ids.into_iter().filter(|id| is_valid_id(id)).collect();
        ids.sort_unstable();
        ids.dedup();
        Scope { ids: ids.join(" ").into() }
    }

    /// Tells whether `id` is one of them. Halves the text, not the list: each row is asked about for everybody.
    pub fn contains(&self, id: &str) -> bool {
        let mut rest = &*self.ids;
        while !rest.is_empty() {
            let start = rest[..rest.len() / 2].rfind(' ').map_or(0, |space| space + 1);
            let end = rest[start..].find(' ').map_or(rest.len(), |space| start + space);
            match rest[start..end].cmp(id) {
                Ordering::Less => rest = rest.get(end + 1..).unwrap_or_default(),
                Ordering::Equal => return true,
                Ordering::Greater => rest = rest[..start].trim_end(),
            }
        }
        false
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_whole_ids_and_nothing_between_them() {
        let scope = Scope::new(["tom", "lea", "a b", "", "tom", "z", "anna"]);
        for id in ["anna", "lea", "tom", "z"] {
            assert!(scope.contains(id), "{id}");
        }
        for id in ["le", "ea", "a", "b", "a b", "", "leatom", "lea tom", " ", "zz"] {
            assert!(!scope.contains(id), "{id:?}");
        }
        let many: Vec<String> = (0..500).map(|n| format!("{n}")).collect();
        let even = Scope::new(many.iter().map(String::as_str).filter(|id| id.ends_with(['0', '2', '4', '6', '8'])));
        assert!(many.iter().enumerate().all(|(n, id)| even.contains(id) == (n % 2 == 0)));
        assert!(!Scope::new([]).contains(""), "an empty scope allows nobody");
        assert_eq!(serde_json::to_string(&scope).unwrap(), r#"["anna","lea","tom","z"]"#);
    }
}
