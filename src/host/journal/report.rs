//! Counts how listening is used, a step at a time, beside the server that writes.
//!
//! Invariant: of each step no more rows are looked at than a bound.

use std::time::{Duration, UNIX_EPOCH};

use rusqlite::params;

use super::reading::Reading;
use super::{JournalError, told};
use crate::history::{Count, Form, Kind, Marks, Next, Piece, Place, Query, Question, Report, ReportForm};
use crate::host::{logging, zone};

/// How many rows are looked at in a step.
const ROWS_AT_ONCE: usize = 1000;
/// How many entries are, each of which is less work.
const ENTRIES_AT_ONCE: usize = 10_000;
/// The hours of work, and from when on a listening is long: as `ecoute report` has them where nothing else is said.
const HOURS: (u64, u64) = (8, 19);
const LONG_MS: u64 = 30 * 60_000;

/// The end of all time, for what has no bound.
const LAST: u64 = i64::MAX as u64;

impl Reading {
    /// Counts on, and returns what is still to be counted; at the end the numbers as they are asked for, or nothing at all
    /// where there is more to count than may be.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn count(&self, mut count: Count, now_ms: u64) -> Result<Piece, JournalError> {
        let next = match count.next {
            Next::Listenings(after) => match self.count_rows(&mut count, (Kind::Listenings, after), now_ms)? {
                Counted::UpTo(place) => Next::Listenings(Some(place)),
                Counted::All => Next::Broadcasts(None),
                Counted::TooMany => return Ok(Piece { bytes: Vec::new(), rest: None }),
            },
            Next::Broadcasts(after) => match self.count_rows(&mut count, (Kind::Broadcasts, after), now_ms)? {
                Counted::UpTo(place) => Next::Broadcasts(Some(place)),
                Counted::All => Next::Entries(Place { at_ms: count.from_ms.unwrap_or(0).min(LAST), number: 0 }),
                Counted::TooMany => return Ok(Piece { bytes: Vec::new(), rest: None }),
            },
            Next::Entries(after) => match self.count_entries(&mut count, after)? {
                Some(place) => Next::Entries(place),
                None => return Ok(Piece { bytes: written(&count, now_ms).into_bytes(), rest: None }),
            },
        };
        count.next = next;
        Ok(Piece { bytes: Vec::new(), rest: Some(Box::new(Question::Report(count))) })
    }

    fn count_rows(
        &self,
        count: &mut Count,
        (kind, after): (Kind, Option<Place>),
        now_ms: u64,
    ) -> Result<Counted, JournalError> {
        let (from_ms, to_ms) = (count.from_ms, count.to_ms);
        let query = Query { from_ms, to_ms, after, has_sounded: true, ..Query::new(kind, Form::Json) };
        let rows = self.rows_of(&query, ROWS_AT_ONCE, now_ms)?;
        let last = rows.last().filter(|_| rows.len() == ROWS_AT_ONCE).map(|(place, _)| *place);
        let has_room = rows.into_iter().all(|(_, row)| count.keep(row));
        Ok(match last {
            _ if !has_room => Counted::TooMany,
            Some(place) => Counted::UpTo(place),
            None => Counted::All,
        })
    }

    /// Returns behind which entry there may be more.
    fn count_entries(&self, count: &mut Count, after: Place) -> Result<Option<Place>, JournalError> {
        let entries = "SELECT at_ms, number, entry FROM entries INDEXED BY entries_by_time \
                       WHERE (at_ms, number) > (?1, ?2) AND at_ms >= ?1 AND at_ms < ?3 ORDER BY at_ms, number LIMIT ?4";
        let mut read = || {
            let mut statement = self.connection.prepare_cached(entries)?;
            let to_ms = count.to_ms.unwrap_or(LAST).min(LAST);
            let mut rows = statement.query(params![after.at_ms, after.number, to_ms, ENTRIES_AT_ONCE])?;
            let (mut last, mut looked_at) = (after, 0);
            while let Some(row) = rows.next()? {
                last = Place { at_ms: row.get(0)?, number: row.get(1)? };
                looked_at += 1;
                count.tally.count(row.get_ref(2)?.as_str().unwrap_or_default());
            }
            Ok(Some(last).filter(|_| looked_at == ENTRIES_AT_ONCE))
        };
        read().map_err(|error: rusqlite::Error| told(&self.path, &error))
    }
}

/// How far rows were counted.
enum Counted {
    UpTo(Place),
    All,
    TooMany,
}

/// Makes the report of what was counted.
fn written(count: &Count, now_ms: u64) -> String {
    let marks = Marks { hours: HOURS, zone: zone::of_system(), long_ms: LONG_MS };
    let mut report = Report::new(&count.listenings, &count.broadcasts, marks, now_ms);
    report.tally = count.tally;
    match count.form {
        ReportForm::Json => report.to_json(count.language),
        ReportForm::Csv => report.to_csv(count.language),
        ReportForm::Html => report.to_html(count.language, &span(count)),
    }
}

/// Says of what time the numbers are.
fn span(count: &Count) -> String {
    let at = |ms: u64| logging::timestamp(UNIX_EPOCH + Duration::from_millis(ms));
    let [from, to] = [count.from_ms, count.to_ms].map(|ms| ms.map_or_else(|| "…".to_owned(), at));
    format!("{from} – {to}")
}
