//! A question for the numbers of how listening is used, and what was counted for it so far.
//!
//! It is answered step by step, so that others may ask in between. Invariant: no more rows are kept for it than may be.

use std::fmt;

use super::query::{Place, QueryError, parse_moment, read_pairs};
use super::report::{Language, Tally};
use super::table::{Broadcast, Listening, Row};
use crate::token::Scope;

/// How the numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportForm {
    /// The lines of the table.
    Json,
    /// The table alone (RFC 4180).
    Csv,
    /// A page that stands by itself.
    Html,
}

/// What is counted next: of rows what stands behind this one, of entries what comes after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Listenings(Option<Place>),
    Broadcasts(Option<Place>),
    Entries(Place),
}

/// What is asked for, and what was counted so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    pub form: ReportForm,
    pub language: Language,
    /// Of no other salespeople than these.
    pub scope: Option<Scope>,
    /// What began at this moment or later, in Unix milliseconds.
    pub from_ms: Option<u64>,
    /// What began before this moment.
    pub to_ms: Option<u64>,
    /// How many rows may be kept.
    pub rows_max: usize,
    pub next: Next,
    /// Those that sounded, without what names somebody.
    pub listenings: Vec<Listening>,
    pub broadcasts: Vec<Broadcast>,
    pub tally: Tally,
}

impl Count {
    /// Reads the query of a URL, with its question mark where it has one.
    ///
    /// # Errors
    /// [`QueryError`]; what nobody knows is not passed over.
    pub fn parse(form: ReportForm, rows_max: usize, query: &str) -> Result<Count, QueryError> {
        let mut asked = Count {
            form,
            language: Language::French,
            scope: None,
            from_ms: None,
            to_ms: None,
            rows_max,
            next: Next::Listenings(None),
            listenings: Vec::new(),
            broadcasts: Vec::new(),
            tally: Tally::default(),
        };
        read_pairs(query, |name, value| asked.set(name, value))?;
        Ok(asked)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<&'static str, QueryError> {
        let moment = |name| parse_moment(value).map_err(|_| QueryError::Moment(name));
        match name {
            "from" => {
                self.from_ms = Some(moment("from")?);
                Ok("from")
            }
            "to" => {
                self.to_ms = Some(moment("to")?);
                Ok("to")
            }
            "lang" => {
                self.language = match value {
                    "fr" => Language::French,
                    "en" => Language::English,
                    _ => return Err(QueryError::Language),
                };
                Ok("lang")
            }
            _ => Err(QueryError::UnknownOfReport),
        }
    }

    /// Keeps a row, where it is in scope and there is room; tells whether there was.
    pub fn keep(&mut self, row: Row) -> bool {
        let id = match &row {
            Row::Broadcast(row) => &row.commercial_id,
            Row::Listening(row) => &row.commercial_id,
        };
        if self.scope.as_ref().is_some_and(|scope| !scope.contains(id)) {
            return true;
        }
        if self.listenings.len() + self.broadcasts.len() >= self.rows_max {
            return false;
        }
        match row {
            Row::Broadcast(row) => {
                self.broadcasts.push(Broadcast { commercial_name: String::new(), ended: None, ..row });
            }
            Row::Listening(row) => self.listenings.push(Listening {
                id: String::new(),
                commercial_name: String::new(),
                admin_name: String::new(),
                told: None,
                ended: None,
                ..row
            }),
        }
        true
    }
}

/// Writes what is asked for, as the journal has it.
impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("report")?;
        for (name, ms) in [("from_ms", self.from_ms), ("to_ms", self.to_ms)] {
            ms.map_or(Ok(()), |ms| write!(f, " {name}={ms}"))?;
        }
        f.write_str(match self.form {
            ReportForm::Json => "",
            ReportForm::Csv => " csv",
            ReportForm::Html => " html",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Count, QueryError> {
        Count::parse(ReportForm::Json, 2, query)
    }

    #[test]
    fn each_parameter_is_understood_or_named() {
        let asked = parse("?from=2026-03-03&to=2026-03-03T10%3A14%3A00Z&lang=en").unwrap();
        assert_eq!((asked.from_ms, asked.to_ms), (Some(1_772_496_000_000), Some(1_772_532_840_000)));
        assert_eq!(asked.language, Language::English);
        assert_eq!(asked.to_string(), "report from_ms=1772496000000 to_ms=1772532840000");
        assert_eq!(parse("").unwrap().language, Language::French);
        let cases = [
            ("?lang=de", QueryError::Language),
            ("?commercial_id=lea", QueryError::UnknownOfReport),
            ("?from=x", QueryError::Moment("from")),
            ("?to=2026-03-03&to=2026-03-03", QueryError::Twice("to")),
        ];
        for (query, want) in cases {
            assert_eq!(parse(query), Err(want), "{query}");
        }
    }

    #[test]
    fn no_more_is_kept_than_may_be_and_nobody_by_name() {
        let row = |id: &str| {
            Row::Broadcast(Broadcast {
                commercial_id: id.into(),
                commercial_name: "Léa".into(),
                device: false,
                from: 1,
                to: None,
                ended: None,
                packets: None,
                lost: None,
                listeners: 0,
            })
        };
        let mut count = Count { scope: Some(Scope::new(["lea"])), ..parse("").unwrap() };
        assert_eq!(
            ["lea", "tom", "lea", "tom", "lea"].map(|id| count.keep(row(id))),
            [true, true, true, true, false]
        );
        let whose: Vec<&str> = count.broadcasts.iter().map(|row| &*row.commercial_id).collect();
        assert_eq!(whose, ["lea", "lea"], "what was heard of them is found by it");
        assert!(!format!("{:?}", count.broadcasts).contains("Léa"));
    }
}
