//! Says how listening is used, for a works council: numbers, and nobody by name.

use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use ecoute::audit::DeedKind;
use ecoute::history::{Broadcast, Form, Kind, Language, Listening, Marks, Query, Report, Row};
use ecoute::host::journal::{JournalError, Reading, Wanted};
use ecoute::host::{logging, zone};

use super::deeds::{enter, hand_in, now_ms, who};
use super::error::ProgramError;
use super::options::{ReportFormat, ReportOptions};

/// Prints the report.
pub fn print(options: &ReportOptions) -> Result<(), ProgramError> {
    let by = who();
    let zone = match &options.time_zone {
        Some(name) => zone::load(name).map_err(|error| ProgramError::TimeZone { name: name.clone(), error })?,
        None => zone::of_system(),
    };
    let data = enter(&options.data.data)?;
    let day = |ms: Option<u64>| {
        ms.map_or_else(|| "…".to_owned(), |ms| logging::timestamp(UNIX_EPOCH + Duration::from_millis(ms)))
    };
    let span = format!("{} – {}", day(options.span.from), day(options.span.to));
    hand_in(&data, DeedKind::Reported, &by, "", &span)?;
    let marks = Marks { hours: options.hours, zone, long_ms: u64::from(options.long_min) * 60_000 };
    let report = count(&Reading::open(&data)?, options, marks)?;
    let language = if options.english { Language::English } else { Language::French };
    let text = match options.format {
        ReportFormat::Html => report.to_html(language, &span),
        ReportFormat::Csv => report.to_csv(language),
    };
    Ok(io::stdout().write_all(text.as_bytes())?)
}

fn count(journal: &Reading, options: &ReportOptions, marks: Marks) -> Result<Report, JournalError> {
    let now_ms = now_ms();
    let (mut listenings, mut broadcasts): (Vec<Listening>, Vec<Broadcast>) = (Vec::new(), Vec::new());
    for kind in [Kind::Listenings, Kind::Broadcasts] {
        let (from_ms, to_ms) = (options.span.from, options.span.to);
        let query = Query { from_ms, to_ms, has_sounded: true, ..Query::new(kind, Form::Csv) };
        journal.all_rows(query, now_ms, |row| match row {
            Row::Broadcast(row) => broadcasts.push(row),
            Row::Listening(row) => listenings.push(row),
        })?;
    }
    let mut report = Report::new(&listenings, &broadcasts, marks, now_ms);
    let wanted = Wanted { from_ms: options.span.from, to_ms: options.span.to, person: None };
    journal.entries(&wanted, |_, entry| {
        report.tally.count(&entry);
        true
    })?;
    Ok(report)
}
