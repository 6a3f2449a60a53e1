//! Lets root work in a directory of somebody else as that somebody, and opens files there that may be anything.
//!
//! Whoever owns a directory chooses what its names lead to, and changes it at any moment. Root that writes there writes
//! wherever the owner likes, reads what the owner may not, and waits at a pipe for ever. Invariant: once a directory is
//! entered, the process can do no more than its owner, and goes back to being root never.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use nix::unistd::{Gid, Uid, geteuid, setgid, setgroups, setuid};

/// Becomes the owner of a directory for good, if the process is root's and the directory is not. Returns the path by which
/// the directory is found from then on: its own may lead through directories that only root may pass.
///
/// # Errors
/// What the system says; of a directory that is missing, too.
pub fn enter(directory: &Path) -> io::Result<PathBuf> {
    if !geteuid().is_root() || fs::metadata(directory)?.uid() == 0 {
        return Ok(directory.to_owned());
    }
    std::env::set_current_dir(directory)?;
    // Of the directory that was entered, whatever its name leads to by now.
    let owner = fs::metadata(".")?;
    let (user, group) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
    if !user.is_root() {
        setgroups(&[group])?;
        setgid(group)?;
        setuid(user)?;
    }
    Ok(PathBuf::from("."))
}

/// Opens a file to read, and nothing else: neither what a link leads to, nor a pipe, nor one of a third person.
///
/// # Errors
/// What the system says, or that it is none.
pub fn open_own(directory: &File, path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if found.uid() != 0 && found.uid() != directory.metadata()?.uid() {
        return Err(io::Error::other("it belongs to somebody else than its directory"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn opens_files_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let directory = File::open(place.path()).unwrap();
        let [file, link, socket, foreign] =
            ["file", "link", "socket", "foreign"].map(|name| place.path().join(name));
        fs::write(&file, "x").unwrap();
        symlink(&file, &link).unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        fs::write(&foreign, "x").unwrap();
        let is_root = chown(&foreign, Some(64_123), None).is_ok();
        let open = |path: &Path| open_own(&directory, path).map(drop).is_ok();
        assert!(open(&file));
        assert!(!open(&link) && !open(&socket) && !open(place.path()));
        assert_eq!(open(&foreign), !is_root);
    }
}
