//! The thread that reads: files, proofs and history that clients ask for, and in its own time files that are watched.
//!
//! A disk of another machine may let it wait for ever; then what was read before stays in force, and who asks is told to
//! come back. Invariant: it ends with the loop, once it is not waiting for a file.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::UNIX_EPOCH;

use super::late::{Answer, Answers};
use super::{monotonic, wall};
use crate::history::Question;
use crate::host::journal::Past;
use crate::host::watch::Watch;
use crate::host::webroot;
use crate::keys::JobKey;
use crate::outbox::Reply;

/// What the loop wants of it.
#[derive(Debug)]
pub(super) enum Ask {
    /// Look at the watched files now.
    LookAgain,
    /// Read the file of this name, for a certificate authority.
    Challenge(JobKey, String),
    /// Answer a question about the past.
    History(JobKey, Box<Question>),
    /// Say who was here since a moment, in Unix milliseconds, and of so many at the most.
    Seen(JobKey, u64, usize),
    /// Tell the newest note of the journal, and prove another one.
    Prove(JobKey, Option<String>),
}

/// What it reads.
pub(super) struct Reader {
    pub(super) watch: Watch,
    pub(super) webroot: Option<PathBuf>,
    pub(super) past: Past,
}

impl Reader {
    /// Reads until the loop has ended.
    pub(super) fn run(&mut self, asks: &Receiver<Ask>, answers: &Answers) {
        loop {
            let now = monotonic();
            let asked = match self.watch.next_deadline(now) {
                Some(at) => asks.recv_timeout(at.saturating_duration_since(now)),
                None => asks.recv().map_err(RecvTimeoutError::from),
            };
            match asked {
                Ok(ask) => {
                    if let Some((job, reply)) = self.answer(ask) {
                        answers.send(Answer::Reply(job, reply));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let changed = self.watch.poll(monotonic());
            if !changed.is_empty() && !answers.send(Answer::Changed(changed)) {
                return;
            }
        }
    }

    fn answer(&mut self, ask: Ask) -> Option<(JobKey, Reply)> {
        match ask {
            Ask::LookAgain => {
                self.watch.look_again();
                None
            }
            Ask::Challenge(job, name) => {
                let contents = self.webroot.as_deref().and_then(|webroot| webroot::read_challenge(webroot, &name));
                Some((job, Reply::Challenge(contents)))
            }
            Ask::History(job, question) => {
                let now_ms = wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
                Some((job, Reply::History(self.past.answer(*question, now_ms))))
            }
            Ask::Prove(job, note) => Some((job, Reply::NoteProved(self.past.prove(note.as_deref())))),
            Ask::Seen(job, since_ms, people_max) => Some((job, Reply::Seen(self.past.seen(since_ms, people_max)))),
        }
    }
}
