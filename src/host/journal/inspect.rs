//! Looks at the journal of a data directory from outside, for who looks after the server.
//!
//! Invariant: it changes nothing, makes no file, and takes no lock.

use std::fs::{self, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc::O_NONBLOCK;
use nix::sys::statvfs::{FsFlags, statvfs};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use rusqlite::{Connection, OpenFlags};

use super::schema::{check_ours, is_empty};
use super::{DATABASE, JournalError, KEY, LOCK, LOG, bytes, free_bytes, last, load_key, told, unavailable};

/// How often a journal is read that somebody may write meanwhile, until it is said to be wrong.
const TRIES: usize = 3;
/// What does not stand for itself in the path of a URI.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

/// Where a journal is, and who may write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What its disk has room for, where that can be told.
    pub free_bytes: Option<u64>,
    /// What its files take.
    pub bytes: u64,
    /// Whether nothing can be written to its disk.
    pub is_read_only: bool,
    /// Files that the owner of the directory may not read and write, as who runs the server must.
    pub locked_out: Vec<PathBuf>,
    /// Who owns the directory.
    pub owner: u32,
}

impl Place {
    /// Looks at a data directory; `None` where there is none.
    pub fn of(data: &Path) -> Option<Place> {
        let directory = fs::metadata(data).ok()?;
        let names = [DATABASE, LOG, "journal.db-shm", KEY, LOCK];
        let is_locked = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| !may_use(&directory, &file));
        let locked_out = names.into_iter().map(|name| data.join(name)).filter(is_locked).collect();
        let (owner, free_bytes) = (directory.uid(), free_bytes(data));
        let is_read_only = statvfs(data).is_ok_and(|disk| disk.flags().contains(FsFlags::ST_RDONLY));
        Some(Place { free_bytes, bytes: bytes(data), is_read_only, locked_out, owner })
    }
}

/// Tells whether the owner of a directory may read and write a file in it.
fn may_use(directory: &Metadata, file: &Metadata) -> bool {
    let bits = match (file.uid() == directory.uid(), file.gid() == directory.gid()) {
        (true, _) => 0o600,
        (false, true) => 0o060,
        (false, false) => 0o006,
    };
    directory.uid() == 0 || file.mode() & bits == bits
}

/// Reads a journal as far as a server does that opens it, without what is in the log beside it: whoever owns the directory
/// chooses what its names lead to, and SQLite would make files there, as root if need be, and write to them.
///
/// # Errors
/// [`JournalError`], also where there is none.
pub fn inspect(data: &Path) -> Result<(), JournalError> {
    let mut inspected = read(data);
    for _ in 1..TRIES {
        // A server may have written between two reads.
        if inspected.is_err() && data.join(LOG).exists() {
            inspected = read(data);
        }
    }
    inspected
}

fn read(data: &Path) -> Result<(), JournalError> {
    let path = data.join(DATABASE);
    match OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(&path).and_then(|file| file.metadata()) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(JournalError::Missing { path }),
        Err(error) => return Err(unavailable(&path, &error)),
        Ok(file) if !file.is_file() => return Err(JournalError::NotOurs { path }),
        Ok(_) => {}
    }
    let failed = |error: &rusqlite::Error| told(&path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let shown = path.to_string_lossy();
    let uri = format!("file:{}?mode=ro&immutable=1", utf8_percent_encode(&shown, ESCAPED));
    let connection = Connection::open_with_flags(uri, flags).map_err(|error| failed(&error))?;
    // Until the log is emptied for the first time, all is in there.
    if data.join(LOG).exists() && is_empty(&connection).map_err(|error| failed(&error))? {
        return Ok(());
    }
    check_ours(&path, &connection)?;
    let end = last(&connection).map_err(|error| failed(&error))?;
    match load_key(&data.join(KEY))? {
        None if end.size > 0 => Err(JournalError::NoKey { path: data.join(KEY) }),
        None | Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::UNIX_EPOCH;

    use tempfile::TempDir;

    use super::super::Journal;
    use super::*;
    use crate::audit::{Entry, EntryId, Event};

    fn files(data: &Path) -> Vec<String> {
        let files = fs::read_dir(data).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_journal_is_read_and_nothing_is_made() {
        let place = TempDir::new().unwrap();
        let data = place.path().join("with #, ? and %20");
        assert_eq!(Place::of(&data), None);
        fs::create_dir(&data).unwrap();
        assert!(matches!(inspect(&data), Err(JournalError::Missing { .. })));
        let mut journal = Journal::open(&data).unwrap().0;
        let entry = Entry { id: EntryId(1), at: UNIX_EPOCH, event: Event::ServerEnded };
        journal.append(&[&entry, &entry]).unwrap();
        inspect(&data).unwrap();
        drop(journal);
        let before = files(&data);
        assert!(!before.iter().any(|name| name.ends_with("-wal")), "{before:?}");
        inspect(&data).unwrap();
        assert_eq!(files(&data), before);
        let found = Place::of(&data).unwrap();
        assert!(found.bytes > 0 && found.free_bytes.is_some() && !found.is_read_only, "{found:?}");
        assert_eq!(found.locked_out, [] as [&Path; 0]);
        fs::remove_file(data.join(KEY)).unwrap();
        assert!(matches!(inspect(&data), Err(JournalError::NoKey { .. })));
    }

    #[test]
    fn who_owns_the_directory_must_be_able_to_write() {
        let data = TempDir::new().unwrap();
        let owner = fs::metadata(data.path()).unwrap();
        let file = data.path().join(DATABASE);
        fs::write(&file, "").unwrap();
        for (mode, want) in [(0o600, true), (0o644, true), (0o400, owner.uid() == 0), (0o000, owner.uid() == 0)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(may_use(&owner, &fs::metadata(&file).unwrap()), want, "{mode:o}");
        }
    }
}
