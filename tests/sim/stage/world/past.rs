//! The reader of the journal: a real one in a directory of its own, where a scenario wants one.
//!
//! Invariant: it has what the writer said is durable, and nothing else.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use ecoute::audit::Entry;
use ecoute::history::Question;
use ecoute::host::journal::{self, Journal};
use ecoute::keys::JobKey;
use ecoute::outbox::Reply;
use tempfile::TempDir;

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
    _directory: TempDir,
}

impl Past {
    /// Keeps what is written from now on.
    pub fn begin(&mut self) {
        let directory = TempDir::new().expect("there is room");
        let (journal, problem) = Journal::open(directory.path()).expect("it is new");
        assert!(problem.is_none(), "{problem:?}");
        let reader = journal::Past::new(directory.path().to_owned());
        self.kept = Some(Kept { reader, journal, _directory: directory });
    }

    pub(super) fn keep(&mut self, entry: &Entry) {
        if let Some(kept) = &mut self.kept {
            kept.journal.append(&[entry]).expect("there is room");
        }
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
