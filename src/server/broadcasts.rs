//! All broadcasts, by key and by `commercial_id`.
//!
//! Invariant: each broadcast is found under its own id, and no id leads anywhere else.

use std::collections::BTreeMap;
use std::ops::Index;

use slotmap::SlotMap;

use crate::broadcast::Broadcast;
use crate::keys::BroadcastKey;

/// The table of salespeople who are connected, on air, wished for, or were here.
pub(super) struct Broadcasts {
    rows: SlotMap<BroadcastKey, Broadcast>,
    /// In the order of their ids, in which they are listed.
    by_id: BTreeMap<String, BroadcastKey>,
}

impl Broadcasts {
    /// Returns a table without broadcasts.
    pub(super) fn new() -> Broadcasts {
        Broadcasts { rows: SlotMap::with_key(), by_id: BTreeMap::new() }
    }

    /// Adds the broadcast of a salesperson who has none.
    pub(super) fn insert(&mut self, commercial_id: &str) -> BroadcastKey {
        let key = self.rows.insert(Broadcast::new(commercial_id));
        let before = self.by_id.insert(commercial_id.to_owned(), key);
        debug_assert_eq!(before, None, "one broadcast for each id");
        key
    }

    /// Forgets a broadcast.
    pub(super) fn remove(&mut self, key: BroadcastKey) {
        if let Some(broadcast) = self.rows.remove(key) {
            self.by_id.remove(broadcast.id());
        }
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns the broadcast of an id.
    pub(super) fn named(&self, commercial_id: &str) -> Option<BroadcastKey> {
        self.by_id.get(commercial_id).copied()
    }

    pub(super) fn get(&self, key: BroadcastKey) -> Option<&Broadcast> {
        self.rows.get(key)
    }

    pub(super) fn get_mut(&mut self, key: BroadcastKey) -> Option<&mut Broadcast> {
        self.rows.get_mut(key)
    }

    /// Yields all, in the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (BroadcastKey, &Broadcast)> {
        self.by_id.values().map(|&key| (key, &self.rows[key]))
    }

    /// Returns the keys of all that are so, in the order of their ids.
    pub(super) fn keys_of(&self, is_so: impl Fn(&Broadcast) -> bool) -> Vec<BroadcastKey> {
        self.iter().filter(|(_, broadcast)| is_so(broadcast)).map(|(key, _)| key).collect()
    }

    /// Asserts that each is found under its own id.
    pub(super) fn check(&self) {
        assert_eq!(self.rows.len(), self.by_id.len(), "broadcasts ↔ their ids");
        for (id, &key) in &self.by_id {
            assert_eq!(self.rows.get(key).map(Broadcast::id), Some(id.as_str()), "broadcasts ↔ their ids");
        }
    }
}

/// For keys that are known to be of broadcasts that are there.
impl Index<BroadcastKey> for Broadcasts {
    type Output = Broadcast;

    fn index(&self, key: BroadcastKey) -> &Broadcast {
        &self.rows[key]
    }
}

impl std::ops::IndexMut<BroadcastKey> for Broadcasts {
    fn index_mut(&mut self, key: BroadcastKey) -> &mut Broadcast {
        &mut self.rows[key]
    }
}
