//! The thread that makes entries durable, in the order in which they happened.
//!
//! All that wait are written with one sync. Where the journal can't be written, gates are refused at once, and the rest waits
//! until it can. Each entry is a line of the log too, which may be lost. Invariant: an entry is answered once, and with
//! success only when it is durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use super::faults::{Faults, Part};
use super::late::{Answer, Answers};
use super::{monotonic, wall};
use crate::audit::{Class, Entry, EntryId, Event};
use crate::host::journal::{Journal, JournalError, KEPT};
use crate::host::logging;
use crate::keys::JobKey;
use crate::outbox::{JournalState, NotWritten, Reply};

/// How many entries are durable with one sync, at the most: of all who come back at once, and of who asks to listen behind them.
const GROUP_MAX: usize = 8 * 1024;
/// How long what waits does, until it is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// The shortest time between two times that the loop hears of what the journal takes.
const TOLD: Duration = Duration::from_secs(5);
/// How often the loop hears what the disk has room for, though nothing was written.
const TOLD_IDLE: Duration = Duration::from_secs(60);
/// How often it is noted for good where the journal is, and looked for what is too old.
const ROUND: Duration = Duration::from_secs(3600);
/// How often a sign of life is kept, while somebody is on air or heard.
const SIGN: Duration = Duration::from_secs(30);
/// A clock that differs by more from what it would be is not believed about what is too old.
const CLOCK_ERROR: Duration = Duration::from_secs(60);

/// Writes what comes, until nothing more can.
pub(super) fn run(entries: &Receiver<(JobKey, Entry)>, journal: Journal, options: Arc<str>, answers: &Answers) {
    let mut writer = Writer::new(journal);
    writer.note(Event::ServerStarted { version: env!("CARGO_PKG_VERSION"), options });
    writer.write(answers);
    writer.keep_note();
    writer.report(answers, monotonic());
    loop {
        match entries.recv_timeout(writer.patience(monotonic())) {
            Ok((job, entry)) => {
                writer.take(Some(job), entry);
                entries.try_iter().take(GROUP_MAX).for_each(|(job, entry)| writer.take(Some(job), entry));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        writer.write(answers);
        writer.go_round(monotonic());
        writer.report(answers, monotonic());
    }
    // Where the loop has ended, the rest is written all the same.
    writer.note(Event::ServerEnded);
    writer.write(answers);
    writer.keep_note();
    if !writer.waiting.is_empty() {
        let count = writer.waiting.len();
        log::error!(target: "audit", "entries could not be written to the journal and are in the log alone: count={count}");
    }
    writer.journal.close();
}

struct Writer {
    journal: Journal,
    /// What is not durable yet, and who waits for it: nobody for what was noted here.
    waiting: VecDeque<(Option<JobKey>, Entry)>,
    /// What can't be done with the journal.
    faults: Faults,
    /// What the loop was told, and when.
    told: Option<(JournalState, Instant)>,
    /// Whether something was written since.
    has_written: bool,
    /// When the clocks were read first.
    began: (Instant, SystemTime),
    next_round: Instant,
    next_sign: Instant,
}

impl Writer {
    fn new(journal: Journal) -> Writer {
        let began = (monotonic(), wall());
        let (next_round, next_sign) = (began.0 + ROUND, began.0 + SIGN);
        let waiting = VecDeque::new();
        Writer {
            journal,
            waiting,
            faults: Faults::default(),
            told: None,
            has_written: false,
            began,
            next_round,
            next_sign,
        }
    }

    fn patience(&self, now: Instant) -> Duration {
        let next = self.next_round.min(self.next_sign).min(self.next_report(now));
        let until_other = next.saturating_duration_since(now);
        let is_idle = self.waiting.is_empty() && self.faults.of_entries().is_none();
        if is_idle { until_other } else { RETRY.min(until_other) }
    }

    /// Returns when the loop is to be told again, where nothing changes at once.
    fn next_report(&self, now: Instant) -> Instant {
        let pause = if self.has_written { TOLD } else { TOLD_IDLE };
        self.told.map_or(now, |(_, at)| at + pause)
    }

    /// Tells the loop how the journal is: at once where it fails or does no more, or a restoration was confirmed.
    fn report(&mut self, answers: &Answers, now: Instant) {
        let fault = self.faults.of_entries();
        let now_known = (fault, self.journal.restored());
        let is_new = self.told.is_none_or(|(told, _)| (told.fault, told.restored) != now_known);
        if !is_new && now < self.next_report(now) {
            return;
        }
        let state = self.journal.state(fault);
        if self.told.is_none_or(|(told, _)| told != state) {
            answers.send(Answer::Journal(state));
        }
        (self.told, self.has_written) = (Some((state, now)), false);
    }

    /// Does what is to be done once in a while.
    fn go_round(&mut self, now: Instant) {
        if self.next_sign <= now {
            self.next_sign = now + SIGN;
            let signed = self.journal.sign_of_life(wall());
            self.tell(Part::Sign, signed.err().as_ref());
            self.take_in();
            if self.faults.is_failing(Part::Note) {
                self.keep_note();
            }
        }
        if now < self.next_round {
            return;
        }
        if !self.purge(now) {
            self.keep_note();
            self.next_round = now + ROUND;
        }
    }

    /// Takes out what is too old, as far as the clock can be believed; tells whether there is more.
    fn purge(&mut self, now: Instant) -> bool {
        let (wall, expected) = (wall(), self.began.1 + now.saturating_duration_since(self.began.0));
        let error = wall.duration_since(expected).unwrap_or_else(|error| error.duration());
        if error > CLOCK_ERROR {
            return false;
        }
        let purged = wall.checked_sub(KEPT).map_or(Ok(0), |before| self.journal.purge(wall, before));
        self.tell(Part::Purge, purged.as_ref().err());
        self.take_in();
        purged.is_ok_and(|times| times > 0)
    }

    /// Writes down what commands have handed in.
    fn take_in(&mut self) {
        let taken = self.journal.take_in(wall());
        self.tell(Part::HandedIn, taken.err().as_ref());
    }

    /// Takes an entry about the journal itself.
    fn note(&mut self, event: Event) {
        self.take(None, Entry { id: EntryId(0), at: wall(), event });
    }

    fn take(&mut self, job: Option<JobKey>, entry: Entry) {
        let (at, event) = (logging::timestamp(entry.at), &entry.event);
        // What is lost is counted there.
        let _ = logging::write_down(format_args!("{event} at={at}"));
        self.waiting.push_back((job, entry));
    }

    fn write(&mut self, answers: &Answers) {
        // Nothing that waits would show that it is over.
        if self.waiting.is_empty() && self.faults.of_entries().is_some() {
            self.try_out();
        }
        while !self.waiting.is_empty() {
            let group: Vec<&Entry> = self.waiting.iter().take(GROUP_MAX).map(|(_, entry)| entry).collect();
            let (written, count) = (self.journal.append(&group), group.len());
            self.tell(Part::Entries, written.as_ref().err());
            if written.is_err() {
                // Whoever is refused is told why.
                self.report(answers, monotonic());
                return self.refuse_gates(answers);
            }
            // What was handed in was written with them.
            self.tell(Part::HandedIn, None);
            self.has_written = true;
            if let Some(doubt) = self.journal.take_doubt() {
                let why = doubt.words();
                log::error!(target: "audit", "the journal may not be all that was written, look with `ecoute audit verify`: {why}");
                self.note(Event::JournalDoubted { why });
            }
            for job in self.waiting.drain(..count).filter_map(|(job, _)| job) {
                answers.send(Answer::Reply(job, Reply::Written(Ok(()))));
            }
        }
    }

    /// What waits for a gate hears that it stays closed.
    fn refuse_gates(&mut self, answers: &Answers) {
        self.waiting.retain(|(job, entry)| {
            let gate = job.filter(|_| entry.event.class() == Class::Gate);
            if let Some(job) = gate {
                answers.send(Answer::Reply(job, Reply::Written(Err(NotWritten))));
            }
            gate.is_none()
        });
    }

    /// Has it stay known where the journal is now.
    fn keep_note(&mut self) {
        let kept = self.journal.keep_note();
        self.tell(Part::Note, kept.err().as_ref());
    }

    /// Looks whether entries can be written, where none waits.
    fn try_out(&mut self) {
        let tried = self.journal.try_out(wall());
        self.say(Part::Entries, tried.err().as_ref());
    }

    /// Takes what came of a part. Where it is not that of entries, nobody knows yet whether those can be written.
    fn tell(&mut self, part: Part, error: Option<&JournalError>) {
        self.say(part, error);
        if error.is_some() && part != Part::Entries && self.faults.of_entries().is_none() {
            self.try_out();
        }
    }

    fn say(&mut self, part: Part, error: Option<&JournalError>) {
        match (self.faults.take(part, error), error) {
            (Some(said), Some(_)) => log::error!(target: "audit", "{said}"),
            (Some(said), None) => log::info!(target: "audit", "{said}"),
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::host::journal::{Reading, Wanted};

    /// The sum in the header of `config` has room for twice an entry, as a queue that grows does, and for a third of the longest
    /// listening: 1100 bytes with its strings.
    #[test]
    fn what_waits_takes_no_more_than_is_reckoned_with() {
        assert!(size_of::<(Option<JobKey>, Entry)>() <= 104, "{}", size_of::<(Option<JobKey>, Entry)>());
    }

    #[test]
    fn what_is_too_old_is_purged_unless_the_clock_has_jumped() {
        let data = TempDir::new().unwrap();
        let mut writer = Writer::new(Journal::open(data.path()).unwrap().0);
        let old = Entry { id: EntryId(0), at: wall() - KEPT - CLOCK_ERROR, event: Event::ServerEnded };
        let young = Entry { at: wall() - KEPT + CLOCK_ERROR, ..old.clone() };
        writer.journal.append(&[&old, &young]).unwrap();
        let began = writer.began.1;
        for jump in [2 * CLOCK_ERROR, 20 * KEPT] {
            writer.began.1 = began - jump;
            assert!(!writer.purge(monotonic()), "it may be wrong by {jump:?}");
        }
        writer.began.1 = began;
        assert!(writer.purge(monotonic()));
        assert!(!writer.purge(monotonic()), "there is no more");
        let mut kept = Vec::new();
        let reading = Reading::open(data.path()).unwrap();
        reading
            .entries(&Wanted::default(), |_, entry| {
                kept.push(entry);
                true
            })
            .unwrap();
        assert_eq!(kept.len(), 2);
        assert!(kept[1].contains(r#""event":"journal_purged""#), "{kept:?}");
    }

    /// Whoever holds the database up lets everything fail, and nothing but the same done again shows that it is over.
    #[test]
    fn what_fails_is_tried_again_and_not_taken_for_over() {
        let data = TempDir::new().unwrap();
        let mut writer = Writer::new(Journal::open(data.path()).unwrap().0);
        let (answers, _inbox, _poll) = Answers::of_test();
        writer.note(Event::ServerEnded);
        writer.write(&answers);
        let other = rusqlite::Connection::open(data.path().join("journal.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        writer.next_sign = monotonic();
        writer.go_round(monotonic());
        assert!(writer.faults.of_entries().is_some(), "entries can't be written either");
        other.execute_batch("COMMIT").unwrap();
        writer.keep_note();
        assert!(writer.faults.of_entries().is_some(), "that says nothing of entries");
        writer.write(&answers);
        assert!(writer.faults.of_entries().is_none() && writer.faults.is_failing(Part::Sign));
        writer.next_sign = monotonic();
        writer.go_round(monotonic());
        assert!(!writer.faults.is_failing(Part::Sign));
    }
}
