//! Counts what each address or each user holds at one time, and how often each does what costs us something.
//!
//! Knows neither addresses nor users: a key is whatever can be told apart. Invariant: a row that holds nothing and
//! whose bucket is full again goes at once or at the next sweep, and there are never more rows than allowed.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::rate::{Bucket, Rate};

/// What one kind of client may hold and do.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// How much one key may hold at one time.
    pub held_max: usize,
    /// How often one key may do what costs something.
    pub rate: Rate,
    /// Keys at one time. Above, one that holds nothing is forgotten, and may do as much as anybody again.
    pub rows_max: usize,
}

/// One row for each key that holds something or did something lately.
#[derive(Debug)]
pub struct Quota<K> {
    rows: BTreeMap<K, Row>,
    allowance: Allowance,
    forgotten: u64,
}

#[derive(Debug)]
struct Row {
    held: usize,
    bucket: Bucket,
}

impl<K: Ord + Clone> Quota<K> {
    /// Returns a table without rows.
    pub fn new(allowance: Allowance) -> Quota<K> {
        Quota { rows: BTreeMap::new(), allowance, forgotten: 0 }
    }

    /// Takes it that `key` holds so much more; tells whether it may, and if not, nothing has changed.
    pub fn hold(&mut self, now: Instant, key: &K, amount: usize) -> bool {
        let held_max = self.allowance.held_max;
        let row = self.row(now, key).filter(|row| row.held + amount <= held_max);
        row.map(|row| row.held += amount).is_some()
    }

    /// Tells whether `key` may hold so much more.
    pub fn has_room(&self, key: &K, amount: usize) -> bool {
        self.rows.get(key).map_or(0, |row| row.held) + amount <= self.allowance.held_max
    }

    /// Takes it that `key` holds so much less.
    pub fn release(&mut self, now: Instant, key: &K, amount: usize) {
        let Some(row) = self.rows.get_mut(key) else { return };
        row.held = row.held.saturating_sub(amount);
        if row.is_over(now) {
            self.rows.remove(key);
        }
    }

    /// Takes it that `key` does what costs something; tells whether it may.
    pub fn take(&mut self, now: Instant, key: &K) -> bool {
        self.row(now, key).is_some_and(|row| row.bucket.take(now))
    }

    /// Forgets all that hold nothing and may do as much as anybody.
    pub fn sweep(&mut self, now: Instant) {
        self.rows.retain(|_, row| !row.is_over(now));
    }

    /// Returns how many keys are known.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Tells whether no key is known.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns how much all keys hold together.
    pub fn held(&self) -> usize {
        self.rows.values().map(|row| row.held).sum()
    }

    /// Returns how many keys were forgotten before their time.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn row(&mut self, now: Instant, key: &K) -> Option<&mut Row> {
        if !self.rows.contains_key(key) {
            if self.rows.len() >= self.allowance.rows_max {
                self.forget_one(key)?;
            }
            self.rows.insert(key.clone(), Row { held: 0, bucket: Bucket::new(now, self.allowance.rate) });
        }
        self.rows.get_mut(key)
    }

    /// Forgets some key that holds nothing; `None` where each holds something.
    fn forget_one(&mut self, beside: &K) -> Option<()> {
        let mut around = self.rows.range(beside..).chain(self.rows.range(..beside));
        let key = around.find(|(_, row)| row.held == 0)?.0.clone();
        self.rows.remove(&key);
        self.forgotten += 1;
        Some(())
    }
}

impl Row {
    /// Tells whether nothing is left to be known of it.
    fn is_over(&self, now: Instant) -> bool {
        self.held == 0 && self.bucket.is_full(now)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use std::time::Duration;

    use super::*;

    fn quota() -> Quota<u8> {
        Quota::new(Allowance { held_max: 2, rate: Rate::per_second(1, 3), rows_max: 4 })
    }

    #[test]
    fn each_key_holds_so_many() {
        let (now, mut quota) = (Instant::now(), quota());
        let held: Vec<bool> = [1, 1, 1, 2].iter().map(|key| quota.hold(now, key, 1)).collect();
        assert_eq!(held, [true, true, false, true]);
        quota.release(now, &1, 1);
        assert!(quota.hold(now, &1, 1));
        assert!(!quota.hold(now, &1, 1));
    }

    #[test]
    fn each_key_has_its_rate() {
        let (now, mut quota) = (Instant::now(), quota());
        assert_eq!((0..10).filter(|_| quota.take(now, &1)).count(), 3);
        assert!(quota.take(now, &2));
        assert!(quota.take(now + Duration::from_secs(1), &1));
    }

    #[test]
    fn rows_are_bounded_and_go_when_nothing_is_left_of_them() {
        let (now, mut quota) = (Instant::now(), quota());
        assert!(quota.hold(now, &0, 1));
        assert!((0..10).all(|key| quota.take(now, &key)), "strangers shut nobody out");
        assert_eq!((quota.len(), quota.forgotten()), (4, 6));
        assert!(quota.hold(now, &0, 1));
        assert!(!quota.hold(now, &0, 1), "who holds something is not forgotten");
        quota.release(now, &0, 1);
        quota.sweep(now + Duration::from_millis(999));
        assert_eq!(quota.len(), 4, "their buckets are not full yet");
        quota.sweep(now + Duration::from_secs(1));
        assert_eq!(quota.len(), 1, "one holds something");
        quota.release(now + Duration::from_secs(1), &0, 1);
        assert!(quota.is_empty());
        assert!((0..4).all(|key| quota.hold(now, &key, 1)));
        assert!(!quota.hold(now, &4, 1) && !quota.take(now, &4), "each of the others holds something");
        quota.release(now, &0, 1);
        assert_eq!(quota.len(), 3, "what did nothing leaves nothing");
    }
}
