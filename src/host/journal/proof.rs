//! Proves to who kept a note that the journal contains what it says, and tells the newest.
//!
//! The chain is looked up in the row, not made anew from all rows before it: that is what `ecoute audit verify` does.
//! Invariant: after an error, and where the file was replaced, the journal is opened anew.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use super::{CACHE_KIB, DATABASE, JournalError, Reading, chain_at, told};
use crate::audit::HistoryDoubt;
use crate::journal::{Hash, NoteError, VerifyKey};
use crate::outbox::{Proof, Proved};

/// The journal of a server that runs, beside the one who writes it.
#[derive(Debug)]
pub struct Prover {
    data: PathBuf,
    /// What is open, and which file it is.
    open: Option<(Reading, u64)>,
    /// Why the journal can't be read.
    failing: Option<String>,
}

impl Prover {
    /// Returns one for the journal of a data directory, which is opened once somebody asks.
    pub fn new(data: PathBuf) -> Prover {
        Prover { data, open: None, failing: None }
    }

    /// Returns the newest note, and what the journal says of another one; nothing where it can't be read for now, of which the
    /// log says once why.
    pub fn prove(&mut self, note: Option<&str>) -> Option<Proved> {
        let proved = self.try_prove(note);
        let failing = proved.as_ref().err().map(ToString::to_string);
        if let Some(error) = failing.as_ref().filter(|_| failing != self.failing) {
            log::warn!(target: "audit", "nothing is proved to pages for now: {error}");
        }
        self.failing = failing;
        proved.ok()
    }

    fn try_prove(&mut self, note: Option<&str>) -> Result<Proved, JournalError> {
        let inode = fs::metadata(self.data.join(DATABASE)).map(|file| file.ino()).ok();
        let (reading, opened) = match self.open.take().filter(|(_, opened)| Some(*opened) == inode) {
            Some(open) => open,
            None => (open_small(&self.data)?, inode.unwrap_or_default()),
        };
        let proved = reading.prove(note)?;
        self.open = Some((reading, opened));
        Ok(proved)
    }
}

/// Opens a journal with little memory of its own.
fn open_small(data: &Path) -> Result<Reading, JournalError> {
    let reading = Reading::open(data)?;
    let small = reading.connection.pragma_update(None, "cache_size", -CACHE_KIB);
    small.map_err(|error| told(&reading.path, &error))?;
    Ok(reading)
}

impl Reading {
    /// Returns the newest note, and what the journal says of another one.
    fn prove(&self, note: Option<&str>) -> Result<Proved, JournalError> {
        let key = self.key().ok_or_else(|| JournalError::NoKey { path: self.path.clone() })?;
        let read = || -> rusqlite::Result<Proved> {
            // Of one moment, though the server goes on to write.
            let moment = self.connection.unchecked_transaction()?;
            let proof = note.map(|note| proof_of(&moment, key, note)).transpose()?;
            let newest = "SELECT note FROM notes ORDER BY size DESC LIMIT 1";
            let newest: Option<String> = moment.query_row(newest, [], |row| row.get(0)).optional()?;
            // What is not signed is nothing that somebody could prove anything with.
            Ok(Proved { newest: newest.filter(|note| key.open(note).is_ok()), proof })
        };
        read().map_err(|error| told(&self.path, &error))
    }
}

fn proof_of(connection: &Connection, key: &VerifyKey, note: &str) -> rusqlite::Result<Proof> {
    let signed = match key.open(note) {
        Ok(signed) => signed,
        Err(NoteError::OtherKey) => return Ok(Proof::OtherKey),
        Err(NoteError::Malformed | NoteError::Forged) => return Ok(Proof::Unreadable),
    };
    let found: Option<Hash> = match chain_at(connection, signed.size) {
        // Nothing of ours stands there.
        Err(rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..)) => {
            return Ok(Proof::Doubted(HistoryDoubt::Different));
        }
        found => found?,
    };
    Ok(match found {
        Some(chain) if chain == signed.chain => Proof::Contained { chain },
        Some(_) => Proof::Doubted(HistoryDoubt::Different),
        None => Proof::Doubted(HistoryDoubt::Missing),
    })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tempfile::TempDir;

    use super::*;
    use crate::audit::{Entry, EntryId, Event};
    use crate::host::journal::Journal;

    fn append(journal: &mut Journal, count: usize) {
        let entry = Entry { id: EntryId(0), at: SystemTime::UNIX_EPOCH, event: Event::ServerEnded };
        (0..count).for_each(|_| journal.append(&[&entry]).unwrap());
    }

    /// The newest note, by itself.
    fn newest(prover: &mut Prover) -> String {
        let proved = prover.prove(None).expect("it can be read");
        assert_eq!(proved.proof, None);
        proved.newest.expect("there is one")
    }

    #[test]
    fn what_is_there_is_proved_and_what_is_not_is_told() {
        let [data, other] = [(); 2].map(|()| TempDir::new().unwrap());
        let mut journal = Journal::open(data.path()).unwrap().0;
        let mut prover = journal.prover();
        append(&mut journal, 3);
        let (early, copy) = (newest(&mut prover), data.path().join("copy.db"));
        append(&mut journal, 2);
        let late = newest(&mut prover);
        let proof = |prover: &mut Prover, note: &str| prover.prove(Some(note)).and_then(|proved| proved.proof);
        for note in [&early, &late] {
            let Some(Proof::Contained { chain }) = proof(&mut prover, note) else { panic!("it is there") };
            assert_eq!(journal.end.unwrap().chain == chain, *note == late);
        }
        let mut stranger = Journal::open(other.path()).unwrap().0;
        append(&mut stranger, 4);
        let foreign = newest(&mut stranger.prover());
        assert_eq!(proof(&mut prover, &foreign), Some(Proof::OtherKey));
        assert_eq!(proof(&mut prover, &late.replace("\n5\n", "\n4\n")), Some(Proof::Unreadable));
        assert_eq!(proof(&mut prover, "something"), Some(Proof::Unreadable));

        let sql = format!("VACUUM INTO '{}'", copy.display());
        journal.open.as_ref().unwrap().connection.execute_batch(&sql).unwrap();
        drop(journal);
        let path = data.path().join(DATABASE);
        let cut = Connection::open(&copy).unwrap();
        cut.execute_batch("DELETE FROM entries WHERE number > 3; UPDATE notes SET note = 'none'").unwrap();
        drop(cut);
        fs::rename(copy, &path).unwrap();
        for file in ["journal.db-wal", "journal.db-shm"] {
            let _ = fs::remove_file(data.path().join(file));
        }
        let proved = prover.prove(Some(&late)).expect("it was replaced, and can be read");
        assert_eq!(proved, Proved { newest: None, proof: Some(Proof::Doubted(HistoryDoubt::Missing)) });
        // Which goes on as another history.
        let mut journal = Journal::open(data.path()).unwrap().0;
        append(&mut journal, 9);
        assert_eq!(proof(&mut prover, &late), Some(Proof::Doubted(HistoryDoubt::Different)));
        assert!(matches!(proof(&mut prover, &early), Some(Proof::Contained { .. })));
    }

    #[test]
    fn what_cannot_be_read_proves_nothing_until_it_can() {
        let data = TempDir::new().unwrap();
        let mut prover = Prover::new(data.path().to_owned());
        assert_eq!(prover.prove(None), None);
        let mut journal = Journal::open(data.path()).unwrap().0;
        append(&mut journal, 1);
        newest(&mut prover);
        fs::remove_file(data.path().join(DATABASE)).unwrap();
        assert_eq!(prover.prove(None), None, "it is gone");
    }

    #[test]
    fn the_database_alone_is_all_once_it_was_let_go_of() {
        let [data, copy] = [(); 2].map(|()| TempDir::new().unwrap());
        let mut journal = Journal::open(data.path()).unwrap().0;
        append(&mut journal, 5);
        let mut prover = journal.prover();
        let note = newest(&mut prover);
        journal.close();
        for file in [DATABASE, "journal.key"] {
            fs::copy(data.path().join(file), copy.path().join(file)).unwrap();
        }
        assert_eq!(newest(&mut Prover::new(copy.path().to_owned())), note);
    }
}
