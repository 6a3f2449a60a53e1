//! Writes the manual pages: what `--help` says, for `man`.
//!
//! Invariant: nothing stands in them that the options do not say of themselves.

use clap::CommandFactory;

use super::error::ProgramError;
use super::options::{CommandLine, ManualOptions};

/// Writes a page for the program and one for each command.
pub fn write(options: ManualOptions) -> Result<(), ProgramError> {
    let ManualOptions { dir } = options;
    // There is no page for what prints help.
    let command = CommandLine::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, &dir).map_err(|error| ProgramError::Manual { path: dir, error })
}
