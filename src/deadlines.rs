//! Holds the moments at which something must be looked at again, in order.
//!
//! Not a timer: nothing runs here; the owner asks for what is due. Invariant: a key stands in it at most once, and
//! `ordered` and `armed` hold the same pairs.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Instant;

/// An ordered set of (moment, key), with one moment for each key.
#[derive(Debug)]
pub struct Deadlines<K> {
    ordered: BTreeSet<(Instant, K)>,
    armed: HashMap<K, Instant>,
}

impl<K: Copy + Ord + Hash> Deadlines<K> {
    /// Returns an empty set.
    pub fn new() -> Deadlines<K> {
        Deadlines { ordered: BTreeSet::new(), armed: HashMap::new() }
    }

    /// Sets the moment of `key`, whatever it was before.
    pub fn arm(&mut self, key: K, at: Instant) {
        if let Some(before) = self.armed.insert(key, at) {
            if before == at {
                return;
            }
            self.ordered.remove(&(before, key));
        }
        self.ordered.insert((at, key));
    }

    /// Forgets `key`.
    pub fn cancel(&mut self, key: K) {
        if let Some(at) = self.armed.remove(&key) {
            self.ordered.remove(&(at, key));
        }
    }

    /// Tells whether `key` has a moment.
    pub fn is_armed(&self, key: K) -> bool {
        self.armed.contains_key(&key)
    }

    /// Removes and returns the earliest key whose moment is not after `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        let &(at, key) = self.ordered.first().filter(|(at, _)| *at <= now)?;
        self.ordered.remove(&(at, key));
        self.armed.remove(&key);
        Some(key)
    }

    /// Returns the earliest moment and its key.
    pub fn first(&self) -> Option<(Instant, K)> {
        self.ordered.first().copied()
    }

    /// Returns how many keys are armed.
    pub fn len(&self) -> usize {
        self.armed.len()
    }

    /// Tells whether no key is armed.
    pub fn is_empty(&self) -> bool {
        self.armed.is_empty()
    }
}

impl<K: Copy + Ord + Hash> Default for Deadlines<K> {
    fn default() -> Deadlines<K> {
        Deadlines::new()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn pops_in_order_and_only_what_is_due() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut deadlines = Deadlines::new();
        deadlines.arm('b', at(20));
        deadlines.arm('a', at(10));
        deadlines.arm('c', at(30));
        assert_eq!(deadlines.first(), Some((at(10), 'a')));
        assert_eq!(deadlines.pop_due(at(9)), None);
        assert_eq!(deadlines.pop_due(at(20)), Some('a'));
        assert_eq!(deadlines.pop_due(at(20)), Some('b'));
        assert_eq!(deadlines.pop_due(at(20)), None);
        assert_eq!(deadlines.len(), 1);
    }

    #[test]
    fn a_key_has_one_moment() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new();
        deadlines.arm('a', start);
        deadlines.arm('a', start + Duration::from_secs(1));
        assert_eq!(deadlines.pop_due(start), None);
        deadlines.arm('a', start);
        deadlines.cancel('a');
        deadlines.cancel('a');
        assert!(deadlines.is_empty());
        assert_eq!(deadlines.first(), None);
    }
}
