//! The writer of the journal: as slow, as full and as disorderly as a scenario wants.
//!
//! It keeps nothing but when each entry is answered, and how. Invariant: each entry is answered once, unless the server is
//! killed first.

use std::ops::Range;
use std::time::{Duration, Instant};

use ecoute::audit::{Class, Entry, EntryId, Event};
use ecoute::keys::JobKey;
use ecoute::outbox::{JournalState, NotWritten};
use ecoute::words::{JournalFault, Restoration};

pub struct Disk {
    /// How long an entry takes, each by chance: answers come in any order.
    pub delay: Range<Duration>,
    /// Of a thousand entries, so many can't be written.
    pub refused_per_mille: u32,
    /// Answers nothing while it is.
    pub is_stuck: bool,
    /// What the writer says that is wrong: it refuses gates at once, and all else waits.
    pub fault: Option<JournalFault>,
    /// What the writer says of what the journal was made of, until somebody confirmed it.
    pub restored: Option<Restoration>,
    told: (Option<JournalFault>, Option<Restoration>),
    written: u64,
    waiting: Vec<Waiting>,
    chance: fastrand::Rng,
}

struct Waiting {
    due: Instant,
    job: JobKey,
    entry: EntryId,
    is_refused: bool,
    is_gate: bool,
    /// Of the restoration at this moment it confirms that somebody knows.
    confirms: Option<u64>,
}

impl Disk {
    /// Returns a disk that writes everything at once.
    pub(super) fn new(seed: u64) -> Disk {
        Disk {
            delay: Duration::ZERO..Duration::ZERO,
            refused_per_mille: 0,
            is_stuck: false,
            fault: None,
            restored: None,
            told: (None, None),
            written: 0,
            waiting: Vec::new(),
            chance: fastrand::Rng::with_seed(seed),
        }
    }

    /// Makes it new: what waits is written.
    pub fn heal(&mut self) {
        (self.delay, self.refused_per_mille, self.is_stuck) = (Duration::ZERO..Duration::ZERO, 0, false);
        self.fault = None;
    }

    pub(super) fn take(&mut self, now: Instant, job: JobKey, entry: &Entry) {
        let span = self.delay.end.saturating_sub(self.delay.start);
        let due = now + self.delay.start + span.mul_f64(self.chance.f64());
        let is_refused = self.chance.u32(..1000) < self.refused_per_mille;
        let is_gate = entry.event.class() == Class::Gate;
        let confirms = match &entry.event {
            Event::RestorationConfirmed { at_ms, .. } => Some(*at_ms),
            _ => None,
        };
        self.waiting.push(Waiting { due, job, entry: entry.id, is_refused, is_gate, confirms });
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.iter().filter(|waiting| self.answers(waiting)).map(|waiting| waiting.due).min()
    }

    /// Returns an answer that is due: to which job, of which entry.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(JobKey, EntryId, Result<(), NotWritten>)> {
        let due = self.waiting.iter().position(|waiting| waiting.due <= now && self.answers(waiting))?;
        let Waiting { job, entry, is_refused, confirms, .. } = self.waiting.remove(due);
        let is_refused = is_refused || self.fault.is_some();
        self.written += u64::from(!is_refused);
        self.restored = self.restored.filter(|restored| is_refused || Some(restored.at) != confirms);
        Some((job, entry, if is_refused { Err(NotWritten) } else { Ok(()) }))
    }

    /// Returns what the writer says, where that is new.
    pub(super) fn take_news(&mut self) -> Option<JournalState> {
        let is_new = (self.fault, self.restored) != self.told;
        self.told = (self.fault, self.restored);
        is_new.then_some(JournalState {
            entries: self.written,
            bytes: self.written * 700,
            free_bytes: Some(if self.fault == Some(JournalFault::DiskFull) { 0 } else { 1 << 30 }),
            fault: self.fault,
            restored: self.restored,
        })
    }

    fn answers(&self, waiting: &Waiting) -> bool {
        !self.is_stuck && (self.fault.is_none() || waiting.is_gate)
    }

    /// The server is killed: nobody waits for an answer any more.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
    }
}
