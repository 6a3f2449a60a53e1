//! Who does something here, and that it is written down.
//!
//! Invariant: what is handed in stands in the data directory as its owner's, whoever the command is run by.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ecoute::audit::{Deed, DeedKind};
use ecoute::host::journal::{self, JournalError};
use ecoute::host::owner;
use nix::unistd::{User, getuid};

use super::error::ProgramError;
use super::print_error;

/// Returns who runs the command, as the system knows them, and for whom root says that it is; to be asked before a directory
/// is entered.
pub fn who() -> String {
    let uid = getuid();
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name).unwrap_or_default();
    let of = std::env::var("SUDO_USER").ok().filter(|_| uid.is_root());
    format!("uid={uid} user={name}{}", of.map(|of| format!(" for={of}")).unwrap_or_default())
}

/// Goes on as the owner of a data directory: root leaves nothing of its own there.
pub fn enter(data: &Path) -> Result<PathBuf, ProgramError> {
    let shown = data.display().to_string();
    owner::enter(data).map_err(|error| ProgramError::NoDirectory { path: shown.into(), error })
}

/// Has it written down what is about to be done.
///
/// # Errors
/// [`JournalError`]; it is not to be done then.
pub fn hand_in(data: &Path, kind: DeedKind, by: &str, person: &str, detail: &str) -> Result<(), JournalError> {
    let deed = Deed { kind, by: by.to_owned(), person: person.to_owned(), detail: detail.to_owned() };
    journal::hand_in(data, now(), &deed)
}

/// Says that something is done and not written down.
pub fn not_written(error: &JournalError) {
    print_error(&format!("it is not written down: {error}"));
}

#[expect(clippy::disallowed_methods, reason = "what is written down says when it was")]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// Returns that in Unix milliseconds.
pub fn now_ms() -> u64 {
    now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
