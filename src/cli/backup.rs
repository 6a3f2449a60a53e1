//! Copies all that the server keeps to one file, and makes a data directory of one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use ecoute::host::journal::{KEPT, back_up, restore as restore_to};
use ecoute::host::logging;

use super::deeds::{enter, now, who};
use super::error::ProgramError;
use super::options::BackupOptions;

/// Copies, beside a server that runs.
pub fn back_up_to(options: &BackupOptions) -> Result<(), ProgramError> {
    let (by, path) = (who(), &options.file);
    // Of whoever runs the command, and before it goes on as somebody else.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = file.map_err(|error| ProgramError::FileUnwritable { path: path.clone(), error })?;
    let (absolute, file_of) = (fs::canonicalize(path).unwrap_or_else(|_| path.clone()), file);
    let copied = enter(&options.data.data).and_then(|data| Ok(back_up(&data, now(), &by, file_of)?));
    if let Err(error) = copied {
        // Half a copy is none; it stays where only its maker may take it away.
        let _ = fs::remove_file(absolute);
        return Err(error);
    }
    writeln!(
        io::stdout(),
        "Copied all to {}: whoever has it can make tokens and read the journal.",
        path.display()
    )?;
    Ok(())
}

/// Makes a data directory of a copy.
pub fn restore(options: &BackupOptions) -> Result<(), ProgramError> {
    let by = who();
    let data = &options.data.data;
    let file = File::open(&options.file);
    let file = file.map_err(|error| ProgramError::FileUnreadable { path: options.file.clone(), error })?;
    let entered = if data.exists() { enter(data)? } else { data.clone() };
    let made = restore_to((&options.file, file), &entered, (now(), now() - KEPT), &by)?;
    writeln!(
        io::stdout(),
        "Restored {} as it was at {}. What happened since is not in its journal; what was purged of a person since is in it \
         again: purge it anew.",
        data.display(),
        logging::timestamp(made)
    )?;
    Ok(())
}
