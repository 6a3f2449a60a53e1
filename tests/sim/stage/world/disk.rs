//! The writer of the journal: as slow, as full and as disorderly as a scenario wants.
//!
//! It keeps nothing but when each entry is answered, and how. Invariant: each entry is answered once, unless the server is
//! killed first.

use std::ops::Range;
use std::time::{Duration, Instant};

use ecoute::audit::{Entry, EntryId};
use ecoute::keys::JobKey;
use ecoute::outbox::NotWritten;

pub struct Disk {
    /// How long an entry takes, each by chance: answers come in any order.
    pub delay: Range<Duration>,
    /// Of a thousand entries, so many can't be written.
    pub refused_per_mille: u32,
    /// Answers nothing while it is.
    pub is_stuck: bool,
    waiting: Vec<Waiting>,
    chance: fastrand::Rng,
}

struct Waiting {
    due: Instant,
    job: JobKey,
    entry: EntryId,
    is_refused: bool,
}

impl Disk {
    /// Returns a disk that writes everything at once.
    pub(super) fn new(seed: u64) -> Disk {
        Disk {
            delay: Duration::ZERO..Duration::ZERO,
            refused_per_mille: 0,
            is_stuck: false,
            waiting: Vec::new(),
            chance: fastrand::Rng::with_seed(seed),
        }
    }

    /// Makes it new: what waits is written.
    pub fn heal(&mut self) {
        (self.delay, self.refused_per_mille, self.is_stuck) = (Duration::ZERO..Duration::ZERO, 0, false);
    }

    pub(super) fn take(&mut self, now: Instant, job: JobKey, entry: &Entry) {
        let span = self.delay.end.saturating_sub(self.delay.start);
        let due = now + self.delay.start + span.mul_f64(self.chance.f64());
        let is_refused = self.chance.u32(..1000) < self.refused_per_mille;
        self.waiting.push(Waiting { due, job, entry: entry.id, is_refused });
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.iter().filter(|_| !self.is_stuck).map(|waiting| waiting.due).min()
    }

    /// Returns an answer that is due: to which job, of which entry.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(JobKey, EntryId, Result<(), NotWritten>)> {
        let due = self.waiting.iter().position(|waiting| waiting.due <= now && !self.is_stuck)?;
        let Waiting { job, entry, is_refused, .. } = self.waiting.remove(due);
        Some((job, entry, if is_refused { Err(NotWritten) } else { Ok(()) }))
    }

    /// The server is killed: nobody waits for an answer any more.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
    }
}
