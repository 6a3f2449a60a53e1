//! The thread that reads files: those that clients ask for, and in its own time those that are watched.
//!
//! A disk of another machine may let it wait for ever; then what was read before stays in force, and who asks is told to
//! come back. Invariant: it ends with the loop, once it is not waiting for a file.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use super::late::{Answer, Answers};
use super::monotonic;
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
}

/// Reads until the loop has ended.
pub(super) fn run(asks: &Receiver<Ask>, mut watch: Watch, webroot: Option<&Path>, answers: &Answers) {
    loop {
        let now = monotonic();
        let asked = match watch.next_deadline(now) {
            Some(at) => asks.recv_timeout(at.saturating_duration_since(now)),
            None => asks.recv().map_err(RecvTimeoutError::from),
        };
        match asked {
            Ok(Ask::LookAgain) => watch.look_again(),
            Ok(Ask::Challenge(job, name)) => {
                let contents = webroot.and_then(|webroot| webroot::read_challenge(webroot, &name));
                answers.send(Answer::Reply(job, Reply::Challenge(contents)));
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
