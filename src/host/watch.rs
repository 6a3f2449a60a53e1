//! Notices when files change that the server uses while it runs.
//!
//! By looking at them twice a second: a notification of the system would miss a file behind a link, on a network or
//! mounted by itself. What the contents mean is the core's. Invariant: each version of a file is read until
//! that succeeds once, and what can't be read is told once.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often files are looked at.
const INTERVAL: Duration = Duration::from_millis(500);

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
#[error("can't read {}: {error}", path.display())]
pub struct FileError {
    path: PathBuf,
    error: io::Error,
}

/// A file, and the version of it that was read last.
pub struct WatchedFile {
    path: PathBuf,
    bytes_max: usize,
    /// `None` while there is no such file, or none that can be looked at.
    seen: Option<Version>,
    /// Whether it was told that the present version can't be read, which is tried again.
    is_unread: bool,
}

/// What tells versions of a file apart: a new one has another inode, or was changed at another moment.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What a watched file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The public keys of an identity provider.
    PublicKeys,
    /// The list of revoked users.
    Revoked,
    /// The certificate of HTTPS.
    Certificate,
    /// Its private key.
    CertificateKey,
    /// The user name and the password of TURN servers.
    IceCredentials,
    /// What streams and is nobody's microphone.
    Devices,
}

/// All files that are watched.
pub struct Watch {
    files: Vec<(Purpose, WatchedFile)>,
    next_look: Option<Instant>,
}

impl WatchedFile {
    /// Reads a file that must be there.
    ///
    /// # Errors
    /// [`FileError`], also for what is longer than `bytes_max` or no file.
    pub fn open(path: &Path, bytes_max: usize) -> Result<(WatchedFile, Vec<u8>), FileError> {
        let mut file = WatchedFile { path: path.to_owned(), bytes_max, seen: None, is_unread: false };
        file.seen = Some(file.version()?);
        let contents = file.read()?;
        Ok((file, contents))
    }

    /// Reads a file that may come later: it is empty until then.
    ///
    /// # Errors
    /// [`FileError`], but not for a file that is missing.
    pub fn open_or_empty(path: &Path, bytes_max: usize) -> Result<(WatchedFile, Vec<u8>), FileError> {
        match WatchedFile::open(path, bytes_max) {
            Err(FileError { error, .. }) if error.kind() == ErrorKind::NotFound => {
                Ok((WatchedFile { path: path.to_owned(), bytes_max, seen: None, is_unread: false }, Vec::new()))
            }
            opened => opened,
        }
    }

    /// Returns the contents if they may have changed since the last call.
    fn poll(&mut self) -> Option<Result<Vec<u8>, FileError>> {
        let looked = self.version();
        let version = looked.as_ref().ok().copied();
        if version == self.seen {
            return None;
        }
        let contents = looked.and_then(|_| self.read());
        // What can't be read for now, as when descriptors are exhausted, may be at the next look.
        let is_too_long = |error: &FileError| error.error.kind() == ErrorKind::FileTooLarge;
        let is_unread = version.is_some() && contents.as_ref().is_err_and(|error| !is_too_long(error));
        let was_told = mem::replace(&mut self.is_unread, is_unread);
        if is_unread {
            return (!was_told).then_some(contents);
        }
        self.seen = version;
        Some(contents)
    }

    fn version(&self) -> Result<Version, FileError> {
        let metadata = fs::metadata(&self.path).map_err(|error| self.error(error))?;
        // Opening a pipe would wait for its other end.
        if !metadata.is_file() {
            return Err(self.error(io::Error::other("it is no file")));
        }
        Ok(Version {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    fn read(&self) -> Result<Vec<u8>, FileError> {
        let mut contents = Vec::new();
        let limit = self.bytes_max as u64 + 1;
        let read = File::open(&self.path).and_then(|file| file.take(limit).read_to_end(&mut contents));
        read.map_err(|error| self.error(error))?;
        if contents.len() > self.bytes_max {
            let words = format!("it has more than {} bytes", self.bytes_max);
            return Err(self.error(io::Error::new(ErrorKind::FileTooLarge, words)));
        }
        Ok(contents)
    }

    fn error(&self, error: io::Error) -> FileError {
        FileError { path: self.path.clone(), error }
    }
}

impl Watch {
    /// Watches files that were read just now.
    pub fn new(files: Vec<(Purpose, WatchedFile)>) -> Watch {
        Watch { files, next_look: None }
    }

    /// Returns when to look; none where nothing is watched.
    pub(crate) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        (!self.files.is_empty()).then(|| self.next_look.unwrap_or(now))
    }

    /// Looks at once the next time, and takes the certificate for new whatever its files say of themselves.
    pub(crate) fn look_again(&mut self) {
        self.next_look = None;
        for (purpose, file) in &mut self.files {
            match purpose {
                Purpose::Certificate | Purpose::CertificateKey => file.seen = None,
                Purpose::PublicKeys | Purpose::Revoked | Purpose::IceCredentials | Purpose::Devices => {}
            }
        }
    }

    /// Looks, if it is time; returns what changed. What can't be read goes into the log: the old contents stay good.
    pub(crate) fn poll(&mut self, now: Instant) -> Vec<(Purpose, Vec<u8>)> {
        if self.next_look.is_some_and(|at| now < at) {
            return Vec::new();
        }
        self.next_look = Some(now + INTERVAL);
        let mut changed = Vec::new();
        for (purpose, file) in &mut self.files {
            match file.poll() {
                None => {}
                Some(Ok(contents)) => changed.push((*purpose, contents)),
                Some(Err(error)) => log::error!("{error}; what was read before stays in force"),
            }
        }
        changed
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_read_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        let (mut file, contents) = WatchedFile::open_or_empty(&path, 8).unwrap();
        assert_eq!(contents, b"");
        assert!(file.poll().is_none(), "still missing");

        fs::write(&path, "a").unwrap();
        assert_eq!(file.poll().unwrap().unwrap(), b"a");
        assert!(file.poll().is_none());

        let other = directory.path().join("other");
        fs::write(&other, "b").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(file.poll().unwrap().unwrap(), b"b", "another inode");

        fs::write(&path, "123456789").unwrap();
        assert!(file.poll().unwrap().unwrap_err().to_string().ends_with("it has more than 8 bytes"));
        assert!(file.poll().is_none(), "told once");

        fs::remove_file(&path).unwrap();
        assert!(file.poll().unwrap().is_err());
        assert!(file.poll().is_none(), "told once");

        fs::create_dir(&path).unwrap();
        assert!(file.poll().is_none(), "no file, as before");
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "12345678").unwrap();
        assert_eq!(file.poll().unwrap().unwrap(), b"12345678");
    }

    #[test]
    fn what_cannot_be_read_for_now_is_told_once_and_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        let (mut file, _) = WatchedFile::open_or_empty(&path, 8).unwrap();
        // Its first page is nobody's memory: a file by its looks, and an error to read.
        std::os::unix::fs::symlink("/proc/self/mem", &path).unwrap();
        assert!(file.poll().unwrap().is_err());
        assert!(file.poll().is_none(), "told once");
        assert!(file.seen.is_none(), "not taken for read");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a").unwrap();
        assert_eq!(file.poll().unwrap().unwrap(), b"a");
    }

    #[test]
    fn a_file_that_must_be_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        assert!(WatchedFile::open(&path, 8).is_err());
        assert!(WatchedFile::open(directory.path(), 8).is_err(), "a directory");
        assert!(WatchedFile::open_or_empty(directory.path(), 8).is_err(), "a directory");
        fs::write(&path, "a").unwrap();
        let (mut file, contents) = WatchedFile::open(&path, 8).unwrap();
        assert_eq!(contents, b"a");
        assert!(file.poll().is_none());
    }

    #[test]
    fn looks_in_its_own_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        let (file, _) = WatchedFile::open_or_empty(&path, 8).unwrap();
        let mut watch = Watch::new(vec![(Purpose::Revoked, file)]);
        let now = Instant::now();
        assert_eq!(watch.next_deadline(now), Some(now));
        assert!(watch.poll(now).is_empty());
        fs::write(&path, "a").unwrap();
        assert_eq!(watch.next_deadline(now), Some(now + INTERVAL));
        assert!(watch.poll(now + INTERVAL / 2).is_empty());
        assert_eq!(watch.poll(now + INTERVAL), [(Purpose::Revoked, b"a".to_vec())]);
        assert!(watch.poll(now + 2 * INTERVAL).is_empty());
        assert_eq!(Watch::new(vec![]).next_deadline(now), None);
    }
}
