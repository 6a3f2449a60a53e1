//! Gives memory back to the system that the start or a storm of clients took: the allocator keeps pages of which a few bytes
//! are in use.
//!
//! Invariant: it is given back once after the start, once after each storm and once when nobody is left, not while most of a
//! storm is there.

#![expect(unsafe_code, reason = "a function of C")]

/// How many sessions and TCP clients are a storm: those of the largest take some 10 MB.
const STORM: usize = 128;

/// What is left of a storm that is over, at the most.
const LEFT_PART: usize = 8;

/// Fewer take so little that it may stay.
const FEW: usize = 16;

/// The largest storm since memory was given back.
#[derive(Default)]
pub(super) struct Memory {
    most: usize,
}

impl Memory {
    /// Takes it how many sessions and TCP clients there are, and gives memory back if a storm is over.
    pub(super) fn watch(&mut self, clients: usize) {
        if self.is_over(clients) {
            give_back();
        }
    }

    fn is_over(&mut self, clients: usize) -> bool {
        self.most = self.most.max(clients);
        let is_over = match clients {
            0 => self.most >= FEW,
            _ => self.most >= STORM && clients <= self.most / LEFT_PART,
        };
        if is_over {
            self.most = clients;
        }
        is_over
    }
}

/// Gives back what is free. Other C libraries do it by themselves, or never.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number and locks what it works on.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_after_each_storm() {
        let mut memory = Memory::default();
        let cases = [(15, false), (0, false), (127, false), (15, false), (128, false), (17, false), (16, true)];
        let again = [(1000, false), (126, false), (125, true), (125, false), (1, false), (0, true), (0, false)];
        for (n, (clients, want)) in cases.into_iter().chain(again).enumerate() {
            assert_eq!(memory.is_over(clients), want, "{n}: {clients}");
        }
    }
}
