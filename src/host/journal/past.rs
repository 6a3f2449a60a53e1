//! The journal, kept open by the thread that reads it for clients.
//!
//! Invariant: what had an error, or is another file by now, is opened anew the next time.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::{DATABASE, JournalError, Reading};
use crate::history::{Piece, Query, Seen};

/// The journal of a data directory, as far as it can be read.
#[derive(Debug)]
pub struct Past {
    data: PathBuf,
    open: Option<(Reading, u64)>,
}

impl Past {
    /// Returns the journal of a data directory, which is opened when it is asked first.
    pub fn new(data: PathBuf) -> Past {
        Past { data, open: None }
    }

    /// Returns the next piece of an answer; `None` where it can't be read, which the log says.
    pub fn history(&mut self, query: Query, now_ms: u64) -> Option<Piece> {
        let read = self.read(|reading| reading.history(query, now_ms));
        read.inspect_err(|error| log::warn!(target: "audit", "the history can't be read: {error}")).ok()
    }

    /// Returns the salespeople who were here since a moment; none where it can't be read, which the log says.
    pub fn seen(&mut self, since_ms: u64, people_max: usize) -> Vec<Seen> {
        let read = self.read(|reading| reading.seen(since_ms, people_max));
        read.inspect_err(|error| log::warn!(target: "audit", "who was here can't be read: {error}"))
            .unwrap_or_default()
    }

    fn read<T>(&mut self, call: impl FnOnce(&Reading) -> Result<T, JournalError>) -> Result<T, JournalError> {
        let inode = fs::metadata(self.data.join(DATABASE)).map(|file| file.ino()).ok();
        let kept = self.open.take().filter(|(_, opened)| Some(*opened) == inode);
        let reading = kept.map_or_else(|| Reading::open(&self.data), |(reading, _)| Ok(reading))?;
        let read = call(&reading)?;
        self.open = inode.map(|inode| (reading, inode));
        Ok(read)
    }
}
