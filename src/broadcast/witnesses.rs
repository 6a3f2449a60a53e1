//! The pages that others took over from: they see all, and acknowledge nothing.
//!
//! Who takes over does not decide who sees: a page stays until it goes, and one whose connection broke comes back to see.
//! Invariant: each conn stands in it once, and the names of those that broke off are bounded.

use std::collections::VecDeque;

use crate::keys::ConnKey;

/// The pages that see what goes on beside the one that tells its person.
#[derive(Debug, Default)]
pub(super) struct Witnesses {
    conns: Vec<ConnKey>,
    /// The names of those whose connection broke, the last one at the end.
    lost: VecDeque<String>,
}

impl Witnesses {
    pub(super) fn conns(&self) -> &[ConnKey] {
        &self.conns
    }

    /// Tells whether the page of this name is expected back.
    pub(super) fn has_lost(&self, name: &str) -> bool {
        self.lost.iter().any(|lost| lost == name)
    }

    /// The page of this name sees from now on.
    pub(super) fn add(&mut self, conn: ConnKey, name: &str) {
        self.lost.retain(|lost| lost != name);
        self.conns.push(conn);
    }

    pub(super) fn remove(&mut self, conn: ConnKey) {
        self.conns.retain(|&other| other != conn);
    }

    /// The page of this name is expected back; above so many, who is away for longest is not any more.
    pub(super) fn lose(&mut self, name: String, lost_max: usize) {
        self.lost.retain(|lost| *lost != name);
        self.lost.push_back(name);
        if self.lost.len() > lost_max {
            self.lost.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn who_is_expected_back_to_see() {
        let (mut conns, mut witnesses) = (SlotMap::<ConnKey, ()>::with_key(), Witnesses::default());
        for name in ["a", "b", "a", "c"] {
            witnesses.lose(name.to_owned(), 2);
        }
        let lost = |witnesses: &Witnesses| ["a", "b", "c"].map(|name| witnesses.has_lost(name));
        assert_eq!(lost(&witnesses), [true, false, true], "the longest away is not");
        let conn = conns.insert(());
        witnesses.add(conn, "a");
        assert_eq!((lost(&witnesses), witnesses.conns()), ([false, false, true], &[conn][..]));
        witnesses.remove(conn);
        assert_eq!(witnesses.conns(), []);
    }
}
