//! Reads what a program like certbot puts into a directory for a certificate authority (RFC 8555 §8.3).
//!
//! Which names may be asked for is the core's. Invariant: what is read is a small file of the directory itself, and never
//! one that a link leads to.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// The longest file for an authority, in bytes; one has about 90.
const CHALLENGE_BYTES_MAX: u64 = 4096;

/// Where such files are, below the directory.
const CHALLENGES: &str = ".well-known/acme-challenge";

/// Returns the contents of the file with this name, which names no directory.
pub fn read_challenge(webroot: &Path, name: &str) -> Option<Vec<u8>> {
    let path = webroot.join(CHALLENGES).join(name);
    // Opening a pipe would wait for its other end; a link may lead anywhere.
    let metadata = fs::symlink_metadata(&path).ok()?;
    if !metadata.is_file() || metadata.len() > CHALLENGE_BYTES_MAX {
        return None;
    }
    let mut contents = Vec::new();
    File::open(&path).and_then(|file| file.take(CHALLENGE_BYTES_MAX).read_to_end(&mut contents)).ok()?;
    Some(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_small_files() {
        let webroot = tempfile::tempdir().unwrap();
        let folder = webroot.path().join(CHALLENGES);
        fs::create_dir_all(folder.join("folder")).unwrap();
        fs::write(webroot.path().join("secret"), "secret").unwrap();
        fs::write(folder.join("a-B_9"), "a-B_9.thumb").unwrap();
        fs::write(folder.join("longest"), vec![b'x'; 4096]).unwrap();
        fs::write(folder.join("long"), vec![b'x'; 4097]).unwrap();
        std::os::unix::fs::symlink("../../secret", folder.join("link")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap().success());
        let cases: &[(&str, Option<usize>)] = &[
            ("a-B_9", Some(11)),
            ("longest", Some(4096)),
            ("long", None),
            ("missing", None),
            ("folder", None),
            ("link", None),
            ("pipe", None),
        ];
        for (name, want) in cases {
            assert_eq!(read_challenge(webroot.path(), name).map(|contents| contents.len()), *want, "{name}");
        }
    }
}
