//! Who has been here, by name, so that a name is marked that people would take for another person's.
//!
//! Invariant: each id stands in it once, whoever registered last at the end, and no more than the bound.

use std::collections::VecDeque;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use crate::audit::KnownPerson;
use crate::words::text::look_of;

/// How long a day is, in milliseconds.
const DAY_MS: u64 = 86_400_000;

/// Returns when somebody was here, as others may know it: of another day than today no more than which.
pub(super) fn coarse(seen_ms: u64, now_ms: u64) -> u64 {
    let day = seen_ms / DAY_MS;
    // Noon is of that day wherever people live.
    if day == now_ms / DAY_MS { seen_ms } else { day * DAY_MS + DAY_MS / 2 }
}

/// The table of people who registered since somebody was here last.
pub(super) struct People {
    rows: VecDeque<Row>,
}

struct Row {
    person: Arc<KnownPerson>,
    /// A hash of the id, beside the others': who comes is looked for among all.
    key: u64,
    /// What the name looks like.
    look: u64,
}

impl People {
    /// Returns a table without people.
    pub(super) fn new() -> People {
        People { rows: VecDeque::new() }
    }

    /// Somebody registered; returns whether that made the server forget who was not seen for longest.
    pub(super) fn meet(&mut self, id: &str, name: &str, people_max: usize) -> bool {
        let key = BuildHasherDefault::<DefaultHasher>::default().hash_one(id);
        if let Some(at) = self.rows.iter().position(|row| row.key == key && row.person.id == id) {
            self.rows.remove(at);
        }
        let person = Arc::new(KnownPerson { id: id.to_owned(), name: name.to_owned() });
        self.rows.push_back(Row { person, key, look: look_of(name) });
        let is_full = self.rows.len() > people_max;
        if is_full {
            self.rows.pop_front();
        }
        is_full
    }

    /// Returns whom somebody of this name would be taken for.
    pub(super) fn taken_for(&self, id: &str, name: &str) -> Option<Arc<KnownPerson>> {
        let look = look_of(name);
        let other = self.rows.iter().find(|row| row.look == look && row.person.id != id);
        other.map(|row| Arc::clone(&row.person))
    }

    /// Forgets everybody.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_another_day_the_day_is_known() {
        let noon = 10 * DAY_MS + DAY_MS / 2;
        assert_eq!(coarse(noon + 5, noon + 70), noon + 5);
        assert_eq!(coarse(noon + 5, noon + DAY_MS), noon);
        assert_eq!(coarse(10 * DAY_MS, noon - DAY_MS), noon, "a clock that went back");
    }

    #[test]
    fn who_is_taken_for_whom() {
        let mut people = People::new();
        people.meet("paul", "Paul D.", 3);
        people.meet("ana", "Ana F.", 3);
        let taken_for =
            |people: &People, id: &str, name: &str| people.taken_for(id, name).map(|who| who.id.clone());
        assert_eq!(taken_for(&people, "eve", "\u{420}aul D."), Some("paul".to_owned()));
        assert_eq!(taken_for(&people, "eve", "Paul D."), Some("paul".to_owned()));
        assert_eq!(taken_for(&people, "paul", "Paul D."), None, "for themselves");
        assert_eq!(taken_for(&people, "eve", "Eve"), None);
        assert!(!people.meet("paul", "Paul Durand", 3), "the same person, under another name");
        assert_eq!(taken_for(&people, "eve", "Paul D."), None);
        assert!(!people.meet("tom", "Tom", 3));
        assert!(people.meet("zoe", "Zoé", 3));
        assert_eq!((people.len(), taken_for(&people, "eve", "Ana F.")), (3, None), "longest not seen");
    }
}
