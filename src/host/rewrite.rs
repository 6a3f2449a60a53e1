//! Changes a file of the data directory as a whole, beside others that change it at the same time.
//!
//! Invariant: who reads the file finds all of an old version or all of a new one, and no change is lost.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::owner;

/// For how long another one may have the directory, in turns of [`LOCK_TURN`]: whoever owns it can keep it for ever.
const LOCK_TURNS_MAX: usize = 250;

/// How often it is asked for.
const LOCK_TURN: Duration = Duration::from_millis(20);

/// Why a file was left as it was.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError<E: std::error::Error> {
    #[error("no data directory at {}: name the one of the server with --data", path.display())]
    NoDirectory { path: PathBuf },
    #[error("can't change {}: {error}", path.display())]
    Failed { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Refused(E),
}

/// Replaces the contents of a file in `directory` by what `edit` makes of them; one that is missing is empty. The new
/// file has mode 0600 and belongs to whom the directory belongs: root becomes that user for good.
///
/// # Errors
/// [`RewriteError`]; the file is as it was then.
pub fn rewrite<E: std::error::Error>(
    directory: &Path,
    name: &str,
    edit: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<(), RewriteError<E>> {
    // As who asked for it knows it.
    let shown = directory.join(name);
    let directory = &owner::enter(directory).map_err(|error| match error.kind() {
        ErrorKind::NotFound => RewriteError::NoDirectory { path: directory.to_owned() },
        _ => RewriteError::Failed { path: directory.to_owned(), error },
    })?;
    let path = directory.join(name);
    let failed = |error| RewriteError::Failed { path: shown.clone(), error };
    // The directory is what all who change the file have in common: the file itself is another one each time.
    let lock = File::open(directory).map_err(|error| match error.kind() {
        ErrorKind::NotFound => RewriteError::NoDirectory { path: directory.to_owned() },
        _ => failed(error),
    })?;
    take(&lock).map_err(failed)?;
    let mut before = Vec::new();
    match owner::open_own(&lock, &path).and_then(|mut file| file.read_to_end(&mut before)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        read => drop(read.map_err(failed)?),
    }
    let after = edit(&before).map_err(RewriteError::Refused)?;
    replace(&lock, &directory.join(format!(".{name}-new")), &path, &after).map_err(failed)
}

/// Waits for the directory, but not for ever.
#[expect(clippy::disallowed_methods, reason = "a command waits, and no loop")]
fn take(lock: &File) -> io::Result<()> {
    for _ in 0..LOCK_TURNS_MAX {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_TURN),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::new(ErrorKind::WouldBlock, "another program keeps its directory locked"))
}

fn replace(directory: &File, temporary: &Path, path: &Path, contents: &[u8]) -> io::Result<()> {
    // One that was left by a crash has no owner: the lock is ours.
    if let Err(error) = fs::remove_file(temporary)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error);
    }
    let written = write_and_rename(directory, temporary, path, contents);
    if written.is_err() {
        // Half a list on a full disk helps nobody.
        let _ = fs::remove_file(temporary);
    }
    written
}

fn write_and_rename(directory: &File, temporary: &Path, path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    directory.sync_all()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn append(directory: &Path, line: &'static str) -> Result<(), RewriteError<Infallible>> {
        rewrite(directory, "list", |before| Ok([before, line.as_bytes()].concat()))
    }

    #[test]
    fn whole_private_and_without_rests() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        fs::write(directory.path().join(".list-new"), "left by a crash").unwrap();
        append(directory.path(), "a\n").unwrap();
        append(directory.path(), "b\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a\nb\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_of_the_directory_is_not_read() {
        let (directory, outside) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        fs::write(outside.path(), "of another").unwrap();
        std::os::unix::fs::symlink(outside.path(), directory.path().join("list")).unwrap();
        assert!(matches!(append(directory.path(), "a"), Err(RewriteError::Failed { .. })));
        assert_eq!(fs::read(outside.path()).unwrap(), b"of another");
        assert!(fs::symlink_metadata(directory.path().join("list")).unwrap().is_symlink());
    }

    #[test]
    fn a_refused_change_leaves_the_file() {
        let directory = tempfile::tempdir().unwrap();
        append(directory.path(), "a\n").unwrap();
        let refused = rewrite(directory.path(), "list", |_| Err(io::Error::other("no")));
        assert!(matches!(refused, Err(RewriteError::Refused(_))));
        assert_eq!(fs::read(directory.path().join("list")).unwrap(), b"a\n");
        let missing = directory.path().join("missing");
        assert!(matches!(append(&missing, "a"), Err(RewriteError::NoDirectory { .. })));
        fs::remove_file(directory.path().join("list")).unwrap();
        fs::create_dir(directory.path().join("list")).unwrap();
        assert!(matches!(append(directory.path(), "a"), Err(RewriteError::Failed { .. })));
    }
}
