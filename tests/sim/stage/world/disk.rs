//! The writer of the journal: as slow, as full and as disorderly as a scenario wants, or as orderly as the real one.
//!
//! It keeps nothing but when each entry is answered, and how. Invariant: each entry is answered once, unless the server is
//! killed first.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use ecoute::audit::{Class, Entry, Event};
use ecoute::keys::JobKey;
use ecoute::outbox::{JournalState, NotWritten};
use ecoute::words::{JournalFault, Restoration};

/// How long what waits does in order, until it is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How many entries the real writer makes durable with one sync, at the most.
const GROUP_MAX: usize = 8 * 1024;

pub struct Disk {
    /// Whether entries are written one after the other, as the real writer does: where one can't be, gates that wait are
    /// refused, and all else waits.
    pub is_in_order: bool,
    /// How long an entry takes, each by chance: answers come in any order.
    pub delay: Range<Duration>,
    /// How long a sync takes in order, with which all are written that wait by then.
    pub sync: Option<Duration>,
    /// Of a thousand entries, so many can't be written; in order, of as many tries.
    pub refused_per_mille: u32,
    /// Answers nothing while it is.
    pub is_stuck: bool,
    /// What the writer says that is wrong: it refuses gates at once, and all else waits.
    pub fault: Option<JournalFault>,
    /// What the writer says of what the journal was made of, until somebody confirmed it.
    pub restored: Option<Restoration>,
    told: (Option<JournalFault>, Option<Restoration>),
    written: u64,
    /// When the present sync is over, and how many of those that wait it makes durable.
    syncing: Option<(Instant, usize)>,
    /// When it was tried last to write in order, and whether that failed.
    tried: Option<(Instant, bool)>,
    waiting: VecDeque<Waiting>,
    chance: fastrand::Rng,
}

/// An entry that was answered: to which job, and how.
pub(super) struct Answered {
    pub(super) job: JobKey,
    pub(super) entry: Entry,
    pub(super) written: Result<(), NotWritten>,
}

struct Waiting {
    due: Instant,
    job: JobKey,
    entry: Entry,
    /// Whether it can't be written, once that is tried.
    is_refused: bool,
    is_gate: bool,
}

impl Disk {
    /// Returns a disk that writes everything at once.
    pub(super) fn new(seed: u64) -> Disk {
        Disk {
            is_in_order: false,
            delay: Duration::ZERO..Duration::ZERO,
            sync: None,
            refused_per_mille: 0,
            is_stuck: false,
            fault: None,
            restored: None,
            told: (None, None),
            written: 0,
            syncing: None,
            tried: None,
            waiting: VecDeque::new(),
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
        let before = self.waiting.back().map(|waiting| waiting.due).filter(|_| self.is_in_order);
        let is_refused = self.draw_refusal();
        let is_gate = entry.event.class() == Class::Gate;
        let due = before.map_or(due, |before| before.max(due));
        self.waiting.push_back(Waiting { due, job, entry: entry.clone(), is_refused, is_gate });
    }

    pub(super) fn next(&self) -> Option<Instant> {
        if self.is_in_order {
            if let Some((over, _)) = self.syncing {
                return Some(over);
            }
            let first = self.waiting.front().filter(|_| !self.is_stuck)?;
            let gate = self.waiting.iter().find(|waiting| waiting.is_gate).filter(|_| self.fault.is_some());
            return Some(gate.map_or(first.due, |gate| gate.due.min(first.due)));
        }
        self.waiting.iter().filter(|waiting| self.answers(waiting)).map(|waiting| waiting.due).min()
    }

    /// Returns an answer that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Answered> {
        let (due, is_refused) = if self.is_in_order { self.find_in_order(now)? } else { self.find(now)? };
        let Waiting { job, entry, .. } = self.waiting.remove(due)?;
        self.written += u64::from(!is_refused);
        if let Event::RestorationConfirmed { at_ms, .. } = entry.event {
            self.restored = self.restored.filter(|restored| is_refused || restored.at != at_ms);
        }
        Some(Answered { job, entry, written: if is_refused { Err(NotWritten) } else { Ok(()) } })
    }

    fn find(&self, now: Instant) -> Option<(usize, bool)> {
        let due = self.waiting.iter().position(|waiting| waiting.due <= now && self.answers(waiting))?;
        Some((due, self.waiting[due].is_refused || self.fault.is_some()))
    }

    /// The first is written, or a gate is refused because it can't be.
    fn find_in_order(&mut self, now: Instant) -> Option<(usize, bool)> {
        if let Some(sync) = self.sync {
            return self.find_synced(now, sync).then_some((0, false));
        }
        if self.is_stuck || self.next()? > now {
            return None;
        }
        let has_failed = match self.tried.filter(|(at, _)| *at == now) {
            Some((_, has_failed)) => has_failed,
            None => self.fault.is_some() || self.draw_refusal(),
        };
        self.tried = Some((now, has_failed));
        if !has_failed {
            return Some((0, false));
        }
        let gate = self.waiting.iter().position(|waiting| waiting.is_gate);
        if gate.is_none() {
            self.waiting.front_mut()?.due = now + RETRY;
        }
        Some((gate?, true))
    }

    /// Tells whether the first is durable; where nothing is being written, all that wait are from now on.
    fn find_synced(&mut self, now: Instant, sync: Duration) -> bool {
        match &mut self.syncing {
            Some((over, left)) if *over <= now && *left > 0 => {
                *left -= 1;
                return true;
            }
            Some((over, _)) if *over > now => return false,
            Some(_) | None => {}
        }
        let count = self.waiting.len().min(GROUP_MAX);
        self.syncing = (count > 0).then_some((now + sync, count));
        false
    }

    /// Returns how many entries are not answered yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn draw_refusal(&mut self) -> bool {
        self.chance.u32(..1000) < self.refused_per_mille
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

    /// The server is killed: nobody waits for an answer any more. Returns what was written and not answered by then, and how
    /// much was not written.
    pub(super) fn kill(&mut self) -> (Vec<Entry>, usize) {
        let can_write = self.is_in_order && !self.is_stuck && self.fault.is_none();
        let count = if can_write { self.chance.usize(..=self.waiting.len()) } else { 0 };
        let written = self.waiting.drain(..count).map(|waiting| waiting.entry).collect();
        let lost = self.waiting.len();
        self.waiting.clear();
        (written, lost)
    }
}
