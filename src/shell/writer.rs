//! The thread that writes down what happened, in the order in which it happened.
//!
//! The journal is the log. Invariant: what it says is written is on its way to where people look for it.

use std::sync::mpsc::Receiver;

use super::late::{Answer, Answers};
use crate::audit::Entry;
use crate::host::logging;
use crate::keys::JobKey;
use crate::outbox::{NotWritten, Reply};

/// Writes what comes, until nothing more can.
pub(super) fn run(entries: &Receiver<(JobKey, Entry)>, answers: &Answers) {
    for (job, entry) in entries {
        // Where the loop has ended, the rest is written all the same.
        answers.send(Answer::Reply(job, Reply::Written(write(&entry))));
    }
}

fn write(entry: &Entry) -> Result<(), NotWritten> {
    let (at, event) = (logging::timestamp(entry.at), &entry.event);
    logging::write_down(format_args!("{event} at={at}")).map_err(|logging::Lost| NotWritten)
}
