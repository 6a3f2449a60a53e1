//! Takes entries out of the journal, and leaves it signed which they are.
//!
//! A purge that its server makes, or a command beside it, becomes an entry with what it took; what nobody says was purged is
//! found by who verifies. Invariant: entries and what says that they are gone are durable together.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ToSql, TransactionBehavior};

use super::{Journal, JournalError, Open, checkpoint, handed_in, left, projection, schema};
use crate::audit::{JOURNAL_PURGED, PurgeCause};
use crate::journal::{Numbers, Signer};

/// How many entries are purged while others may wait to be written.
pub(super) const PURGED_AT_ONCE: u64 = 2000;

impl Journal {
    /// Takes entries out, now, that are older than a moment, some of them at a time, and leaves their leaves; returns how many.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn purge(&mut self, at: SystemTime, before: SystemTime) -> Result<u64, JournalError> {
        let (before_ms, path) = (left::unix_ms(before), self.path.clone());
        self.with_open(|journal| {
            let Journal { open: Some(Open { connection, .. }), signer: Some(signer), .. } = journal else {
                return Ok(0);
            };
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let purged = purge(&transaction, signer, (at, PurgeCause::Due), "at_ms < ?1", &before_ms)?;
            projection::purge(&transaction, before_ms, purged < PURGED_AT_ONCE)?;
            transaction.commit()?;
            schema::forget_copies(&path);
            // What they were is still in the log. Where somebody reads, the next purge empties it, or what is written over it.
            let _ = checkpoint(connection);
            Ok(purged)
        })
    }
}

/// Takes some entries out for which a condition on a value holds, but for those that say so of others, and leaves it signed
/// which they were; returns how many.
pub(super) fn purge(
    transaction: &Connection,
    key: &Signer,
    (at, why): (SystemTime, PurgeCause),
    condition: &str,
    value: &dyn ToSql,
) -> rusqlite::Result<u64> {
    let purge = format!(
        "UPDATE entries SET salt = NULL, entry = NULL WHERE number IN (SELECT number FROM entries WHERE {condition} \
         AND entry ->> 'event' <> '{JOURNAL_PURGED}' LIMIT {PURGED_AT_ONCE}) RETURNING number"
    );
    let mut purge = transaction.prepare(&purge)?;
    let numbers: Numbers = purge.query_map([value], |row| row.get::<_, u64>(0))?.collect::<Result<_, _>>()?;
    let times = numbers.count();
    if times > 0 {
        handed_in::insert_purge(transaction, key, (at, why), &numbers)?;
    }
    Ok(times)
}

/// Leaves it, of a journal of an older version, which entries are gone, as no entry says so.
pub(super) fn say_earlier(transaction: &Connection, key: &Signer) -> rusqlite::Result<()> {
    let last = "SELECT coalesce(max(at_ms), 0) FROM entries";
    let last_ms: u64 = transaction.query_row(last, [], |row| row.get(0))?;
    let at = UNIX_EPOCH + Duration::from_millis(last_ms);
    let mut gone = transaction.prepare("SELECT number FROM entries WHERE salt IS NULL AND entry IS NULL")?;
    let gone: Numbers = gone.query_map([], |row| row.get::<_, u64>(0))?.collect::<Result<_, _>>()?;
    let parts = gone.split(PURGED_AT_ONCE as usize);
    let why = PurgeCause::Earlier;
    parts.iter().try_for_each(|numbers| handed_in::insert_purge(transaction, key, (at, why), numbers))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::audit::{Entry, EntryId, Event};
    use crate::host::journal::{DATABASE, Reading, VerifyError};
    use crate::journal::{Fault, Verdict, Wrong};

    fn at(ms: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(ms)
    }

    fn written(numbers: std::ops::RangeInclusive<u64>) -> (TempDir, Journal) {
        let data = TempDir::new().unwrap();
        let mut journal = Journal::open(data.path()).unwrap().0;
        for ms in numbers {
            journal.append(&[&Entry { id: EntryId(0), at: at(ms), event: Event::ServerEnded }]).unwrap();
        }
        (data, journal)
    }

    fn verify(data: &TempDir) -> Result<Verdict, VerifyError> {
        Reading::open(data.path()).unwrap().verify(None)
    }

    fn assert_unsaid(data: &TempDir, want: u64, name: &str) {
        let found = verify(data).map_err(|error| error.to_string());
        let fault = VerifyError::from(Fault { number: want, wrong: Wrong::PurgedUnsaid });
        assert_eq!(found, Err(fault.to_string()), "{name}");
    }

    #[test]
    fn what_says_that_others_are_gone_stays() {
        let (data, mut journal) = written(1..=9);
        for before in [3, 5, 100, 100] {
            while journal.purge(at(before), at(before)).unwrap() > 0 {}
            assert!(verify(&data).is_ok(), "before it is an entry");
            journal.take_in(at(before)).unwrap();
        }
        let verdict = verify(&data).unwrap();
        assert_eq!((verdict.entries, verdict.purged), (9 + 3, 9));
    }

    #[test]
    fn what_is_purged_without_a_word_is_found() {
        let blank = "UPDATE entries SET salt = NULL, entry = NULL WHERE number ";
        let cases =
            [("one", "= 7", 7), ("what says so of others", "= 10", 1), ("all but that", "BETWEEN 4 AND 9", 5)];
        for (name, which, want) in cases {
            let (data, mut journal) = written(1..=9);
            journal.purge(at(20), at(5)).unwrap();
            journal.take_in(at(20)).unwrap();
            verify(&data).unwrap();
            let other = Connection::open(data.path().join(DATABASE)).unwrap();
            other.execute_batch(&format!("{blank}{which}")).unwrap();
            assert_unsaid(&data, want, name);
        }
    }

    #[test]
    fn what_is_said_and_not_signed_says_nothing() {
        let (data, mut journal) = written(1..=9);
        journal.purge(at(20), at(5)).unwrap();
        let other = Connection::open(data.path().join(DATABASE)).unwrap();
        other.execute_batch("UPDATE handed_in SET statement = replace(statement, '1-4', '1-5')").unwrap();
        assert_unsaid(&data, 1, "while it waits");
        journal.take_in(at(20)).unwrap();
        assert_unsaid(&data, 1, "once it was looked at");
    }

    /// The signed word for it is written with it, or neither is.
    #[test]
    fn what_is_interrupted_has_purged_nothing() {
        let (data, mut journal) = written(1..=9);
        let Journal { open: Some(Open { connection, .. }), signer: Some(signer), .. } = &mut journal else {
            panic!("it is open");
        };
        let transaction = connection.transaction().unwrap();
        assert_eq!(purge(&transaction, signer, (at(20), PurgeCause::Due), "at_ms < ?1", &5).unwrap(), 4);
        drop(transaction);
        assert_eq!(verify(&data).unwrap().purged, 0);
        assert!(!handed_in::is_any(connection).unwrap());
    }
}
