//! The thread that reads: files and proofs that clients ask for, and in its own time files that are watched.
//!
//! A disk of another machine may let it wait for ever; then what was read before stays in force, and who asks is told to
//! come back. Invariant: it ends with the loop, once it is not waiting for a file.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use super::late::{Answer, Answers};
use super::monotonic;
use crate::host::journal::Prover;
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
    /// Tell the newest note of the journal, and prove another one.
    Prove(JobKey, Option<String>),
}

/// What it reads.
pub(super) struct Sources {
    pub(super) watch: Watch,
    pub(super) webroot: Option<PathBuf>,
    pub(super) prover: Prover,
}

/// Reads until the loop has ended.
pub(super) fn run(asks: &Receiver<Ask>, sources: Sources, answers: &Answers) {
    let Sources { mut watch, webroot, mut prover } = sources;
    loop {
        let now = monotonic();
        let asked = match watch.next_deadline(now) {
            Some(at) => asks.recv_timeout(at.saturating_duration_since(now)),
            None => asks.recv().map_err(RecvTimeoutError::from),
        };
        match asked {
            Ok(Ask::LookAgain) => watch.look_again(),
            Ok(Ask::Challenge(job, name)) => {
                let contents = webroot.as_deref().and_then(|webroot| webroot::read_challenge(webroot, &name));
                answers.send(Answer::Reply(job, Reply::Challenge(contents)));
            }
            Ok(Ask::Prove(job, note)) => {
                let proved = prover.prove(note.as_deref());
                answers.send(Answer::Reply(job, Reply::NoteProved(proved)));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let changed = watch.poll(monotonic());
        if !changed.is_empty() && !answers.send(Answer::Changed(changed)) {
            return;
        }
    }
}
