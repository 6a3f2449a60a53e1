//! The journal, kept open by the thread that reads it for clients, beside the one who writes it.
//!
//! Invariant: what had an error, or is another file by now, is opened anew the next time.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::{DATABASE, JournalError, Reading, told};
use crate::history::{Piece, Question, Seen};
use crate::outbox::Proved;

/// How much of the database is kept in memory, in KiB.
const CACHE_KIB: i32 = 512;

/// The journal of a data directory, as far as it can be read.
#[derive(Debug)]
pub struct Past {
    data: PathBuf,
    /// What is open, and which file it is.
    open: Option<(Reading, u64)>,
    /// Why the journal can't be read.
    failing: Option<String>,
}

impl Past {
    /// Returns the journal of a data directory, which is opened when it is asked first.
    pub fn new(data: PathBuf) -> Past {
        Past { data, open: None, failing: None }
    }

    /// Returns the next piece of an answer; nothing where it can't be read for now, of which the log says once why.
    pub fn answer(&mut self, question: Question, now_ms: u64) -> Option<Piece> {
        self.read(|reading| reading.answer(question, now_ms))
    }

    /// Returns the salespeople who were here since a moment; none where that can't be read, as above.
    pub fn seen(&mut self, since_ms: u64, people_max: usize) -> Vec<Seen> {
        self.read(|reading| reading.seen(since_ms, people_max)).unwrap_or_default()
    }

    /// Returns the newest note, and what the journal says of another one; nothing where it can't be read, as above.
    pub fn prove(&mut self, note: Option<&str>) -> Option<Proved> {
        self.read(|reading| reading.prove(note))
    }

    fn read<T>(&mut self, call: impl FnOnce(&Reading) -> Result<T, JournalError>) -> Option<T> {
        let read = self.try_read(call);
        let failing = read.as_ref().err().map(ToString::to_string);
        if let Some(error) = failing.as_ref().filter(|_| failing != self.failing) {
            log::warn!(target: "audit", "nothing is read of the journal for now: {error}");
        }
        self.failing = failing;
        read.ok()
    }

    fn try_read<T>(&mut self, call: impl FnOnce(&Reading) -> Result<T, JournalError>) -> Result<T, JournalError> {
        let inode = fs::metadata(self.data.join(DATABASE)).map(|file| file.ino()).ok();
        let kept = self.open.take().filter(|(_, opened)| Some(*opened) == inode);
        let reading = kept.map_or_else(|| self.open_small(), |(reading, _)| Ok(reading))?;
        let read = call(&reading)?;
        self.open = inode.map(|inode| (reading, inode));
        Ok(read)
    }

    fn open_small(&self) -> Result<Reading, JournalError> {
        let reading = Reading::open(&self.data)?;
        let small = reading.connection.pragma_update(None, "cache_size", -CACHE_KIB);
        small.map_err(|error| told(&reading.path, &error))?;
        Ok(reading)
    }
}
