//! The reader of the journal: a real one in a directory of its own, where a scenario wants one.
//!
//! Invariant: it has what the writer said is durable, and nothing else.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ecoute::audit::{Entry, EntryId, Event};
use ecoute::history::Question;
use ecoute::host::journal::{self, Journal, Reading, Wanted};
use ecoute::keys::JobKey;
use ecoute::outbox::Reply;
use serde_json::Value;
use tempfile::TempDir;

/// How often the real writer keeps a sign of life.
const SIGN: Duration = Duration::from_secs(30);

#[derive(Default)]
pub struct Past {
    kept: Option<Kept>,
    waiting: VecDeque<(JobKey, Ask)>,
    /// Answers nothing while it is.
    pub is_stuck: bool,
    /// How many questions were asked.
    pub asked: usize,
}

enum Ask {
    History(Box<Question>),
    Seen { since_ms: u64, people_max: usize },
}

struct Kept {
    reader: journal::Past,
    journal: Journal,
    directory: TempDir,
    signed: SystemTime,
}

impl Past {
    /// Keeps what is written from now on.
    pub fn begin(&mut self) {
        let directory = TempDir::new().expect("there is room");
        let journal = open(&directory);
        let reader = journal::Past::new(directory.path().to_owned());
        self.kept = Some(Kept { reader, journal, directory, signed: UNIX_EPOCH });
    }

    /// Makes entries durable, with one sync.
    pub(super) fn keep(&mut self, entries: &[&Entry], now: SystemTime) {
        let Some(kept) = self.kept.as_mut().filter(|_| !entries.is_empty()) else { return };
        kept.journal.append(entries).expect("there is room");
        if kept.signed + SIGN <= now {
            kept.journal.sign_of_life(now).expect("there is room");
            kept.signed = now;
        }
    }

    /// Another server finds what the one that was killed left, and begins.
    pub(super) fn reopen(&mut self, now: SystemTime) {
        let Some(kept) = &mut self.kept else { return };
        // The lock goes with the journal of before.
        let other = TempDir::new().expect("there is room");
        kept.journal = open(&other);
        kept.journal = open(&kept.directory);
        let event = Event::ServerStarted { version: "0", options: "".into() };
        kept.journal.append(&[&Entry { id: EntryId(0), at: now, event }]).expect("there is room");
    }

    /// Verifies the journal; returns its entries, unless nothing is kept.
    pub fn entries(&self) -> Option<Vec<Value>> {
        let kept = self.kept.as_ref()?;
        let reading = Reading::open(kept.directory.path()).expect("it is there");
        reading.verify(None).expect("law 8: the journal is good");
        let mut entries = Vec::new();
        let take = |_, entry: String| {
            entries.push(serde_json::from_str(&entry).expect("it is JSON"));
            true
        };
        reading.entries(&Wanted::default(), take).expect("it can be read");
        Some(entries)
    }

    pub(super) fn ask(&mut self, job: JobKey, question: Box<Question>) {
        self.asked += 1;
        self.waiting.push_back((job, Ask::History(question)));
    }

    pub(super) fn ask_seen(&mut self, job: JobKey, since_ms: u64, people_max: usize) {
        self.waiting.push_back((job, Ask::Seen { since_ms, people_max }));
    }

    /// Returns the next answer.
    pub(super) fn pop(&mut self, now: SystemTime) -> Option<(JobKey, Reply)> {
        let (job, ask) = self.waiting.pop_front_if(|_| !self.is_stuck)?;
        let now_ms = now.duration_since(UNIX_EPOCH).expect("it is no longer 1970").as_millis() as u64;
        let kept = self.kept.as_mut();
        let reply = match ask {
            Ask::History(question) => Reply::History(kept.and_then(|kept| kept.reader.answer(*question, now_ms))),
            Ask::Seen { since_ms, people_max } => {
                Reply::Seen(kept.map(|kept| kept.reader.seen(since_ms, people_max)).unwrap_or_default())
            }
        };
        Some((job, reply))
    }

    /// The server is killed: nobody waits for an answer any more.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
    }
}

fn open(directory: &TempDir) -> Journal {
    let (journal, problem) = Journal::open(directory.path()).expect("it is ours");
    assert!(problem.is_none(), "{problem:?}");
    journal
}
