//! What people type: command line and environment → one command, and what the process ends with.
//!
//! `options` says what may be asked for; each command has its own file. Exit codes: 0 after a shutdown that was asked
//! for, 1 where the system failed a running server, 2 for what the person who starts it can put right. Invariant:
//! tokens and links go to a terminal, or to who asked for one; never to a log.

mod audit;
mod backup;
mod deeds;
mod doctor;
mod error;
mod link;
mod manual;
mod options;
mod person;
mod report;
mod revoke;
mod serve;
mod token;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::error::ErrorKind;
use ecoute::host::logging;
use ecoute::shell::{hold_hangups, release_hangups};

use options::{Command, CommandLine};

/// What commands that are no server say on stderr besides their error: what is wrong with a file.
const LOG_OF_COMMANDS: &str = "error";

/// Does what the command line says; returns what the process ends with.
pub fn run() -> ExitCode {
    hold_hangups();
    let _log = logging::FlushAtEnd;
    let command = match CommandLine::read() {
        Err(error) => return explain_usage(&error),
        Ok(CommandLine { command, serve }) => command.unwrap_or_else(|| Command::Serve(Box::new(serve))),
    };
    if !matches!(command, Command::Serve(_)) {
        release_hangups();
    }
    let result = match command {
        Command::Serve(options) => serve::serve(*options),
        Command::Token(options) => token::print(options),
        Command::Link(options) => link::print(options),
        Command::Revoke(options) => revoke::revoke(&options),
        Command::Audit { command } => audit::run(command),
        Command::Export(options) => person::export(&options),
        Command::Report(options) => report::print(&options),
        Command::Purge(options) => person::purge(&options),
        Command::Backup(options) => backup::back_up_to(&options),
        Command::Restore(options) => backup::restore(&options),
        Command::Doctor(options) => doctor::examine(&options),
        Command::Manual(options) => manual::write(options),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    print_error(&error.to_string());
    error.exit_code()
}

/// Lets clap speak, but keeps a value that is out of range to one line.
fn explain_usage(error: &clap::Error) -> ExitCode {
    if error.kind() == ErrorKind::ValueValidation {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        print_error(line.strip_prefix("error: ").unwrap_or(line));
        return ExitCode::from(2);
    }
    // Nobody reads what can't be printed.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

fn print_error(text: &str) {
    logging::print(format!("ecoute: {text}"));
}

#[expect(clippy::disallowed_methods, reason = "tokens and revocations say when they were made")]
fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
