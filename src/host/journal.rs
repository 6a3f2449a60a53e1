//! The journal on disk: one SQLite database in the data directory, and the key that signs where it is.
//!
//! Rows are bound to each other by [`crate::journal`]; this keeps them. A group of entries and the note that signs its end
//! are durable as a whole or not at all (WAL, `synchronous=FULL`), and what is deleted is overwritten. After an error
//! nothing is tried again on the connection that had it: the database is opened anew, and must end where it is known to.
//! Invariant: nothing is written to a database that is not ours, is damaged, was replaced, or has another end than we know.

mod backup;
mod compare;
mod handed_in;
mod history;
mod inspect;
mod left;
mod past;
mod person;
mod projection;
mod proof;
mod purge;
mod reading;
mod report;
mod schema;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::mem;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::libc::O_NONBLOCK;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::logging;
use super::secret::{self, write_new};
use crate::audit::Entry;
use crate::config::ENTRIES_KEPT_DAYS;
use crate::history::Telling;
use crate::journal::{CHAIN_BEGIN, Checkpoint, Hash, Salt, Signer, seal, stored};
use crate::outbox::JournalState;
use crate::words::{JournalFault, Restoration};
pub use backup::{back_up, restore};
pub use compare::Differs;
use handed_in::Waiting;
pub use handed_in::hand_in;
pub use inspect::{Place, inspect};
pub use past::Past;
pub use person::{About, purge_person};
pub use reading::{Reading, VerifyError, Wanted};
use schema::VERSION;

/// The names of its files in the data directory.
const DATABASE: &str = "journal.db";
const LOG: &str = "journal.db-wal";
const KEY: &str = "journal.key";
const LOCK: &str = "journal.lock";

/// How long entries are kept.
pub const KEPT: Duration = Duration::from_secs(ENTRIES_KEPT_DAYS * 86_400);
/// For how long a command that reads may hold up what is written.
const BUSY: Duration = Duration::from_millis(500);
/// With less on it a disk is full: SQLite grows its files by as much.
const ROOM_MIN_BYTES: u64 = 64 * 1024;
/// A longer file is no key.
const KEY_BYTES_MAX: u64 = 4096;

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("can't use the journal {}: {error}", path.display())]
    Unavailable { path: PathBuf, error: String, fault: JournalFault },
    #[error("{} is no journal of ecoute: move it away, and a new one is begun", path.display())]
    NotOurs { path: PathBuf },
    #[error("the journal {} has other tables than ecoute made: restore a backup, or move it away", path.display())]
    OtherTables { path: PathBuf },
    #[error("the journal {} is damaged ({error}): restore a backup, or move it away", path.display())]
    Damaged { path: PathBuf, error: String },
    #[error(
        "the journal {} was written by a newer ecoute (its version is {version}, this program knows {VERSION}): install \
         that one again, or put {} in its place where that is there: it is as it was before", path.display(), copy.display()
    )]
    Newer { path: PathBuf, version: i32, copy: PathBuf },
    #[error("the journal {} was written by an older ecoute: start the server once, which moves it on", path.display())]
    Older { path: PathBuf },
    #[error(
        "{person} is on air, listens or is listened to: wait until that is over, or where no server runs, start it once"
    )]
    Busy { person: String },
    #[error("{} is not empty: name a directory that is", path.display())]
    NotEmpty { path: PathBuf },
    #[error("another server has this data directory ({}): give each its own with --data", path.display())]
    Taken { path: PathBuf },
    #[error("the key of the journal {} is none: restore it, or move key and journal away", path.display())]
    BadKey { path: PathBuf },
    #[error("the key of the journal {} is gone: restore it, or move the journal away", path.display())]
    NoKey { path: PathBuf },
    #[error("the journal {} does not end where it did: it was changed, or removed, while it was open", path.display())]
    OtherEnd { path: PathBuf },
    #[error("no journal at {}: start the server once to begin it, or name its directory with --data", path.display())]
    Missing { path: PathBuf },
}

impl JournalError {
    /// Tells whether it may be over by itself, as where a disk is full.
    pub fn may_pass(&self) -> bool {
        matches!(self, JournalError::Unavailable { .. })
    }

    /// Returns what users are told of it.
    pub fn fault(&self) -> JournalFault {
        match self {
            JournalError::Unavailable { fault, .. } => *fault,
            JournalError::OtherTables { .. } | JournalError::Damaged { .. } => JournalFault::Damaged,
            JournalError::NotOurs { .. }
            | JournalError::Newer { .. }
            | JournalError::NoKey { .. }
            | JournalError::BadKey { .. }
            | JournalError::OtherEnd { .. }
            | JournalError::Missing { .. } => JournalFault::Replaced,
            JournalError::Taken { .. }
            | JournalError::Older { .. }
            | JournalError::Busy { .. }
            | JournalError::NotEmpty { .. } => JournalFault::Other,
        }
    }
}

/// Why the journal that a server found at its start may not be all that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The key is there, and no journal.
    Gone,
    /// No good note is signed for its end.
    Unsigned,
}

impl Doubt {
    /// Returns what is wrong, for the log and the journal.
    pub fn words(self) -> &'static str {
        match self {
            Doubt::Gone => "there was a key and no journal",
            Doubt::Unsigned => "the end was not signed",
        }
    }
}

/// The journal of a server that runs, which alone writes to it.
#[derive(Debug)]
pub struct Journal {
    data: PathBuf,
    path: PathBuf,
    /// Held for as long as this is there, once it could be had.
    lock: Option<File>,
    signer: Option<Signer>,
    open: Option<Open>,
    /// Where it ends, as far as is known to be durable; nothing is known before it was open.
    end: Option<Checkpoint>,
    /// Where it may end, as a commit failed that may have done its work.
    attempted: Option<Checkpoint>,
    doubt: Option<Doubt>,
    /// The restoration that nobody has confirmed yet that they know of, as far as is known to be durable.
    restored: Option<Restoration>,
    /// What closes what the server before left open, until it is durable.
    ends: Vec<Entry>,
}

/// A database that had no error yet.
#[derive(Debug)]
struct Open {
    connection: Connection,
    /// Which file it is.
    inode: u64,
    /// What is on air and heard, as far as it is in there.
    telling: Telling,
}

impl Journal {
    /// Opens the journal of a data directory, or begins it. Where it can't be used for now, it is tried again with what is
    /// to be written, and the second value says why.
    ///
    /// # Errors
    /// What does not pass by itself: [`JournalError::may_pass`].
    pub fn open(data: &Path) -> Result<(Journal, Option<JournalError>), JournalError> {
        Journal::open_locked(data, None)
    }

    /// Opens the journal of a data directory that is locked already, or not.
    fn open_locked(data: &Path, lock: Option<File>) -> Result<(Journal, Option<JournalError>), JournalError> {
        let mut journal = Journal {
            data: data.to_owned(),
            path: data.join(DATABASE),
            lock,
            signer: None,
            open: None,
            end: None,
            attempted: None,
            doubt: None,
            restored: None,
            ends: Vec::new(),
        };
        match journal.reopen() {
            Ok(()) => Ok((journal, None)),
            Err(error) if error.may_pass() => Ok((journal, Some(error))),
            Err(error) => Err(error),
        }
    }

    /// Returns who reads it for clients, beside the one who writes it.
    pub fn past(&self) -> Past {
        Past::new(self.data.clone())
    }

    /// Returns once what is to be told of how it was found.
    pub fn take_doubt(&mut self) -> Option<Doubt> {
        self.doubt.take()
    }

    /// Returns the restoration that nobody has confirmed yet that they know of.
    pub fn restored(&self) -> Option<Restoration> {
        self.restored
    }

    /// Returns how it is, whatever can be said of it now.
    pub fn state(&self, fault: Option<JournalFault>) -> JournalState {
        JournalState {
            entries: self.end.map_or(0, |end| end.size),
            bytes: bytes(&self.data),
            free_bytes: free_bytes(&self.data),
            fault,
            restored: self.restored,
        }
    }

    /// Makes entries durable, in order, all or none, with a note of where they end.
    ///
    /// # Errors
    /// [`JournalError`]; none of them is written then: what a commit left that failed is taken back before anything else is.
    pub fn append(&mut self, entries: &[&Entry]) -> Result<(), JournalError> {
        entries.last().map_or(Ok(()), |last| self.append_at(last.at, entries))
    }

    /// Makes entries durable, now, and what commands have handed in.
    fn append_at(&mut self, at: SystemTime, entries: &[&Entry]) -> Result<(), JournalError> {
        let Waiting { entries: handed_in, last } =
            self.with_open(|journal| match (&journal.open, &journal.signer) {
                (Some(open), Some(signer)) => handed_in::waiting(&open.connection, &signer.verify_key(), at),
                (_, _) => Ok(Waiting { entries: Vec::new(), last: i64::MIN }),
            })?;
        let ends = mem::take(&mut self.ends);
        let all: Vec<&Entry> = ends.iter().chain(&handed_in).chain(entries.iter().copied()).collect();
        let appended = self.append_all(&all, last);
        match &appended {
            Ok(()) => ends.iter().chain(&handed_in).for_each(write_down),
            Err(_) => self.ends = ends,
        }
        appended
    }

    /// Writes down, now, what commands have handed in, if there is something.
    ///
    /// # Errors
    /// [`JournalError`], as above.
    pub fn take_in(&mut self, at: SystemTime) -> Result<(), JournalError> {
        let is_any = self.with_open(|journal| match &journal.open {
            Some(open) => handed_in::is_any(&open.connection),
            None => Ok(false),
        })?;
        if is_any { self.append_at(at, &[]) } else { Ok(()) }
    }

    /// Tries whether entries can be written, with none to write: there must be room for some, and something is written.
    ///
    /// # Errors
    /// [`JournalError`], as above.
    pub fn try_out(&mut self, at: SystemTime) -> Result<(), JournalError> {
        if free_bytes(&self.data).is_some_and(|free_bytes| free_bytes < ROOM_MIN_BYTES) {
            return Err(unavailable(&self.path, &ErrorKind::StorageFull.into()));
        }
        self.append(&[])?;
        // Nothing of that may have been new.
        self.with_open(|journal| journal.open.as_ref().map_or(Ok(()), |open| left::sign(&open.connection, at)))
    }

    /// Makes entries durable, and forgets what was handed in up to the one of this number: it is among them.
    fn append_all(&mut self, entries: &[&Entry], handed_in: i64) -> Result<(), JournalError> {
        let salts: Vec<Salt> = entries
            .iter()
            .map(|_| secret::random())
            .collect::<Result<_, _>>()
            .map_err(|error| unavailable(&self.path, &io::Error::other(error)))?;
        self.with_open(|journal| journal.try_append(entries, &salts, handed_in))
    }

    /// Has the newest note stay.
    ///
    /// # Errors
    /// [`JournalError`], as above.
    pub fn keep_note(&mut self) -> Result<(), JournalError> {
        self.with_open(|journal| {
            let Journal { open: Some(open), end: Some(end), .. } = journal else { return Ok(()) };
            open.connection.execute("UPDATE notes SET stays = 1 WHERE size = ?1", [end.size]).map(drop)
        })
    }

    /// Lets go of it. All stands in the database then, though somebody else has it open: that file alone is a copy.
    pub fn close(self) {
        if let Some(Open { connection, .. }) = &self.open {
            // Where somebody reads for too long, the log keeps what it has.
            let _ = checkpoint(connection);
        }
    }

    /// Calls with the database open; one that had an error is given up.
    fn with_open<T>(&mut self, call: impl FnOnce(&mut Journal) -> rusqlite::Result<T>) -> Result<T, JournalError> {
        let inode = fs::metadata(&self.path).map(|file| file.ino()).ok();
        if self.open.as_ref().is_some_and(|open| Some(open.inode) != inode) {
            self.open = None;
        }
        if self.open.is_none() {
            self.reopen()?;
        }
        call(self).map_err(|error| {
            self.open = None;
            told(&self.path, &error)
        })
    }

    fn try_append(&mut self, entries: &[&Entry], salts: &[Salt], handed_in: i64) -> rusqlite::Result<()> {
        let Journal { open: Some(open), end: Some(before), signer: Some(signer), attempted, restored, .. } = self
        else {
            return Err(rusqlite::Error::InvalidQuery);
        };
        let Open { connection, telling, .. } = open;
        let mut end = *before;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO entries (number, salt, entry, leaf, chain) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for (entry, &salt) in entries.iter().zip(salts) {
                let row = seal(end.size + 1, &end.chain, salt, stored(entry));
                let stored = row.kept.as_ref().map(|(_, stored)| stored);
                insert.execute(params![row.number, salt, stored, row.leaf, row.chain])?;
                stored.map_or(Ok(()), |stored| projection::apply(&transaction, telling, row.number, stored))?;
                end = Checkpoint { size: row.number, chain: row.chain };
            }
        }
        handed_in::take(&transaction, handed_in)?;
        write_note(&transaction, signer, end)?;
        *attempted = Some(end);
        transaction.commit()?;
        *restored = telling.restored();
        (self.end, self.attempted) = (Some(end), None);
        Ok(())
    }

    /// Opens the database anew, and compares its end with what is known.
    fn reopen(&mut self) -> Result<(), JournalError> {
        if self.lock.is_none() {
            self.lock = Some(lock(&self.data.join(LOCK))?);
            backup::remove_leftovers(&self.data);
        }
        let is_first = self.end.is_none();
        // One that is blank was just begun when something ended it.
        let is_there = fs::metadata(&self.path).is_ok_and(|file| file.len() > 0);
        if !is_first && !is_there {
            return Err(self.other_end());
        }
        let mut connection = self.connect(is_first)?;
        let found = last(&connection).map_err(|error| told(&self.path, &error))?;
        self.load_key(is_there, found)?;
        let failed = |error: &rusqlite::Error| told(&self.path, error);
        let (end, doubt) = match self.end {
            None => {
                self.ends = left::ends(&connection).map_err(|error| failed(&error))?;
                (found, self.doubt_about(&connection, found).map_err(|error| failed(&error))?)
            }
            Some(end) => {
                // What a commit left in the log whose sync failed is whole in the database after this, or an error is told.
                checkpoint(&connection).map_err(|error| failed(&error))?;
                if !self.take_back(&mut connection, end).map_err(|error| failed(&error))? {
                    return Err(self.other_end());
                }
                (end, None)
            }
        };
        let telling = projection::resume(&connection).map_err(|error| failed(&error))?;
        let inode = fs::metadata(&self.path).map_err(|error| unavailable(&self.path, &error))?.ino();
        self.doubt = self.doubt.or(doubt);
        self.restored = telling.restored();
        (self.end, self.attempted, self.open) = (Some(end), None, Some(Open { connection, inode, telling }));
        Ok(())
    }

    fn other_end(&self) -> JournalError {
        JournalError::OtherEnd { path: self.path.clone() }
    }

    /// Loads the key once; it is made for a journal without entries, and for no other.
    fn load_key(&mut self, is_there: bool, end: Checkpoint) -> Result<(), JournalError> {
        if self.signer.is_some() {
            return Ok(());
        }
        let path = self.data.join(KEY);
        let signer = match load_key(&path)? {
            Some(signer) => {
                self.doubt = Some(Doubt::Gone).filter(|_| !is_there);
                signer
            }
            None if end.size > 0 => return Err(JournalError::NoKey { path }),
            None => make_key(&path)?,
        };
        self.signer = Some(signer);
        Ok(())
    }

    /// Returns what is wrong with the end of a journal that is opened for the first time.
    fn doubt_about(&self, connection: &Connection, end: Checkpoint) -> rusqlite::Result<Option<Doubt>> {
        let newest = "SELECT note FROM notes ORDER BY size DESC LIMIT 1";
        let note: Option<String> = connection.query_row(newest, [], |row| row.get(0)).optional()?;
        let key = self.signer.as_ref().map(Signer::verify_key);
        let signed = key.zip(note).and_then(|(key, note)| key.open(&note).ok());
        Ok(Some(Doubt::Unsigned).filter(|_| signed != Some(end) && (end.size > 0 || signed.is_some())))
    }

    /// Takes back what a failed commit left, of which was said that it is not written; tells whether the end is the known one
    /// then.
    fn take_back(&self, connection: &mut Connection, end: Checkpoint) -> rusqlite::Result<bool> {
        let found = last(connection)?;
        if Some(found) == self.attempted && found != end {
            let Some(signer) = &self.signer else { return Ok(false) };
            let transaction = connection.transaction()?;
            handed_in::give_back(&transaction, signer, end.size)?;
            transaction.execute("DELETE FROM entries WHERE number > ?1", [end.size])?;
            projection::make_anew(&transaction)?;
            write_note(&transaction, signer, end)?;
            transaction.commit()?;
        }
        Ok(last(connection)? == end)
    }

    /// Opens the database, with all that it needs; makes it where it may.
    fn connect(&self, may_make: bool) -> Result<Connection, JournalError> {
        let failed = |error: &rusqlite::Error| told(&self.path, error);
        if may_make {
            make_private(&self.path).map_err(|error| unavailable(&self.path, &error))?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&self.path, flags).map_err(|error| failed(&error))?;
        connection.busy_timeout(BUSY).map_err(|error| failed(&error))?;
        let is_empty = may_make && schema::is_empty(&connection).map_err(|error| failed(&error))?;
        let version = if is_empty { VERSION } else { schema::check_ours(&self.path, &connection)? };
        if let Some(pragma) = schema::set_up(&mut connection, is_empty).map_err(|error| failed(&error))? {
            return Err(not_taken(&self.path, pragma));
        }
        if version < VERSION {
            let (path, end) = (self.data.join(KEY), last(&connection).map_err(|error| failed(&error))?);
            let key = load_key(&path)?;
            if key.is_none() && end.size > 0 {
                return Err(JournalError::NoKey { path });
            }
            schema::migrate(&self.path, &mut connection, version, key.as_ref())?;
        }
        Ok(connection)
    }
}

/// Returns what the files of the journal in a data directory take.
fn bytes(data: &Path) -> u64 {
    let files = [DATABASE, LOG].map(|name| fs::metadata(data.join(name)).map_or(0, |file| file.len()));
    files.into_iter().sum()
}

/// Each entry is a line of the log too.
fn write_down(entry: &Entry) {
    // What is lost is counted there.
    let _ = logging::write_down(format_args!("{} at={}", entry.event, logging::timestamp(entry.at)));
}

/// SQLite does not behave as it is told to.
fn not_taken(path: &Path, pragma: &str) -> JournalError {
    let error = format!("SQLite does not take {pragma}");
    JournalError::Unavailable { path: path.to_owned(), error, fault: JournalFault::Other }
}

/// Signs an end; the note before that is not to stay goes.
fn write_note(connection: &Connection, signer: &Signer, end: Checkpoint) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM notes WHERE stays = 0")?.execute([])?;
    let mut insert =
        connection.prepare_cached("INSERT OR IGNORE INTO notes (size, note, stays) VALUES (?1, ?2, 0)")?;
    insert.execute(params![end.size, signer.sign(end)]).map(drop)
}

/// Moves all that is in the log to the database, durably, and empties it; an error where somebody reads for too long.
fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    let is_busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i32>(0))? != 0;
    if is_busy {
        Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None))
    } else {
        Ok(())
    }
}

/// Returns where a database ends.
fn last(connection: &Connection) -> rusqlite::Result<Checkpoint> {
    let last = connection
        .query_row("SELECT number, chain FROM entries ORDER BY number DESC LIMIT 1", [], |row| {
            Ok(Checkpoint { size: row.get(0)?, chain: row.get(1)? })
        })
        .optional()?;
    Ok(last.unwrap_or(Checkpoint { size: 0, chain: CHAIN_BEGIN }))
}

/// Returns where the chain is after so many rows; `None` where there are fewer.
fn chain_at(connection: &Connection, size: u64) -> rusqlite::Result<Option<Hash>> {
    if size == 0 {
        return Ok(Some(CHAIN_BEGIN));
    }
    connection.query_row("SELECT chain FROM entries WHERE number = ?1", [size], |row| row.get(0)).optional()
}

/// Makes an empty file that nobody else can read, where there is none.
fn make_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Keeps other servers away.
fn lock(path: &Path) -> Result<File, JournalError> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(|error| unavailable(path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(JournalError::Taken { path: path.parent().unwrap_or(path).to_owned() })
        }
        Err(TryLockError::Error(error)) => Err(unavailable(path, &error)),
    }
}

fn make_key(path: &Path) -> Result<Signer, JournalError> {
    let unknown = || unavailable(path, &io::Error::other("no randomness"));
    write_new(path, &Signer::generate().ok_or_else(unknown)?).map_err(|error| unavailable(path, &error))?;
    load_key(path)?.ok_or_else(|| JournalError::BadKey { path: path.to_owned() })
}

/// Returns the key, where there is one.
fn load_key(path: &Path) -> Result<Option<Signer>, JournalError> {
    let read = || {
        let mut bytes = Vec::new();
        let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path)?;
        file.take(KEY_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => match Signer::from_pkcs8(&bytes) {
            Some(key) => Ok(Some(key)),
            None => Err(JournalError::BadKey { path: path.to_owned() }),
        },
        Err(error) if io::Error::kind(&error) == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unavailable(path, &error)),
    }
}

fn unavailable(path: &Path, error: &io::Error) -> JournalError {
    let fault = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => JournalFault::DiskFull,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => JournalFault::NotPermitted,
        _ => of_disk(path),
    };
    JournalError::Unavailable { path: path.to_owned(), error: error.to_string(), fault }
}

/// Returns what a file and its disk themselves say of why it can't be written, where the error does not: SQLite has one for
/// all that can't be opened. Nothing is opened here, as closing it would take the locks of who has it open.
fn of_disk(path: &Path) -> JournalFault {
    let directory = path.parent().unwrap_or(path);
    let is_refused =
        |path: &Path, mode| matches!(access(path, mode), Err(Errno::EACCES | Errno::EPERM | Errno::EROFS));
    let (of_file, of_directory) = (AccessFlags::R_OK | AccessFlags::W_OK, AccessFlags::W_OK | AccessFlags::X_OK);
    match free_bytes(directory) {
        _ if is_refused(path, of_file) || is_refused(directory, of_directory) => JournalFault::NotPermitted,
        Some(free_bytes) if free_bytes < ROOM_MIN_BYTES => JournalFault::DiskFull,
        Some(_) | None => JournalFault::Other,
    }
}

/// Returns what a disk has room for that a directory is on, for who is not root.
pub fn free_bytes(directory: &Path) -> Option<u64> {
    statvfs(directory).ok().map(|disk| disk.blocks_available() * disk.fragment_size())
}

/// Returns what SQLite says, for people.
fn told(path: &Path, error: &rusqlite::Error) -> JournalError {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => JournalError::NotOurs { path: path.to_owned() },
        Some(ErrorCode::DatabaseCorrupt) => JournalError::Damaged { path: path.to_owned(), error: text },
        Some(ErrorCode::DiskFull) => {
            JournalError::Unavailable { path: path.to_owned(), error: text, fault: JournalFault::DiskFull }
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            JournalError::Unavailable { path: path.to_owned(), error: text, fault: JournalFault::NotPermitted }
        }
        _ => JournalError::Unavailable { path: path.to_owned(), error: text, fault: of_disk(path) },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::UNIX_EPOCH;

    use tempfile::TempDir;

    use super::*;
    use crate::audit::{Deed, DeedKind, EntryId, Event, Subject};
    use crate::journal::Verdict;

    fn entry(number: u64) -> Entry {
        let of = Subject { commercial_id: format!("lea{}", number % 3), is_device: false };
        Entry {
            id: EntryId(number),
            at: UNIX_EPOCH + Duration::from_millis(number),
            event: Event::BroadcastPaused { of },
        }
    }

    fn append(journal: &mut Journal, numbers: std::ops::RangeInclusive<u64>) -> Result<(), JournalError> {
        let entries: Vec<Entry> = numbers.map(entry).collect();
        journal.append(&entries.iter().collect::<Vec<_>>())
    }

    fn open(data: &TempDir) -> Journal {
        let (journal, problem) = Journal::open(data.path()).unwrap();
        assert!(problem.is_none(), "{problem:?}");
        journal
    }

    fn verify(data: &TempDir) -> Verdict {
        Reading::open(data.path()).unwrap().verify(None).unwrap()
    }

    #[test]
    fn what_was_appended_is_there_when_it_is_opened_again_and_goes_on() {
        let data = TempDir::new().unwrap();
        let mut journal = open(&data);
        append(&mut journal, 1..=3).unwrap();
        journal.keep_note().unwrap();
        append(&mut journal, 4..=4).unwrap();
        // Beside the server that writes.
        assert_eq!(verify(&data), Verdict { entries: 4, signed: 4, ..Verdict::default() });
        drop(journal);
        let mut journal = open(&data);
        append(&mut journal, 5..=9).unwrap();
        journal.keep_note().unwrap();
        assert_eq!(verify(&data), Verdict { entries: 9, signed: 9, ..Verdict::default() });
        let wanted = Wanted { from_ms: Some(2), to_ms: Some(9), person: Some("lea1".into()) };
        let mut numbers = Vec::new();
        Reading::open(data.path())
            .unwrap()
            .entries(&wanted, |number, _| {
                numbers.push(number);
                true
            })
            .unwrap();
        assert_eq!(numbers, [4, 7]);
    }

    #[test]
    fn what_is_purged_is_nowhere_and_the_rest_is_as_good_as_before() {
        let data = TempDir::new().unwrap();
        let mut journal = open(&data);
        append(&mut journal, 1..=9).unwrap();
        assert_eq!(journal.purge(UNIX_EPOCH, UNIX_EPOCH + Duration::from_millis(5)).unwrap(), 4);
        assert_eq!(journal.purge(UNIX_EPOCH, UNIX_EPOCH + Duration::from_millis(5)).unwrap(), 0);
        append(&mut journal, 10..=10).unwrap();
        journal.keep_note().unwrap();
        // And that it was purged.
        assert_eq!(verify(&data), Verdict { entries: 11, purged: 4, signed: 11, ..Verdict::default() });
        drop(journal);
        let text = |file: &str| {
            String::from_utf8_lossy(&fs::read(data.path().join(file)).unwrap_or_default()).into_owned()
        };
        let everywhere = [DATABASE, "journal.db-wal"].map(text).concat();
        for number in 1..=10 {
            let is_there = everywhere.contains(&stored(&entry(number)));
            assert_eq!(is_there, number >= 5, "{number}");
        }
    }

    #[test]
    fn nobody_else_reads_its_files() {
        let data = TempDir::new().unwrap();
        let mut journal = open(&data);
        append(&mut journal, 1..=1).unwrap();
        for file in fs::read_dir(data.path()).unwrap() {
            let file = file.unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
        }
    }

    #[test]
    fn a_start_that_was_interrupted_is_made_up_for_and_a_key_that_is_gone_is_not() {
        let data = TempDir::new().unwrap();
        drop(open(&data));
        fs::remove_file(data.path().join(KEY)).unwrap();
        let mut journal = open(&data);
        append(&mut journal, 1..=1).unwrap();
        assert_eq!(journal.take_doubt(), None);
        drop(journal);
        fs::remove_file(data.path().join(KEY)).unwrap();
        assert!(matches!(Journal::open(data.path()), Err(JournalError::NoKey { .. })));
    }

    #[test]
    fn a_second_server_has_no_room() {
        let data = TempDir::new().unwrap();
        let _journal = open(&data);
        assert!(matches!(Journal::open(data.path()), Err(JournalError::Taken { .. })));
    }

    #[test]
    fn what_is_not_ours_or_damaged_or_newer_is_left_as_it_is() {
        type Spoil = fn(&Path);
        let cases: [(&str, Spoil, fn(&JournalError) -> bool); 3] = [
            (
                "text",
                |path| fs::write(path, "x".repeat(5000)).unwrap(),
                |error| matches!(error, JournalError::NotOurs { .. }),
            ),
            (
                "another program's",
                |path| {
                    fs::remove_file(path).unwrap();
                    Connection::open(path)
                        .unwrap()
                        .execute_batch("CREATE TABLE a (b); INSERT INTO a VALUES (1)")
                        .unwrap();
                },
                |error| matches!(error, JournalError::NotOurs { .. }),
            ),
            (
                "newer",
                |path| Connection::open(path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap(),
                |error| matches!(error, JournalError::Newer { version: 99, .. }),
            ),
        ];
        for (name, spoil, is_it) in cases {
            let data = TempDir::new().unwrap();
            append(&mut open(&data), 1..=3).unwrap();
            let path = data.path().join(DATABASE);
            spoil(&path);
            let before = fs::read(&path).unwrap();
            let error = Journal::open(data.path()).unwrap_err();
            assert!(is_it(&error), "{name}: {error:?}");
            assert!(!error.may_pass(), "{name}");
            assert_eq!(fs::read(&path).unwrap(), before, "{name}");
        }
    }

    /// A sync may fail after all was written; whoever waited for it was told that it is not.
    #[test]
    fn what_a_failed_commit_left_is_taken_back() {
        let data = TempDir::new().unwrap();
        let mut journal = open(&data);
        append(&mut journal, 1..=3).unwrap();
        let end = journal.end;
        let deed =
            Deed { kind: DeedKind::BackedUp, by: "uid=0".into(), person: String::new(), detail: "all".into() };
        hand_in(data.path(), UNIX_EPOCH, &deed).unwrap();
        journal.purge(UNIX_EPOCH, UNIX_EPOCH + Duration::from_millis(2)).unwrap();
        append(&mut journal, 4..=6).unwrap();
        (journal.attempted, journal.end, journal.open) = (journal.end, end, None);
        append(&mut journal, 7..=7).unwrap();
        journal.keep_note().unwrap();
        // What was handed in is not lost with it, nor what was purged.
        assert_eq!(verify(&data), Verdict { entries: 6, purged: 1, signed: 6, ..Verdict::default() });
    }

    #[test]
    fn a_journal_that_is_changed_while_it_is_open_is_written_no_more() {
        let data = TempDir::new().unwrap();
        let mut journal = open(&data);
        append(&mut journal, 1..=3).unwrap();
        Connection::open(data.path().join(DATABASE))
            .unwrap()
            .execute("DELETE FROM entries WHERE number = 3", [])
            .unwrap();
        journal.open = None;
        assert!(matches!(append(&mut journal, 4..=4), Err(JournalError::OtherEnd { .. })));
    }
}
