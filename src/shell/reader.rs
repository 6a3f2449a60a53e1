//! The thread that reads files: those that are watched, in its own time.
//!
//! A disk of another machine may let it wait for ever; then what was read before stays in force. Invariant: it ends with
//! the loop, once it is not waiting for a file.

use std::sync::mpsc::{Receiver, RecvTimeoutError};

use super::late::{Answer, Answers};
use super::monotonic;
use crate::host::watch::Watch;

/// How many wishes wait for it.
pub(super) const ASKS_WAITING_MAX: usize = 1;

/// What the loop wants of it.
#[derive(Debug)]
pub(super) enum Ask {
    /// Look at the watched files now.
    LookAgain,
}

/// Reads until the loop has ended.
pub(super) fn run(asks: &Receiver<Ask>, mut watch: Watch, answers: &Answers) {
    loop {
        let now = monotonic();
        let asked = match watch.next_deadline(now) {
            Some(at) => asks.recv_timeout(at.saturating_duration_since(now)),
            None => asks.recv().map_err(RecvTimeoutError::from),
        };
        match asked {
            Ok(Ask::LookAgain) => watch.look_again(),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let changed = watch.poll(monotonic());
        if !changed.is_empty() && !answers.send(Answer::Changed(changed)) {
            return;
        }
    }
}
