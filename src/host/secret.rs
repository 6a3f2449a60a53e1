//! Keeps the token secret in a file of the data directory.
//!
//! The file is text, so that it can be shared with what mints tokens elsewhere: the key is its bytes without the
//! line end. Invariant: a file that we make is complete and has mode 0600 from the moment it has its final name.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::libc::O_NONBLOCK;

use crate::config::SECRET_BYTES_MIN;

/// How much randomness goes into a new secret; it is written in hexadecimal.
const SECRET_RANDOM_BYTES: usize = 32;

/// A longer file is something else, named by mistake.
const SECRET_BYTES_MAX: usize = 4096;

/// Why there is no secret to sign tokens with.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("can't read the secret {}: {error}; make it readable or name another with --secret-file",
        path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("no secret at {}: start the server once to make it, or name its place with --data or --secret-file",
        path.display())]
    Missing { path: PathBuf },
    #[error("the secret {} has {bytes} bytes, fewer than {SECRET_BYTES_MIN}: replace it with a longer one, or \
        remove it and a new one is made", path.display())]
    TooShort { path: PathBuf, bytes: usize },
    #[error("the secret {} has more than {SECRET_BYTES_MAX} bytes: name the right file with --secret-file",
        path.display())]
    TooLong { path: PathBuf },
    #[error("can't make the secret {}: {error}; make its directory writable or choose another with --data or \
        --secret-file", path.display())]
    NotMade { path: PathBuf, error: io::Error },
    #[error("can't write to the data directory {}: {error}; make it writable or choose another with --data",
        path.display())]
    DataNotWritable { path: PathBuf, error: io::Error },
    #[error("the system gives no random numbers: {0}")]
    NoRandomness(getrandom::Error),
}

/// Makes the data directory with mode 0700 where it is missing, and tries whether it can be written to.
///
/// # Errors
/// [`SecretError::DataNotWritable`].
pub fn prepare_data_directory(path: &Path) -> Result<(), SecretError> {
    let attempt = || -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let probe = path.join(format!(".writable-{}", std::process::id()));
        File::create(&probe)?;
        fs::remove_file(&probe)
    };
    attempt().map_err(|error| SecretError::DataNotWritable { path: path.to_owned(), error })
}

/// Returns the secret, and makes it first where the file is missing.
///
/// # Errors
/// All of [`SecretError`] but [`SecretError::Missing`].
pub fn load_or_make(path: &Path) -> Result<Vec<u8>, SecretError> {
    match load(path) {
        Err(SecretError::Missing { .. }) => {
            let made: [u8; SECRET_RANDOM_BYTES] = random()?;
            write_new(path, hexadecimal(&made).as_bytes())
                .map_err(|error| SecretError::NotMade { path: path.to_owned(), error })?;
            // Read back: another process may have been faster, and then its secret is the one that counts.
            load(path)
        }
        loaded => loaded,
    }
}

/// Returns the secret that a server made before.
///
/// # Errors
/// [`SecretError::Missing`], [`SecretError::Unreadable`], or a length out of range.
pub fn load(path: &Path) -> Result<Vec<u8>, SecretError> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => SecretError::Missing { path: path.to_owned() },
        _ => SecretError::Unreadable { path: path.to_owned(), error },
    };
    // A pipe would be waited for. A link may lead to where secrets are mounted.
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err(unreadable(io::Error::other("it is no file")));
    }
    let mode = found.permissions().mode();
    let mut secret = Vec::new();
    file.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut secret).map_err(unreadable)?;
    if secret.len() > SECRET_BYTES_MAX {
        return Err(SecretError::TooLong { path: path.to_owned() });
    }
    while secret.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        secret.pop();
    }
    if secret.len() < SECRET_BYTES_MIN {
        return Err(SecretError::TooShort { path: path.to_owned(), bytes: secret.len() });
    }
    if mode & 0o007 != 0 {
        log::warn!("everyone on this machine can read the secret, use chmod 600: path={}", path.display());
    }
    Ok(secret)
}

/// Returns random bytes of the operating system.
///
/// # Errors
/// [`SecretError::NoRandomness`].
pub fn random<const N: usize>() -> Result<[u8; N], SecretError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(SecretError::NoRandomness)?;
    Ok(bytes)
}

/// Writes under another name and gives the final one only to the complete file; one that exists by then stays.
pub(super) fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    let suffix: [u8; 8] = random().map_err(io::Error::other)?;
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    let temporary = directory.join(format!(".secret-{}", hexadecimal(&suffix)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(contents).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all());
    let named = written.and_then(|()| match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // Some file systems have no links; a rename is as complete, but could replace a file made just now.
        Err(_) => fs::rename(&temporary, path),
        Ok(()) => Ok(()),
    });
    // After a rename there is nothing to remove, after a failure what matters is the first error.
    let _ = fs::remove_file(&temporary);
    named?;
    File::open(directory)?.sync_all()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_with_mode_0600_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        assert!(matches!(load(&path), Err(SecretError::Missing { .. })));

        let made = load_or_make(&path).unwrap();
        assert_eq!(made.len(), 2 * SECRET_RANDOM_BYTES);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(load_or_make(&path).unwrap(), made);
        assert_eq!(load(&path).unwrap(), made);
        let left: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["secret"]);

        let other = directory.path().join("other");
        assert_ne!(load_or_make(&other).unwrap(), made);
    }

    #[test]
    fn a_secret_made_meanwhile_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, "first").unwrap();
        write_new(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first");
    }

    #[test]
    fn load_judges_the_length() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let cases: &[(&str, Vec<u8>, Result<usize, &str>)] = &[
            ("empty", vec![], Err("has 0 bytes")),
            ("one too short", vec![b'x'; 31], Err("has 31 bytes")),
            ("line end does not count", [vec![b'x'; 31], vec![b'\n']].concat(), Err("has 31 bytes")),
            ("shortest", vec![b'x'; 32], Ok(32)),
            ("with a line end", [vec![b'x'; 32], b"\r\n".to_vec()].concat(), Ok(32)),
            ("longest", vec![b'x'; 4096], Ok(4096)),
            ("too long", vec![b'x'; 4097], Err("more than 4096 bytes")),
        ];
        for (name, contents, want) in cases {
            fs::write(&path, contents).unwrap();
            match (load(&path), want) {
                (Ok(secret), Ok(length)) => assert_eq!(secret.len(), *length, "{name}"),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{name}: {error}"),
                (got, _) => panic!("{name}: {got:?}"),
            }
        }
    }

    #[test]
    fn what_can_not_be_read_or_made_is_told_in_one_line() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing").join("secret");
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let below_a_file = file.join("data");
        let cases = [
            ("a directory", load(directory.path()).unwrap_err(), "can't read the secret"),
            ("no directory", load_or_make(&missing).unwrap_err(), "can't make the secret"),
            ("data below a file", prepare_data_directory(&below_a_file).unwrap_err(), "can't write to the data"),
        ];
        for (name, error, part) in cases {
            let text = error.to_string();
            assert!(text.starts_with(part) && !text.contains('\n') && !text.contains("  "), "{name}: {text}");
        }
    }

    #[test]
    fn data_directory_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("a").join("b");
        prepare_data_directory(&data).unwrap();
        prepare_data_directory(&data).unwrap();
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
    }
}
