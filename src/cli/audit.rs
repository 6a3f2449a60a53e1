//! Shows, exports and verifies the journal, of a server that runs or not.
//!
//! Who is shown entries is written down first. Invariant: what is wrong with a journal is named with the first entry that it is wrong
//! with, and ends the process with 1.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use ecoute::audit::DeedKind;
use ecoute::history::cell;
use ecoute::host::journal::{JournalError, Reading, VerifyError, Wanted};
use ecoute::host::logging;
use ecoute::journal::{LINE_BYTES_MAX, Line, NOTE_BYTES_MAX, Numbers, Statement, Verdict, Verifier, VerifyKey};

use super::deeds::{enter, hand_in, not_written, who};
use super::error::ProgramError;
use super::options::{AuditCommand, ExportFormat, ExportOptions, ShowOptions, SpanOptions, VerifyOptions};

/// What can be seen of an entry in a table, in this order.
const COLUMNS: [&str; 14] = [
    "at",
    "event",
    "actor",
    "commercial_id",
    "listening",
    "admin_name",
    "reason",
    "looks_like",
    "detail",
    "why",
    "told",
    "heard",
    "times",
    "device",
];

/// Does what is asked of the journal.
pub fn run(command: AuditCommand) -> Result<(), ProgramError> {
    match command {
        AuditCommand::Verify(options) => verify(&options),
        AuditCommand::Show(options) => show(&options),
        AuditCommand::Export(options) => export(&options),
    }
}

/// Opens the journal as the one whose it is.
fn open(data: &Path) -> Result<Reading, ProgramError> {
    Ok(Reading::open(&enter(data)?)?)
}

/// Opens the journal for somebody who is shown what is in it, and has that written down.
fn open_to_show(data: &Path, kind: DeedKind, person: &str, span: &SpanOptions) -> Result<Reading, ProgramError> {
    let by = who();
    let data = enter(data)?;
    let at = |ms: Option<u64>| ms.map(|ms| logging::timestamp(UNIX_EPOCH + Duration::from_millis(ms)));
    let detail = format!("from={} to={}", at(span.from).unwrap_or_default(), at(span.to).unwrap_or_default());
    match hand_in(&data, kind, &by, person, &detail) {
        // Whoever looks why nothing can be written has to see something.
        Err(
            error @ (JournalError::Unavailable { .. } | JournalError::NoKey { .. } | JournalError::BadKey { .. }),
        ) if kind == DeedKind::Shown => not_written(&error),
        handed_in => handed_in?,
    }
    Ok(Reading::open(&data)?)
}

fn verify(options: &VerifyOptions) -> Result<(), ProgramError> {
    let note = options.checkpoint.as_deref().map(read_note).transpose()?;
    match &options.file {
        None => {
            let journal = open(&options.data.data)?;
            let verdict = journal.verify(note.as_deref())?;
            print(verdict, journal.key(), "")
        }
        Some(file) => verify_export(file, &options.data.data, note.as_deref()),
    }
}

fn print(verdict: Verdict, key: Option<&VerifyKey>, whose: &str) -> Result<(), ProgramError> {
    let Verdict { entries, purged, purged_earlier, purged_unsaid, signed } = verdict;
    let key = key.map(VerifyKey::to_string).unwrap_or_default();
    let some = |name: &str, count: u64| if count > 0 { format!(" {name}={count}") } else { String::new() };
    let (earlier, unsaid) = (some("purged_earlier", purged_earlier), some("purged_unsaid", purged_unsaid));
    writeln!(
        io::stdout(),
        "good: entries={entries} purged={purged}{earlier}{unsaid} signed_up_to={signed} key={key}{whose}"
    )?;
    Ok(())
}

fn read_note(path: &Path) -> Result<String, ProgramError> {
    let read = || {
        let mut note = String::new();
        File::open(path)?.take(NOTE_BYTES_MAX as u64 + 1).read_to_string(&mut note)?;
        Ok(note)
    };
    read().map_err(|error| ProgramError::FileUnreadable { path: path.to_owned(), error })
}

/// Verifies an export with the key of the data directory, where there is a journal, and otherwise with the one that it names.
fn verify_export(file: &Path, data: &Path, note: Option<&str>) -> Result<(), ProgramError> {
    let mut lines = Lines::open(file)?;
    let own = match open(data) {
        Err(ProgramError::NoDirectory { .. } | ProgramError::Journal(JournalError::Missing { .. })) => None,
        journal => journal?.key().cloned(),
    };
    let Some(Line::Begin { key: named, after }) = lines.next()? else { return Err(lines.none()) };
    let whose = if own.is_some() { "" } else { " (the file names it itself)" };
    let key = own.unwrap_or(named);
    let mut verifier = Verifier::after(after.size, after.chain);
    let shown = note.map(|note| key.open(note).map_err(VerifyError::BadCheckpoint)).transpose()?;
    if let Some(shown) = shown {
        verifier.expect(shown).map_err(VerifyError::Fault)?;
    }
    let mut end = after.size;
    while let Some(line) = lines.next()? {
        match line {
            Line::Note(note) => {
                let note = key.open(&note).map_err(VerifyError::BadNote)?;
                verifier.expect(note).map_err(VerifyError::Fault)?;
            }
            Line::Row(row) => {
                verifier.take(&row).map_err(VerifyError::Fault)?;
                end = row.number;
            }
            // What nobody signed says nothing.
            Line::Purge(signed) => {
                if let Some((why, rows)) = signed.open(&key).as_ref().and_then(Statement::purged) {
                    verifier.take_said(why, rows);
                }
            }
            Line::Begin { .. } => return Err(lines.none()),
        }
    }
    if let Some(shown) = shown.filter(|shown| !(after.size..=end).contains(&shown.size)) {
        return Err(ProgramError::CheckpointElsewhere { size: shown.size, first: after.size + 1, last: end });
    }
    print(verifier.end().map_err(VerifyError::Fault)?, Some(&key), whose)
}

/// The lines of an export.
struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    number: usize,
}

impl Lines {
    fn open(path: &Path) -> Result<Lines, ProgramError> {
        let file =
            File::open(path).map_err(|error| ProgramError::FileUnreadable { path: path.to_owned(), error })?;
        Ok(Lines { path: path.to_owned(), file: BufReader::new(file), number: 0 })
    }

    fn next(&mut self) -> Result<Option<Line>, ProgramError> {
        self.number += 1;
        let mut line = String::new();
        let read = self.file.by_ref().take(LINE_BYTES_MAX as u64).read_line(&mut line);
        read.map_err(|error| ProgramError::FileUnreadable { path: self.path.clone(), error })?;
        match line.is_empty() {
            true => Ok(None),
            false => Line::parse(line.trim_end_matches('\n')).map(Some).map_err(|_| self.none()),
        }
    }

    /// The file is no export, from the line on that was read last.
    fn none(&self) -> ProgramError {
        ProgramError::NoExport { path: self.path.clone(), line: self.number }
    }
}

fn show(options: &ShowOptions) -> Result<(), ProgramError> {
    let wanted = Wanted { from_ms: options.span.from, to_ms: options.span.to, person: options.person.clone() };
    let person = options.person.as_deref().unwrap_or_default();
    let journal = open_to_show(&options.data.data, DeedKind::Shown, person, &options.span)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut failed = None;
    journal.entries(&wanted, |_, entry| {
        failed = writeln!(out, "{entry}").err();
        failed.is_none()
    })?;
    failed.map_or(Ok(()), Err)?;
    Ok(out.flush()?)
}

fn export(options: &ExportOptions) -> Result<(), ProgramError> {
    let journal = open_to_show(&options.data.data, DeedKind::Exported, "", &options.span)?;
    let (from, to) = (options.span.from, options.span.to);
    let mut out = BufWriter::new(io::stdout().lock());
    match options.format {
        ExportFormat::Jsonl => export_lines(&journal, (from, to), &mut out)?,
        ExportFormat::Csv => {
            let columns: Vec<String> = ["number"].iter().chain(&COLUMNS).map(|name| cell(name)).collect();
            let mut written = writeln!(out, "{}\r", columns.join(","));
            journal.entries(&Wanted { from_ms: from, to_ms: to, person: None }, |number, entry| {
                written = writeln!(out, "{}\r", record(number, &entry));
                written.is_ok()
            })?;
            written?;
        }
    }
    Ok(out.flush()?)
}

/// Writes what can be verified elsewhere: all rows from the first wanted to the last, and up to where a note was signed.
fn export_lines(
    journal: &Reading,
    (from, to): (Option<u64>, Option<u64>),
    out: &mut impl Write,
) -> Result<(), ProgramError> {
    let key = journal.key().ok_or(VerifyError::NoKey)?;
    let (after, last) = journal.range(from, to)?;
    writeln!(out, "{}", Line::Begin { key: key.clone(), after }.to_json())?;
    let notes = journal.notes()?;
    let sizes = notes.iter().filter_map(|note| Some((key.open(note).ok()?.size, note)));
    let signed = sizes.clone().map(|(size, _)| size).filter(|size| *size >= last).min().unwrap_or(last);
    for (_, note) in sizes.filter(|(size, _)| (after.size..=signed).contains(size)) {
        writeln!(out, "{}", Line::Note(note.clone()).to_json())?;
    }
    let mut written = Ok(());
    journal.rows(after.size, signed, |row| {
        written = writeln!(out, "{}", Line::Row(row).to_json());
        written.is_ok()
    })?;
    written?;
    for purge in journal.purges(signed)? {
        let statement = purge.open(key);
        let rows = statement.as_ref().and_then(Statement::purged).and_then(|(_, rows)| Numbers::parse(rows));
        if rows.is_some_and(|rows| rows.is_any_in(after.size, signed)) {
            writeln!(out, "{}", Line::Purge(purge).to_json())?;
        }
    }
    Ok(())
}

/// Returns an entry as a line of a table.
fn record(number: u64, entry: &str) -> String {
    let fields: serde_json::Value = serde_json::from_str(entry).unwrap_or_default();
    let text = |name: &&str| match &fields[*name] {
        serde_json::Value::String(text) => cell(text),
        serde_json::Value::Null => cell(""),
        other => cell(&other.to_string()),
    };
    let at = fields["at_ms"].as_u64().map(|ms| logging::timestamp(UNIX_EPOCH + Duration::from_millis(ms)));
    let first = [cell(&number.to_string()), cell(&at.unwrap_or_default())];
    let rest = COLUMNS.iter().skip(1).map(text);
    first.into_iter().chain(rest).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_all_that_an_entry_says_and_no_formula() {
        let entry = r#"{"at_ms":1772532840000,"event":"listen_ended","actor":"paul","commercial_id":"lea","admin_name":"=1+1 \"x\"","heard":true,"times":3}"#;
        let want = r#""7","2026-03-03T10:14:00.000Z","listen_ended","paul","lea","","'=1+1 ""x""","","","","","","true","3","""#;
        assert_eq!(record(7, entry), want);
    }
}
