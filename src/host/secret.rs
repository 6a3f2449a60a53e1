//! Keeps the token secret in a file of the data directory.
//!
//! The file is text, so that it can be shared with what mints tokens elsewhere: the key is its bytes without the
//! line end. One that can be guessed is none (RFC 8725 §3.5). Invariant: a file that we make is complete and has mode 0600
//! from the moment it has its final name.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::libc::O_NONBLOCK;

use crate::config::SECRET_BYTES_MIN;

/// How much randomness goes into a new secret; it is written in hexadecimal.
const SECRET_RANDOM_BYTES: usize = 32;

/// A longer file is something else, named by mistake.
const SECRET_BYTES_MAX: usize = 4096;

/// What is guessed sooner is no secret, in bits: far below what chance gives to 32 bytes, far above what is typed for a
/// test.
const SECRET_BITS_MIN: f64 = 64.0;

/// Words of examples and defaults, as letters alone: nobody finds one in what chance has made.
const PLACEHOLDERS: [&str; 21] = [
    "changeme",
    "changethis",
    "changeit",
    "replaceme",
    "replacethis",
    "replacewith",
    "placeholder",
    "yoursecret",
    "yourownsecret",
    "yourjwtsecret",
    "yourkeyhere",
    "secrethere",
    "insertyour",
    "examplesecret",
    "secretexample",
    "mysecret",
    "supersecret",
    "astringsecret",
    "thisisasecret",
    "notasecret",
    "reallyreally",
];

/// Why bytes are no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Guessable {
    #[error("is text in UTF-16: write it in UTF-8")]
    Utf16,
    #[error("begins with a byte order mark, which other programs leave out: write it without one")]
    ByteOrderMark,
    #[error("is the placeholder of an example, which everybody knows")]
    Placeholder,
    #[error("holds a pattern and no chance")]
    Pattern,
}

/// Why there is no secret to sign tokens with.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("can't read the secret {}: {error}; make it readable or name another with --secret-file",
        path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("no secret at {}: start the server once to make it, or name its place with --data or --secret-file",
        path.display())]
    Missing { path: PathBuf },
    #[error(
        "--secret-file names no file, and looks like the secret itself: write that into a file, and name the file"
    )]
    Itself,
    #[error("the secret {} has {bytes} bytes, fewer than {SECRET_BYTES_MIN}: replace it with a longer one, or \
        remove it and a new one is made", path.display())]
    TooShort { path: PathBuf, bytes: usize },
    #[error("the secret {} {why}: replace it with what `openssl rand -hex 32` prints, or remove it and a new one is made; all \
        links end", path.display())]
    Guessable { path: PathBuf, why: Guessable },
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
/// All of [`SecretError`] but [`SecretError::Missing`]; nothing is made where the secret itself was given as its path.
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
/// [`SecretError::Missing`], [`SecretError::Unreadable`], a length out of range, or [`SecretError::Guessable`].
pub fn load(path: &Path) -> Result<Vec<u8>, SecretError> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound if is_secret_itself(path) => SecretError::Itself,
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
    if let Some(why) = judge(&secret) {
        return Err(SecretError::Guessable { path: path.to_owned(), why });
    }
    if secret.trim_ascii().len() < secret.len() {
        log::warn!(
            "the secret has spaces around it, which count here and not in every program: path={}",
            path.display()
        );
    }
    if mode & 0o007 != 0 {
        log::warn!("everyone on this machine can read the secret, use chmod 600: path={}", path.display());
    }
    Ok(secret)
}

/// Tells whether somebody gave the secret in place of its file, as a variable invites to; it is not to be shown. Base64
/// has slashes too, between which chance puts all kinds of letters.
fn is_secret_itself(path: &Path) -> bool {
    let text = path.as_os_str().as_bytes();
    let is_base64 = text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte));
    let has_all: [fn(&u8) -> bool; 3] = [u8::is_ascii_uppercase, u8::is_ascii_lowercase, u8::is_ascii_digit];
    let is_mixed = has_all.into_iter().all(|is_of_kind| text.iter().any(is_of_kind));
    let has_no_place = path.parent().is_some_and(|parent| !parent.exists());
    let is_name = path.components().count() == 1 && path.extension().is_none();
    text.len() >= SECRET_BYTES_MIN && (is_name || (is_base64 && is_mixed && has_no_place))
}

/// Returns why bytes can be guessed, if they can: what people really put into the file. No test finds every bad secret;
/// what chance has made passes all of them.
fn judge(secret: &[u8]) -> Option<Guessable> {
    let nuls = secret.iter().filter(|&&byte| byte == 0).count();
    if (secret.starts_with(b"\xff\xfe") || secret.starts_with(b"\xfe\xff")) && nuls * 3 > secret.len() {
        return Some(Guessable::Utf16);
    }
    if secret.starts_with(b"\xef\xbb\xbf") {
        return Some(Guessable::ByteOrderMark);
    }
    let letters: String = secret
        .iter()
        .filter(|byte| byte.is_ascii_alphabetic())
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect();
    if PLACEHOLDERS.iter().any(|word| letters.contains(word)) && !has_random_part(secret) {
        return Some(Guessable::Placeholder);
    }
    is_pattern(secret).then_some(Guessable::Pattern)
}

/// Tells whether too little of bytes is left where what is repeated counts once; what counts up is a repeated step.
fn is_pattern(bytes: &[u8]) -> bool {
    let steps: Vec<u8> = bytes.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    bits_of(once(bytes)).min(bits_of(once(&steps))) < SECRET_BITS_MIN
}

/// Tells whether something long stands beside the words that chance has made, as in `mysecret-9f2c…`.
fn has_random_part(secret: &[u8]) -> bool {
    let digits = |part: &[u8]| part.iter().filter(|byte| byte.is_ascii_digit()).count();
    let mut parts = secret.split(|byte| !byte.is_ascii_alphanumeric());
    parts.any(|part| part.len() >= SECRET_BYTES_MIN && digits(part) >= part.len() / 16 && !is_pattern(part))
}

/// Returns the shortest beginning whose repetition is the whole.
fn once(bytes: &[u8]) -> &[u8] {
    let is_period = |&period: &usize| bytes.iter().zip(&bytes[period..]).all(|(one, other)| one == other);
    &bytes[..(1..bytes.len()).find(is_period).unwrap_or(bytes.len())]
}

/// Returns how many bits bytes of such a mixture hold at most, if chance chose each (Shannon).
fn bits_of(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    bytes.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
    let len = bytes.len() as f64;
    counts
        .into_iter()
        .filter(|&count| count > 0)
        .map(|count| f64::from(count) * (len / f64::from(count)).log2())
        .sum()
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
            ("shortest", chance(32), Ok(32)),
            ("with a line end", [chance(32), b"\r\n".to_vec()].concat(), Ok(32)),
            ("longest", chance(4096), Ok(4096)),
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

    /// Hexadecimal digits, by a generator whose seed is fixed.
    fn chance(len: usize) -> Vec<u8> {
        let mut state = 7_u32;
        let mut digit = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b"0123456789abcdef"[(state >> 28) as usize]
        };
        (0..len).map(|_| digit()).collect()
    }

    #[test]
    fn what_can_be_guessed_is_no_secret() {
        use Guessable::{ByteOrderMark, Pattern, Placeholder, Utf16};
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let hex = "9f2c4e81b7d0635a9f8e12c4d7b60a3528e1f94c6d7b3a0518f2e9c4a7d6b013";
        let cases: &[(&str, Vec<u8>, Option<Guessable>)] = &[
            ("openssl rand -hex 32", hex.into(), None),
            ("openssl rand -hex 16", hex[..32].into(), None),
            ("openssl rand -base64 32", b"n5zC0dVZ3WqQvQ1pJm4E8yq9t0b1sYw6yUO6zFh2Q1A=".to_vec(), None),
            ("a UUID", b"0c1b2c51-8f3d-4e0a-9a5e-3b6f2d7c8e90".to_vec(), None),
            ("decimal digits", b"31415926535897932384626433832795".to_vec(), None),
            (
                "raw bytes with NULs and line ends",
                [b"\0\n\0".to_vec(), (0..32_u8).map(|n| n.wrapping_mul(n).wrapping_mul(167) ^ (n << 3)).collect()]
                    .concat(),
                None,
            ),
            ("words", b"correct horse battery staple, and then some".to_vec(), None),
            ("hex in UTF-16 without a mark", wide(&hex[..32]), None),
            ("NULs", vec![0; 32], Some(Pattern)),
            ("one byte", vec![b'x'; 64], Some(Pattern)),
            ("two bytes", b"01".repeat(64), Some(Pattern)),
            ("a word again and again", b"password".repeat(8), Some(Pattern)),
            ("a word again, cut", b"hunter2hunter2hunter2hunter2hunter2hu".to_vec(), Some(Pattern)),
            ("one byte, and then another", [vec![b'a'; 31], vec![b'b']].concat(), Some(Pattern)),
            ("digits in order", b"12345678901234567890123456789012".to_vec(), Some(Pattern)),
            ("hex digits in order", b"0123456789abcdef0123456789abcdef".to_vec(), Some(Pattern)),
            ("the alphabet", b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".to_vec(), Some(Pattern)),
            ("bytes in order", (0..=255).collect(), Some(Pattern)),
            ("change-me", b"change-me-change-me-change-me-change-me".to_vec(), Some(Placeholder)),
            ("CHANGE_ME", b"CHANGE_ME_to_32_bytes_of_your_own!!".to_vec(), Some(Placeholder)),
            ("a well-known default", b"!ChangeThisMercureHubJWTSecretKey!".to_vec(), Some(Placeholder)),
            ("another", b"super-secret-jwt-token-with-at-least-32-characters-long".to_vec(), Some(Placeholder)),
            ("a third", b"a-string-secret-at-least-256-bits-long".to_vec(), Some(Placeholder)),
            ("a word and hex", format!("mysecret-changeme-{hex}").into(), None),
            ("a word and what counts", b"changeme-01234567890123456789012345678901".to_vec(), Some(Placeholder)),
            ("<your-secret>", b"<your-secret-of-at-least-32-bytes>".to_vec(), Some(Placeholder)),
            ("a mark and hex", format!("\u{feff}{hex}").into(), Some(ByteOrderMark)),
            ("PowerShell's >", [vec![0xff, 0xfe], wide(hex)].concat(), Some(Utf16)),
        ];
        for (name, secret, want) in cases {
            assert_eq!(judge(secret), *want, "{name}");
        }
        // What chance makes passes, of whichever alphabet.
        let mut state = 1_u64;
        for round in 0..20_000 {
            let mut byte = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            };
            let alphabet: &[u8] =
                [&b"0123456789"[..], b"0123456789abcdef", b"abcdefghijklmnopqrstuvwxyz"][round % 3];
            let made: Vec<u8> = match round % 4 {
                0 => (0..32).map(|_| byte()).collect(),
                _ => (0..32).map(|_| alphabet[usize::from(byte()) % alphabet.len()]).collect(),
            };
            assert_eq!(judge(&made), None, "{made:?}");
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
