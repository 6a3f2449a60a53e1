//! What is in the database, how it behaves, and how one of an older version becomes one of this.
//!
//! Invariant: nothing is changed in a database that is not exactly what some version made, nor before there is a copy of it.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::projection::{self, INDEXES, RESTORED, TABLES};
use super::{JournalError, handed_in, make_private, purge, told, unavailable};
use crate::journal::Signer;

/// Marks a database as ours: "eco1".
const APPLICATION_ID: i32 = 0x6563_6f31;
/// The version of what is in it.
pub(super) const VERSION: i32 = 3;

/// How much of the database is kept in memory, in KiB.
const CACHE_KIB: i32 = 512;
/// How long a database is kept as it was in an older version: what is in it is purged no more.
const COPY_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// How many statements are kept ready: those of an entry and all that it changes.
const STATEMENTS_KEPT: usize = 24;

/// The entries, bound to each other. Their fields can be asked for, and are never stored twice. Of notes the newest is there,
/// and those that are to stay.
const ENTRIES: &str = "
    CREATE TABLE entries (
        number INTEGER PRIMARY KEY CHECK (number > 0),
        salt BLOB,
        entry TEXT,
        leaf BLOB NOT NULL,
        chain BLOB NOT NULL,
        at_ms INTEGER AS (entry ->> 'at_ms') VIRTUAL,
        actor TEXT AS (entry ->> 'actor') VIRTUAL,
        commercial_id TEXT AS (entry ->> 'commercial_id') VIRTUAL
    ) STRICT;
    CREATE INDEX entries_by_time ON entries (at_ms);
    CREATE INDEX entries_by_actor ON entries (actor, number);
    CREATE INDEX entries_by_commercial ON entries (commercial_id, number);
    CREATE TABLE notes (size INTEGER PRIMARY KEY, note TEXT NOT NULL, stays INTEGER NOT NULL) STRICT;
";

/// What is to become an entry, as the second version has it.
const HANDED_IN_2: &str = "
    CREATE TABLE handed_in (
        number INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        deed TEXT NOT NULL,
        by TEXT NOT NULL,
        person TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT;
";

/// What is to become an entry, signed, and how it is found that it is one already.
const HANDED_IN: &str = "
    CREATE TABLE handed_in (number INTEGER PRIMARY KEY, statement TEXT NOT NULL, signature BLOB NOT NULL) STRICT;
    CREATE INDEX entries_handed_in ON entries (entry ->> 'handed_in') WHERE entry ->> 'handed_in' IS NOT NULL;
";

/// Tells whether a database has nothing in it, as where its making was interrupted.
pub(super) fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

/// Returns the version of a database. Refuses what is somebody else's, of a later time, or has more in it than we made: a
/// trigger would write what it likes.
pub(super) fn check_ours(path: &Path, connection: &Connection) -> Result<i32, JournalError> {
    let failed = |error: rusqlite::Error| told(path, &error);
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0)).map_err(failed);
    let (id, version) = (number("application_id")?, number("user_version")?);
    if id != APPLICATION_ID || version < 1 {
        return Err(JournalError::NotOurs { path: path.to_owned() });
    }
    if version > VERSION {
        return Err(JournalError::Newer { path: path.to_owned(), version, copy: copy_of(path, VERSION) });
    }
    let ours = Connection::open_in_memory().and_then(|ours| {
        make_tables(&ours, version)?;
        tables(&ours)
    });
    match tables(connection).map_err(failed)? == ours.map_err(failed)? {
        true => Ok(version),
        false => Err(JournalError::OtherTables { path: path.to_owned() }),
    }
}

fn make_derived_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)?;
    connection.execute_batch(INDEXES)
}

/// Makes what a version has.
fn make_tables(connection: &Connection, version: i32) -> rusqlite::Result<()> {
    connection.execute_batch(ENTRIES)?;
    if version > 1 {
        make_derived_tables(connection)?;
    }
    match version {
        1 => Ok(()),
        2 => connection.execute_batch(HANDED_IN_2),
        _ => {
            connection.execute_batch(HANDED_IN)?;
            connection.execute_batch(RESTORED)
        }
    }
}

/// Returns what made everything that is in a database.
fn tables(connection: &Connection) -> rusqlite::Result<Vec<(String, Option<String>)>> {
    let mut statement = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Has a database behave as this module says, and makes its tables where it has none; returns what it does not take.
pub(super) fn set_up(connection: &mut Connection, is_new: bool) -> rusqlite::Result<Option<&'static str>> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    let pragmas = [
        ("journal_mode", "WAL", Value::Text("wal".to_owned())),
        ("synchronous", "FULL", Value::Integer(2)),
        ("secure_delete", "ON", Value::Integer(1)),
    ];
    for (pragma, value, want) in pragmas {
        connection.pragma_update(None, pragma, value)?;
        let has: Value = connection.pragma_query_value(None, pragma, |row| row.get(0))?;
        if has != want {
            return Ok(Some(pragma));
        }
    }
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    if is_new {
        let transaction = connection.transaction()?;
        make_tables(&transaction, VERSION)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
    }
    Ok(None)
}

/// Returns where the copy is of a database as it was in a version.
pub(super) fn copy_of(path: &Path, version: i32) -> PathBuf {
    path.with_extension(format!("db.v{version}"))
}

/// Takes away what was kept of older versions.
pub(super) fn remove_copies(path: &Path) {
    for copy in (1..VERSION).map(|version| copy_of(path, version)) {
        // It is seldom there.
        let _ = fs::remove_file(copy);
    }
}

/// Takes away what was kept of older versions for long enough.
pub(super) fn forget_copies(path: &Path) {
    for copy in (1..VERSION).map(|version| copy_of(path, version)) {
        let age = fs::metadata(&copy).and_then(|file| file.modified()).ok().and_then(|made| made.elapsed().ok());
        // The next time, where that fails.
        if age.is_some_and(|age| age > COPY_KEPT) && fs::remove_file(&copy).is_ok() {
            log::info!(target: "audit", "what was kept of an older version is gone: copy={}", copy.display());
        }
    }
}

/// Makes a database of an older version one of this, after a copy of it; the key signs what had no signature there.
///
/// # Errors
/// [`JournalError`]; it is as it was then.
pub(super) fn migrate(
    path: &Path,
    connection: &mut Connection,
    version: i32,
    key: Option<&Signer>,
) -> Result<(), JournalError> {
    if version == VERSION {
        return Ok(());
    }
    let copy = copy_of(path, version);
    log::info!(target: "audit", "the journal is made one of this version; as it was it is kept for 30 days: copy={}", copy.display());
    write_copy(connection, &copy).map_err(|error| match error {
        CopyError::File(error) => unavailable(&copy, &error),
        CopyError::Database(error) => told(path, &error),
    })?;
    let mut move_on = || {
        let transaction = connection.transaction()?;
        // What is there stands for entries that may be purged.
        if version < 2 {
            make_derived_tables(&transaction)?;
            transaction.execute_batch(RESTORED)?;
            projection::make_anew(&transaction)?;
        } else {
            transaction.execute_batch(RESTORED)?;
            projection::make_restored_anew(&transaction)?;
        }
        sign_handed_in(&transaction, version, key)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()
    };
    move_on().map_err(|error: rusqlite::Error| told(path, &error))
}

/// Has what was handed in signed from here on, and what was purged so far said to be so.
fn sign_handed_in(connection: &Connection, version: i32, key: Option<&Signer>) -> rusqlite::Result<()> {
    let before = if version > 1 { handed_in::unsigned(connection)? } else { Vec::new() };
    connection.execute_batch("DROP TABLE IF EXISTS handed_in")?;
    connection.execute_batch(HANDED_IN)?;
    // One without a key has no entries.
    let Some(key) = key else { return Ok(()) };
    purge::say_earlier(connection, key)?;
    before.into_iter().try_for_each(|(at, deed)| handed_in::insert(connection, key, at, &deed))
}

/// Why a copy could not be made.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error(transparent)]
    File(#[from] io::Error),
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
}

/// Copies a database to a file that nobody else can read, durably; what was there before is replaced once the copy is whole.
fn write_copy(connection: &Connection, copy: &Path) -> Result<(), CopyError> {
    let partial = copy.with_extension("partial");
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => make_private(&partial)?,
    }
    connection.execute("VACUUM INTO ?1", [partial.to_string_lossy()])?;
    File::open(&partial)?.sync_all()?;
    fs::rename(&partial, copy)?;
    File::open(copy.parent().unwrap_or(copy))?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::UNIX_EPOCH;

    use tempfile::TempDir;

    use super::*;
    use crate::audit::{Entry, EntryId, Event};
    use crate::history::{Form, Kind, Query};
    use crate::host::journal::{Journal, Reading};

    /// A journal as the first version made it, with its key.
    const VERSION_1: &str = include_str!("../../../tests/journal/version-1.sql");
    const KEY_1: &[u8] = include_bytes!("../../../tests/journal/version-1.key");

    /// One as the second version made it, with what was purged because it was due, and of one person.
    const VERSION_2: &str = include_str!("../../../tests/journal/version-2.sql");
    const KEY_2: &[u8] = include_bytes!("../../../tests/journal/version-2.key");

    /// Another of the second, which was restored.
    const RESTORED_2: &str = include_str!("../../../tests/journal/version-2-restored.sql");

    fn made(sql: &str, key: &[u8]) -> (TempDir, PathBuf) {
        let data = TempDir::new().unwrap();
        let path = data.path().join("journal.db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        fs::write(data.path().join("journal.key"), key).unwrap();
        (data, path)
    }

    fn version_1() -> (TempDir, PathBuf) {
        made(VERSION_1, KEY_1)
    }

    #[test]
    fn a_journal_of_the_second_version_says_that_it_was_restored() {
        let (data, path) = made(RESTORED_2, KEY_1);
        let before = Reading::open(data.path()).unwrap().verify(None).unwrap();
        let listenings = |data: &TempDir| {
            let query = Query::new(Kind::Listenings, Form::Json);
            Reading::open(data.path()).unwrap().history(query, 0).unwrap().bytes
        };
        let listened = listenings(&data);
        let (mut journal, problem) = Journal::open(data.path()).unwrap();
        assert!(problem.is_none(), "{problem:?}");
        assert_eq!(journal.take_doubt(), None);
        assert!(journal.restored().is_some_and(|restored| restored.made < restored.at));
        assert_eq!(Reading::open(data.path()).unwrap().verify(None).unwrap(), before);
        assert_eq!(listenings(&data), listened);
        let copy = copy_of(&path, 2);
        assert_eq!(check_ours(&copy, &Connection::open(&copy).unwrap()).unwrap(), 2);
    }

    #[test]
    fn a_journal_of_the_first_version_becomes_one_of_this_and_is_kept_as_it_was() {
        let (data, path) = version_1();
        let before = Reading::open(data.path()).unwrap().verify(None).unwrap();
        let (mut journal, problem) = Journal::open(data.path()).unwrap();
        assert!(problem.is_none(), "{problem:?}");
        assert_eq!(journal.take_doubt(), None);
        let reading = Reading::open(data.path()).unwrap();
        assert_eq!(reading.verify(None).unwrap(), before);
        let piece = reading.history(Query::new(Kind::Listenings, Form::Json), 0).unwrap();
        let told = String::from_utf8(piece.bytes).unwrap();
        assert!(told.contains(r#""admin_name":"Paul D.""#) && told.contains(r#""heard_ms":2000"#), "{told}");
        let copy = copy_of(&path, 1);
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(check_ours(&copy, &Connection::open(&copy).unwrap()).unwrap(), 1);
    }

    #[test]
    fn what_the_second_version_purged_is_said_once_and_what_is_purged_from_then_on_each_time() {
        let (data, path) = made(VERSION_2, KEY_2);
        let verify = || Reading::open(data.path()).unwrap().verify(None);
        let before = verify().unwrap();
        assert_eq!((before.entries, before.purged, before.purged_unsaid), (14, 5, 5));
        let (mut journal, problem) = Journal::open(data.path()).unwrap();
        assert!(problem.is_none(), "{problem:?}");
        assert_eq!(journal.take_doubt(), None);
        let moved = verify().unwrap();
        assert_eq!((moved.entries, moved.purged_earlier, moved.purged_unsaid), (14, 5, 0));
        journal.take_in(UNIX_EPOCH).unwrap();
        let moved = verify().unwrap();
        // What says so, and the purge of a person that waited.
        assert_eq!((moved.entries, moved.purged, moved.purged_earlier), (16, 5, 5));
        assert_eq!(check_ours(&path, &Connection::open(copy_of(&path, 2)).unwrap()).unwrap(), 2);
        let blank = "UPDATE entries SET salt = NULL, entry = NULL WHERE number = 9";
        Connection::open(&path).unwrap().execute_batch(blank).unwrap();
        assert!(verify().unwrap_err().to_string().contains("entry 9: it was purged, and nothing says so"));
    }

    /// Whoever makes it look so has the next server move it on again, which says that what is gone was so before.
    #[test]
    fn what_looks_older_than_it_is_is_found() {
        let data = TempDir::new().unwrap();
        let path = data.path().join("journal.db");
        let mut journal = Journal::open(data.path()).unwrap().0;
        let entry = |event| Entry { id: EntryId(0), at: UNIX_EPOCH, event };
        let started = entry(Event::ServerStarted { version: "", options: "".into() });
        journal.append(&[&started, &entry(Event::ServerEnded), &entry(Event::ServerEnded)]).unwrap();
        drop(journal);
        let older = Connection::open(&path).unwrap();
        let sql = "DROP TABLE handed_in; DROP INDEX entries_handed_in; DROP TABLE restored; PRAGMA user_version = 2; \
                   UPDATE entries SET salt = NULL, entry = NULL WHERE number = 2";
        older.execute_batch(sql).unwrap();
        older.execute_batch(HANDED_IN_2).unwrap();
        drop(older);
        Journal::open(data.path()).unwrap().0.take_in(UNIX_EPOCH).unwrap();
        let found = Reading::open(data.path()).unwrap().verify(None).unwrap_err().to_string();
        assert!(found.contains("entry 2: it was purged, and nothing says so"), "{found}");
    }

    #[test]
    fn one_without_its_key_is_left_as_it_is() {
        let (data, path) = made(VERSION_2, KEY_2);
        fs::remove_file(data.path().join("journal.key")).unwrap();
        assert!(matches!(Journal::open(data.path()), Err(JournalError::NoKey { .. })));
        assert_eq!(check_ours(&path, &Connection::open(&path).unwrap()).unwrap(), 2);
    }

    #[test]
    fn a_move_that_was_interrupted_is_made_again() {
        let (data, path) = version_1();
        fs::write(copy_of(&path, 1), "half").unwrap();
        fs::write(copy_of(&path, 1).with_extension("partial"), "half").unwrap();
        Journal::open(data.path()).unwrap();
        assert_eq!(check_ours(&path, &Connection::open(copy_of(&path, 1)).unwrap()).unwrap(), 1);
    }
}
