//! Reads a journal that may be another process's: verified in one piece, shown and exported page by page.
//!
//! Invariant: it changes nothing, and holds up nobody who writes while what it read is taken.

use std::path::{Path, PathBuf};

use rusqlite::types::FromSql;
use rusqlite::{Connection, OpenFlags, Row as Record, named_params, params};

use super::compare::{Comparison, Differs};
use super::schema::check_ours;
use super::{BUSY, DATABASE, JournalError, KEY, handed_in, load_key, told};
use crate::journal::{
    CHAIN_BEGIN, Checkpoint, Fault, NoteError, Row, Signed, Statement, Verdict, Verifier, VerifyKey,
};

/// How many entries are read in one go.
const PAGE: usize = 1000;

/// A journal, opened to be read.
#[derive(Debug)]
pub struct Reading {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    /// The first has no history beside the entries, and the second does not say which ones it purged.
    version: i32,
    key: Option<VerifyKey>,
}

/// Which entries are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// From this moment on, in milliseconds since 1970.
    pub from_ms: Option<u64>,
    /// Before this moment.
    pub to_ms: Option<u64>,
    /// Whose: who acts, or whom it is about.
    pub person: Option<String>,
}

/// Why a journal is not known to be good.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("no key beside the journal: its notes can't be verified")]
    NoKey,
    #[error("the journal is not as it was written: {0}")]
    Fault(#[from] Fault),
    #[error("the journal is not as it was written: {0}")]
    Differs(#[from] Differs),
    #[error("the journal is not as it was written: a note of it is not good: {0}")]
    BadNote(NoteError),
    #[error("the checkpoint is of another journal: {0}")]
    BadCheckpoint(NoteError),
}

impl Reading {
    /// Opens the journal of a data directory.
    ///
    /// # Errors
    /// [`JournalError`], also where there is none.
    pub fn open(data: &Path) -> Result<Reading, JournalError> {
        let path = data.join(DATABASE);
        let connection = open_database(&path, false)?;
        let version = check_ours(&path, &connection)?;
        let key = load_key(&data.join(KEY))?.map(|signer| signer.verify_key());
        Ok(Reading { path, connection, version, key })
    }

    /// Returns the key of the server, where it is beside the journal.
    pub fn key(&self) -> Option<&VerifyKey> {
        self.key.as_ref()
    }

    /// Verifies all of the journal, and that it contains what a note says that was kept elsewhere.
    ///
    /// # Errors
    /// [`VerifyError`], with the first thing that is wrong.
    pub fn verify(&self, shown: Option<&str>) -> Result<Verdict, VerifyError> {
        let key = self.key.as_ref().ok_or(VerifyError::NoKey)?;
        // Of one moment, though the server goes on to write.
        let _moment = self.connection.unchecked_transaction().map_err(|error| told(&self.path, &error))?;
        let says_purges = self.version >= 3;
        let mut verifier = if says_purges { Verifier::new() } else { Verifier::of_older_version() };
        for note in self.notes()? {
            verifier.expect(key.open(&note).map_err(VerifyError::BadNote)?)?;
        }
        if let Some(note) = shown {
            verifier.expect_shown(key.open(note).map_err(VerifyError::BadCheckpoint)?)?;
        }
        let failed = |error: rusqlite::Error| told(&self.path, &error);
        // One of an older version has no history.
        let compare = || Comparison::new(&self.connection, self.version);
        let comparison = (self.version > 1).then(compare).transpose().map_err(failed)?;
        let (mut comparison, mut fault, mut differs) = (comparison, None, None);
        self.each("SELECT number, salt, entry, leaf, chain FROM entries ORDER BY number", params![], |record| {
            let row = row_of(record);
            fault = verifier.take(&row).err();
            if let (Some(comparison), None, None) = (&mut comparison, &fault, &differs) {
                match &row.kept {
                    Some((_, stored)) => differs = comparison.take(row.number, stored)?,
                    None => comparison.take_purged(row.number),
                }
            }
            Ok(fault.is_none())
        })?;
        if let Some(fault) = fault {
            return Err(fault.into());
        }
        if says_purges {
            // Of those that are entries, all have come.
            for signed in self.purges(u64::MAX >> 1)? {
                if let Some((why, rows)) = signed.open(key).as_ref().and_then(Statement::purged) {
                    verifier.take_said(why, rows);
                }
            }
        }
        let verdict = verifier.end()?;
        if let (None, Some(comparison)) = (differs, comparison) {
            differs = comparison.end().map_err(failed)?;
        }
        differs.map_or(Ok(verdict), |differs| Err(differs.into()))
    }

    /// Returns all notes, by size.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn notes(&self) -> Result<Vec<String>, JournalError> {
        let mut notes = Vec::new();
        self.each("SELECT note FROM notes ORDER BY size", params![], |record| {
            notes.push(record.get(0)?);
            Ok(true)
        })?;
        Ok(notes)
    }

    /// Returns what was signed of purges, in order, behind the first `size` rows and beside them.
    ///
    /// # Errors
    /// [`JournalError`], also of a journal that has no key.
    pub fn purges(&self, size: u64) -> Result<Vec<Signed>, JournalError> {
        let key = self.key.as_ref().ok_or_else(|| JournalError::NoKey { path: self.path.clone() })?;
        handed_in::purges(&self.connection, key, size).map_err(|error| told(&self.path, &error))
    }

    /// Hands rows over, from the one after the first `size` to the one numbered `last`, in order, for as long as `take`
    /// says so.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn rows(&self, size: u64, last: u64, mut take: impl FnMut(Row) -> bool) -> Result<(), JournalError> {
        let page = "SELECT number, salt, entry, leaf, chain FROM entries WHERE number > ?1 AND number <= ?2 \
                    ORDER BY number LIMIT ?3";
        let mut after = size;
        loop {
            let mut rows = Vec::new();
            self.each(page, params![after, last, PAGE], |record| {
                rows.push(row_of(record));
                Ok(true)
            })?;
            let Some(end) = rows.last() else { return Ok(()) };
            after = end.number;
            if !rows.into_iter().all(&mut take) {
                return Ok(());
            }
        }
    }

    /// Returns what stands before the first entry of a span, and the number of its last one; a clock that jumped may have put
    /// others between them.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn range(&self, from_ms: Option<u64>, to_ms: Option<u64>) -> Result<(Checkpoint, u64), JournalError> {
        let failed = |error: rusqlite::Error| told(&self.path, &error);
        // What was purged stands where nothing says when it was.
        let (first, last) = self
            .connection
            .query_row(
                "SELECT (SELECT min(number) FROM entries WHERE ?1 IS NULL OR at_ms >= ?1), \
                 (SELECT max(number) FROM entries WHERE ?2 IS NULL OR at_ms < ?2)",
                params![from_ms, to_ms],
                |record| Ok((record.get::<_, Option<u64>>(0)?, record.get::<_, Option<u64>>(1)?)),
            )
            .map_err(failed)?;
        let last = last.unwrap_or(0);
        let size = first.map_or(last, |first| first.saturating_sub(1));
        let chain = super::chain_at(&self.connection, size).map_err(failed)?.unwrap_or(CHAIN_BEGIN);
        Ok((Checkpoint { size, chain }, last))
    }

    /// Hands entries over that are wanted, in order, with their numbers, for as long as `take` says so.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn entries(&self, wanted: &Wanted, mut take: impl FnMut(u64, String) -> bool) -> Result<(), JournalError> {
        let Wanted { from_ms, to_ms, person } = wanted;
        let (Checkpoint { size: mut after, .. }, last) = self.range(*from_ms, *to_ms)?;
        // Each part goes along an index of its own.
        let part = |whose: &str| {
            format!(
                "SELECT number, entry FROM entries WHERE number > :after AND number <= :last AND salt IS NOT NULL \
                 AND (:from IS NULL OR +at_ms >= :from) AND (:to IS NULL OR +at_ms < :to) {whose} \
                 ORDER BY number LIMIT :page"
            )
        };
        let page = match person {
            None => part("AND :person IS NULL"),
            Some(_) => format!(
                "SELECT * FROM ({}) UNION SELECT * FROM ({}) ORDER BY number LIMIT :page",
                part("AND actor = :person"),
                part("AND commercial_id = :person")
            ),
        };
        loop {
            let mut entries: Vec<(u64, String)> = Vec::new();
            let wanted = named_params! {
                ":after": after, ":last": last, ":from": from_ms, ":to": to_ms, ":person": person, ":page": PAGE,
            };
            self.each(&page, wanted, |record| {
                entries.push((record.get(0)?, record.get(1)?));
                Ok(true)
            })?;
            let Some(&(end, _)) = entries.last() else { return Ok(()) };
            after = end;
            if !entries.into_iter().all(|(number, entry)| take(number, entry)) {
                return Ok(());
            }
        }
    }

    fn each(
        &self,
        query: &str,
        parameters: impl rusqlite::Params,
        mut take: impl FnMut(&Record<'_>) -> rusqlite::Result<bool>,
    ) -> Result<(), JournalError> {
        let read = || {
            let mut statement = self.connection.prepare_cached(query)?;
            let mut records = statement.query(parameters)?;
            while let Some(record) = records.next()? {
                if !take(record)? {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(|error| told(&self.path, &error))
    }
}

/// Opens a database that is there, beside whoever else has it open.
pub(super) fn open_database(path: &Path, may_write: bool) -> Result<Connection, JournalError> {
    if !path.exists() {
        return Err(JournalError::Missing { path: path.to_owned() });
    }
    let mode = if may_write { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| told(path, &error))?;
    connection.busy_timeout(BUSY).map_err(|error| told(path, &error))?;
    Ok(connection)
}

/// Returns a text of a row; of what is none, nothing.
pub(super) fn text(row: &Record<'_>, column: usize) -> String {
    row.get(column).unwrap_or_default()
}

/// Returns a row as it is there; what can't have been written by us is as good as edited.
fn row_of(record: &Record<'_>) -> Row {
    fn read<T: FromSql>(record: &Record<'_>, column: usize) -> Option<T> {
        record.get(column).ok()
    }
    let is_purged = |column| matches!(record.get_ref(column), Ok(rusqlite::types::ValueRef::Null));
    let kept = match is_purged(1) && is_purged(2) {
        true => None,
        false => Some((read(record, 1).unwrap_or_default(), read(record, 2).unwrap_or_default())),
    };
    Row {
        number: read(record, 0).unwrap_or_default(),
        kept,
        leaf: read(record, 3).unwrap_or_default(),
        chain: read(record, 4).unwrap_or_default(),
    }
}
