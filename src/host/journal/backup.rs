//! A copy of all that a server needs to go on elsewhere, in one file: the journal, and in a table of its own the files beside
//! it.
//!
//! Made beside a server that runs, of one moment. Invariant: what is restored is exactly what was copied, into a directory
//! where nothing was.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use rusqlite::{Connection, OptionalExtension, params};

use super::handed_in::hand_in;
use super::left::unix_ms;
use super::reading::open_database;
use super::schema::check_ours;
use super::{DATABASE, Journal, JournalError, KEY, LOCK, lock, told, unavailable};
use crate::audit::{Deed, DeedKind};
use crate::host::owner::open_own;
use crate::host::secret;

/// The files that are copied with the journal, where they are there.
const FILES: [&str; 3] = [KEY, "secret", "revoked"];
/// None of them is longer.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// What the name of a copy begins with while it is made, in the data directory; whoever makes it holds a lock on it.
const PARTIAL: &str = "backup-partial-";
/// How often a copy is begun that somebody takes for a leftover before it is locked.
const TRIES: usize = 3;
/// The table with those files, which no journal has.
const KEPT: &str = "CREATE TABLE kept (name TEXT PRIMARY KEY, contents BLOB NOT NULL) STRICT;
                    CREATE TABLE made (at_ms INTEGER NOT NULL) STRICT;";

/// Copies the journal of a data directory, and the files beside it, to a file that is empty; `by` somebody.
///
/// # Errors
/// [`JournalError`].
pub fn back_up(data: &Path, at: SystemTime, by: &str, mut to: File) -> Result<(), JournalError> {
    let deed = Deed { kind: DeedKind::BackedUp, by: by.to_owned(), person: String::new(), detail: String::new() };
    hand_in(data, at, &deed)?;
    remove_leftovers(data);
    // Whatever its name leads to by then, what is copied is what was made here.
    let (partial, mut copy) = begin_copy(data)?;
    let copied = fill(data, &partial, at).and_then(|()| {
        io::copy(&mut copy, &mut to)
            .and_then(|_| to.sync_all())
            .map_err(|error| unavailable(Path::new("the copy"), &error))
    });
    fs::remove_file(&partial).map_err(|error| unavailable(&partial, &error))?;
    copied
}

/// Makes an empty file, and holds it for as long as it is open.
fn begin_copy(data: &Path) -> Result<(PathBuf, File), JournalError> {
    for _ in 0..TRIES {
        let name: [u8; 8] = secret::random().map_err(|error| unavailable(data, &io::Error::other(error)))?;
        let partial = data.join(format!("{PARTIAL}{:016x}", u64::from_le_bytes(name)));
        let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&partial);
        let copy = made.map_err(|error| unavailable(&partial, &error))?;
        // Whoever has taken it away held its lock then.
        if copy.try_lock().is_ok() && is_at(&copy, &partial) {
            return Ok((partial, copy));
        }
    }
    Err(unavailable(data, &io::Error::other("others take away what is copied")))
}

fn is_at(file: &File, path: &Path) -> bool {
    let of = |found: io::Result<fs::Metadata>| found.map(|found| (found.dev(), found.ino())).ok();
    let opened = of(file.metadata());
    opened.is_some() && opened == of(fs::symlink_metadata(path))
}

/// Takes away what a copy left that was interrupted, but not what somebody still makes.
pub(super) fn remove_leftovers(data: &Path) {
    let files = fs::read_dir(data).into_iter().flatten().flatten();
    let names = files.filter_map(|file| file.file_name().into_string().ok());
    let (copies, beside): (Vec<String>, Vec<String>) =
        names.filter(|name| name.starts_with(PARTIAL)).partition(|name| !name[PARTIAL.len()..].contains('-'));
    for path in copies.iter().map(|name| data.join(name)) {
        let opened = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(&path);
        let Ok(left) = opened else { continue };
        if left.metadata().is_ok_and(|found| found.is_file()) && left.try_lock().is_ok() && is_at(&left, &path) {
            // The next time, where that fails.
            let _ = fs::remove_file(&path);
        }
    }
    // What SQLite had beside a copy is whose the copy is.
    for name in beside {
        let copy = name[PARTIAL.len()..].split('-').next().unwrap_or_default();
        if fs::symlink_metadata(data.join(format!("{PARTIAL}{copy}"))).is_err() {
            let _ = fs::remove_file(data.join(name));
        }
    }
}

fn fill(data: &Path, partial: &Path, at: SystemTime) -> Result<(), JournalError> {
    let path = data.join(DATABASE);
    let failed = |error: rusqlite::Error| told(&path, &error);
    open_database(&path, true)?.execute("VACUUM INTO ?1", [partial.to_string_lossy()]).map_err(failed)?;
    let copy = open_database(partial, true)?;
    copy.execute_batch(KEPT).map_err(failed)?;
    copy.execute("INSERT INTO made VALUES (?1)", [unix_ms(at)]).map_err(failed)?;
    let directory = File::open(data).map_err(|error| unavailable(data, &error))?;
    for name in FILES {
        let path = data.join(name);
        let mut contents = Vec::new();
        match open_own(&directory, &path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut contents)) {
            Ok(_) => {
                let keep = "INSERT INTO kept (name, contents) VALUES (?1, ?2)";
                copy.execute(keep, params![name, contents]).map_err(failed)?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(unavailable(&path, &error)),
        }
    }
    Ok(())
}

/// Makes a data directory of a copy, which is at this path, where there is none or an empty one. What is older than `before`
/// is purged at once. Returns when the copy was made.
///
/// # Errors
/// [`JournalError`]; what was made of it is gone then.
pub fn restore(
    (path, file): (&Path, File),
    data: &Path,
    (at, before): (SystemTime, SystemTime),
    by: &str,
) -> Result<SystemTime, JournalError> {
    let is_new = prepare(data)?;
    // No server begins here meanwhile.
    let lock = lock(&data.join(LOCK))?;
    let others = fs::read_dir(data).map_err(|error| unavailable(data, &error))?.flatten();
    let has_others = others.into_iter().any(|file| file.file_name() != LOCK);
    if has_others {
        return Err(JournalError::NotEmpty { path: data.to_owned() });
    }
    let restored = restore_into((path, file), (data, lock), (at, before), by);
    if restored.is_err() {
        take_away(data, is_new);
    }
    restored
}

/// Makes the directory, or looks that it is empty; tells whether it was made.
fn prepare(data: &Path) -> Result<bool, JournalError> {
    match fs::read_dir(data).map(|mut files| files.next().is_some()) {
        Ok(true) => Err(JournalError::NotEmpty { path: data.to_owned() }),
        Ok(false) => Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(data);
            made.map(|()| true).map_err(|error| unavailable(data, &error))
        }
        Err(error) => Err(unavailable(data, &error)),
    }
}

/// Takes away what a restoration made that failed, and nothing else.
fn take_away(data: &Path, is_new: bool) {
    let ours = [DATABASE, "journal.db-wal", "journal.db-shm"].into_iter().chain(FILES).chain([LOCK]);
    // Some of them were not made yet.
    ours.for_each(|name| drop(fs::remove_file(data.join(name))));
    if is_new {
        // It is only left empty otherwise.
        let _ = fs::remove_dir(data);
    }
}

fn restore_into(
    (file, mut contents): (&Path, File),
    (data, lock): (&Path, File),
    (at, before): (SystemTime, SystemTime),
    by: &str,
) -> Result<SystemTime, JournalError> {
    let path = data.join(DATABASE);
    copy_private(&mut contents, &path).map_err(|error| unavailable(file, &error))?;
    let failed = |error: rusqlite::Error| told(file, &error);
    let copy = open_database(&path, true)?;
    let made_ms: Option<u64> = made(&copy).map_err(|_| JournalError::NotOurs { path: file.to_owned() })?;
    let made_ms = made_ms.ok_or_else(|| JournalError::NotOurs { path: file.to_owned() })?;
    for name in FILES {
        let kept = copy.query_row("SELECT contents FROM kept WHERE name = ?1", [name], |row| row.get(0));
        let kept: Option<Vec<u8>> = kept.optional().map_err(failed)?;
        let path: PathBuf = data.join(name);
        kept.map_or(Ok(()), |contents| copy_private(&mut contents.as_slice(), &path))
            .map_err(|error| unavailable(&path, &error))?;
    }
    copy.execute_batch("DROP TABLE kept; DROP TABLE made; VACUUM").map_err(failed)?;
    check_ours(&path, &copy)?;
    drop(copy);
    let (mut journal, problem) = Journal::open_locked(data, Some(lock))?;
    problem.map_or(Ok(()), Err)?;
    while journal.purge(at, before)? > 0 {
        journal.take_in(at)?;
    }
    let made = UNIX_EPOCH + Duration::from_millis(made_ms);
    let detail = format!("made_ms={made_ms}");
    hand_in(data, at, &Deed { kind: DeedKind::Restored, by: by.to_owned(), person: String::new(), detail })?;
    journal.take_in(at)?;
    journal.keep_note()?;
    Ok(made)
}

fn made(copy: &Connection) -> rusqlite::Result<Option<u64>> {
    copy.query_row("SELECT at_ms FROM made", [], |row| row.get(0)).optional()
}

fn copy_private(from: &mut impl Read, to: &Path) -> io::Result<()> {
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(from, &mut copy)?;
    copy.flush()?;
    copy.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;
    use crate::audit::{Entry, EntryId, Event};
    use crate::host::journal::{Differs, Reading, VerifyError};
    use crate::words::Restoration;

    fn at(ms: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(ms)
    }

    fn append(journal: &mut Journal, ms: u64) {
        journal.append(&[&Entry { id: EntryId(0), at: at(ms), event: Event::ServerEnded }]).unwrap();
    }

    fn backup(data: &Path, file: &Path) {
        back_up(data, at(9), "uid=0", File::create(file).unwrap()).unwrap();
    }

    #[test]
    fn what_was_copied_beside_a_server_is_all_that_is_needed_elsewhere() {
        let [data, elsewhere] = [(); 2].map(|()| TempDir::new().unwrap());
        let mut journal = Journal::open(data.path()).unwrap().0;
        fs::write(data.path().join("secret"), "a secret").unwrap();
        append(&mut journal, 5);
        append(&mut journal, 50);
        let (file, restored) = (elsewhere.path().join("copy"), elsewhere.path().join("data"));
        backup(data.path(), &file);
        append(&mut journal, 60);
        let made = restore((&file, File::open(&file).unwrap()), &restored, (at(70), at(6)), "uid=0").unwrap();
        assert_eq!(made, at(9));
        assert_eq!(fs::read(restored.join("secret")).unwrap(), b"a secret");
        for file in fs::read_dir(&restored).unwrap().flatten() {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
        }
        let verdict = Reading::open(&restored).unwrap().verify(None).unwrap();
        // Two that were there, of which one was due, the copy, the purge and the restoration.
        assert_eq!((verdict.entries, verdict.purged), (5, 1));
        let left = fs::read_dir(data.path()).unwrap().flatten();
        assert!(left.into_iter().all(|file| !file.file_name().to_string_lossy().starts_with(PARTIAL)));
        append(&mut Journal::open(&restored).unwrap().0, 80);
    }

    #[test]
    fn what_an_interrupted_copy_left_is_gone_with_the_next_start_and_the_next_copy() {
        let data = TempDir::new().unwrap();
        let (left, made) = (data.path().join(format!("{PARTIAL}1")), data.path().join(format!("{PARTIAL}2")));
        let place = data.path().join("place");
        let beside = |copy: &Path| PathBuf::from(format!("{}-journal", copy.display()));
        let begin = || {
            fs::write(&left, "half").unwrap();
            fs::write(&made, "half, and going on").unwrap();
            [&left, &made].into_iter().for_each(|copy| fs::write(beside(copy), "to be taken back").unwrap());
            let made = File::open(&made).unwrap();
            made.lock().unwrap();
            made
        };
        let assert_gone = |name: &str| {
            assert!(!left.exists() && !beside(&left).exists(), "{name}");
            assert!(made.exists() && beside(&made).exists(), "{name}");
        };
        let of_another = begin();
        let mut journal = Journal::open(data.path()).unwrap().0;
        assert_gone("start");
        drop(of_another);
        let _of_another = begin();
        append(&mut journal, 5);
        backup(data.path(), &place);
        assert_gone("copy");
        // What is no file of ours stays, whatever it is called.
        let directory = data.path().join(format!("{PARTIAL}3"));
        fs::create_dir(&directory).unwrap();
        std::os::unix::fs::symlink(&place, &left).unwrap();
        remove_leftovers(data.path());
        assert!(directory.exists() && place.exists());
    }

    #[test]
    fn that_it_was_restored_is_known_until_somebody_confirms_it() {
        let [data, elsewhere] = [(); 2].map(|()| TempDir::new().unwrap());
        append(&mut Journal::open(data.path()).unwrap().0, 5);
        let (file, place) = (elsewhere.path().join("copy"), elsewhere.path().join("data"));
        backup(data.path(), &file);
        assert_eq!(Journal::open(data.path()).unwrap().0.restored(), None);
        restore((&file, File::open(&file).unwrap()), &place, (at(70), at(0)), "uid=0").unwrap();
        let mut journal = Journal::open(&place).unwrap().0;
        append(&mut journal, 80);
        assert_eq!(journal.restored(), Some(Restoration { made: 9, at: 70 }));
        let verify = || Reading::open(&place).unwrap().verify(None);
        verify().unwrap();
        // Whoever hides it in the data is found.
        let hidden = Connection::open(place.join(DATABASE)).unwrap();
        hidden.execute("DELETE FROM restored", []).unwrap();
        assert!(matches!(verify(), Err(VerifyError::Differs(Differs::Restored))), "{:?}", verify());
        hidden.execute("INSERT INTO restored VALUES (1, 9, 70)", []).unwrap();
        let confirm = |journal: &mut Journal, at_ms: u64| {
            let event = Event::RestorationConfirmed { by: "eve".into(), at_ms };
            journal.append(&[&Entry { id: EntryId(0), at: at(90), event }]).unwrap();
        };
        confirm(&mut journal, 69);
        assert!(journal.restored().is_some(), "that was another one");
        confirm(&mut journal, 70);
        assert_eq!(journal.restored(), None);
        drop(journal);
        let mut journal = Journal::open(&place).unwrap().0;
        append(&mut journal, 95);
        assert_eq!(journal.restored(), None);
        verify().unwrap();
        // What says so may be purged; that somebody knows is not forgotten with it.
        journal.purge(at(100), at(85)).unwrap();
        verify().unwrap();
        assert_eq!(Journal::open(data.path()).unwrap().0.restored(), None);
    }

    #[test]
    fn what_is_no_copy_or_no_empty_place_changes_nothing() {
        let [data, elsewhere] = [(); 2].map(|()| TempDir::new().unwrap());
        let mut journal = Journal::open(data.path()).unwrap().0;
        append(&mut journal, 5);
        let (file, place) = (elsewhere.path().join("copy"), elsewhere.path().join("data"));
        backup(data.path(), &file);
        let half = elsewhere.path().join("half");
        fs::write(&half, &fs::read(&file).unwrap()[..6000]).unwrap();
        let text = elsewhere.path().join("text");
        fs::write(&text, "no copy").unwrap();
        let other = data.path().join(DATABASE);
        for from in [&half, &text, &other] {
            let restored = restore((from, File::open(from).unwrap()), &place, (at(9), at(0)), "");
            assert!(restored.is_err(), "{}", from.display());
            assert!(!place.exists(), "{}", from.display());
        }
        let restored = restore((&file, File::open(&file).unwrap()), data.path(), (at(9), at(0)), "");
        assert!(matches!(restored, Err(JournalError::NotEmpty { .. })), "{restored:?}");
        assert!(data.path().join(DATABASE).exists());
    }
}
