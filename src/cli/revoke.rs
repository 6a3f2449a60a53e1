//! Refuses every token that one user has now.
//!
//! Not the ending of their connections, which a running server does by itself. Invariant: no line of the list is lost.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use ecoute::audit::DeedKind;
use ecoute::host::journal::JournalError;
use ecoute::host::logging;
use ecoute::host::rewrite::rewrite;
use ecoute::host::watch::WatchedFile;
use ecoute::token::{self, REVOKED_BYTES_MAX, Revoked};
use nix::unistd::geteuid;

use super::deeds::{hand_in, not_written, who};
use super::error::ProgramError;
use super::options::RevokeOptions;
use super::{LOG_OF_COMMANDS, unix_s};

/// The list of revoked users, in the data directory.
const REVOKED_FILE: &str = "revoked";

/// Puts a user on the list, which a running server notices by itself.
pub fn revoke(options: &RevokeOptions) -> Result<(), ProgramError> {
    logging::start(LOG_OF_COMMANDS)?;
    let (id, unix_s, by, user) = (&options.id, unix_s(), who(), geteuid());
    rewrite(&options.data.data, REVOKED_FILE, |list| Revoked::add(list, id, unix_s))?;
    // Where it went on as somebody else, that was in the directory.
    let data = if geteuid() == user { options.data.data.clone() } else { PathBuf::from(".") };
    // Nobody keeps their access because a disk is full.
    match hand_in(&data, DeedKind::Revoked, &by, id, "") {
        // No server has been here yet.
        Ok(()) | Err(JournalError::Missing { .. }) => {}
        Err(error) => not_written(&error),
    }
    let at = logging::timestamp(UNIX_EPOCH + Duration::from_secs(unix_s));
    writeln!(
        io::stdout(),
        "Revoked {id} at {at}: every token that they have is refused, and a running server ends their connections within \
         a second. Links and tokens that you make from now on work; those of another program only {} s later.",
        token::SKEW_S + 1
    )?;
    Ok(())
}

/// Reads the list of revoked users; until somebody is revoked there is none.
pub fn load(data: &Path) -> Result<(WatchedFile, Revoked), ProgramError> {
    let path = data.join(REVOKED_FILE);
    let (file, contents) =
        WatchedFile::open_or_empty(&path, REVOKED_BYTES_MAX).map_err(ProgramError::RevokedUnreadable)?;
    Ok((file, Revoked::parse(&contents)?))
}
