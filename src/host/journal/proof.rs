//! Proves to who kept a note that the journal contains what it says, and tells the newest.
//!
//! The chain is looked up in the row, not made anew from all rows before it: that is what `ecoute audit verify` does.
//! Invariant: what is told is of one moment.

use rusqlite::{Connection, OptionalExtension};

use super::{JournalError, Reading, chain_at, told};
use crate::audit::HistoryDoubt;
use crate::journal::{Hash, NoteError, VerifyKey};
use crate::outbox::{Proof, Proved};

impl Reading {
    /// Returns the newest note, and what the journal says of another one.
    pub(super) fn prove(&self, note: Option<&str>) -> Result<Proved, JournalError> {
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
    use std::fs;
    use std::time::SystemTime;

    use tempfile::TempDir;

    use super::*;
    use crate::audit::{Entry, EntryId, Event};
    use crate::host::journal::{DATABASE, Journal, Past};

    fn append(journal: &mut Journal, count: usize) {
        let entry = Entry { id: EntryId(0), at: SystemTime::UNIX_EPOCH, event: Event::ServerEnded };
        (0..count).for_each(|_| journal.append(&[&entry]).unwrap());
    }

    /// The newest note, by itself.
    fn newest(past: &mut Past) -> String {
        let proved = past.prove(None).expect("it can be read");
        assert_eq!(proved.proof, None);
        proved.newest.expect("there is one")
    }

    #[test]
    fn what_is_there_is_proved_and_what_is_not_is_told() {
        let [data, other] = [(); 2].map(|()| TempDir::new().unwrap());
        let mut journal = Journal::open(data.path()).unwrap().0;
        let mut past = journal.past();
        append(&mut journal, 3);
        let (early, copy) = (newest(&mut past), data.path().join("copy.db"));
        append(&mut journal, 2);
        let late = newest(&mut past);
        let proof = |past: &mut Past, note: &str| past.prove(Some(note)).and_then(|proved| proved.proof);
        for note in [&early, &late] {
            let Some(Proof::Contained { chain }) = proof(&mut past, note) else { panic!("it is there") };
            assert_eq!(journal.end.unwrap().chain == chain, *note == late);
        }
        let mut stranger = Journal::open(other.path()).unwrap().0;
        append(&mut stranger, 4);
        let foreign = newest(&mut stranger.past());
        assert_eq!(proof(&mut past, &foreign), Some(Proof::OtherKey));
        assert_eq!(proof(&mut past, &late.replace("\n5\n", "\n4\n")), Some(Proof::Unreadable));
        assert_eq!(proof(&mut past, "something"), Some(Proof::Unreadable));

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
        let proved = past.prove(Some(&late)).expect("it was replaced, and can be read");
        assert_eq!(proved, Proved { newest: None, proof: Some(Proof::Doubted(HistoryDoubt::Missing)) });
        // Which goes on as another history.
        let mut journal = Journal::open(data.path()).unwrap().0;
        append(&mut journal, 9);
        assert_eq!(proof(&mut past, &late), Some(Proof::Doubted(HistoryDoubt::Different)));
        assert!(matches!(proof(&mut past, &early), Some(Proof::Contained { .. })));
    }

    #[test]
    fn what_cannot_be_read_proves_nothing_until_it_can() {
        let data = TempDir::new().unwrap();
        let mut past = Past::new(data.path().to_owned());
        assert_eq!(past.prove(None), None);
        let mut journal = Journal::open(data.path()).unwrap().0;
        append(&mut journal, 1);
        newest(&mut past);
        fs::remove_file(data.path().join(DATABASE)).unwrap();
        assert_eq!(past.prove(None), None, "it is gone");
    }

    #[test]
    fn the_database_alone_is_all_once_it_was_let_go_of() {
        let [data, copy] = [(); 2].map(|()| TempDir::new().unwrap());
        let mut journal = Journal::open(data.path()).unwrap().0;
        append(&mut journal, 5);
        let mut past = journal.past();
        let note = newest(&mut past);
        journal.close();
        for file in [DATABASE, "journal.key"] {
            fs::copy(data.path().join(file), copy.path().join(file)).unwrap();
        }
        assert_eq!(newest(&mut Past::new(copy.path().to_owned())), note);
    }
}
