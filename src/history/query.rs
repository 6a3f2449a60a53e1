//! A question about the past, and how clients write it.

use std::fmt;

use percent_encoding::percent_decode_str;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::table::Row;
use crate::token::{Scope, is_valid_id};
use crate::words::text::folded;

/// The most rows of one answer, but for a table, which has all.
pub const ROWS_MAX: usize = 200;
/// The longest text that is looked for, in bytes.
pub const SOUGHT_BYTES_MAX: usize = 200;
/// How many rows an answer has that says nothing of it.
const ROWS_DEFAULT: usize = 50;

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Broadcasts,
    Listenings,
}

impl Kind {
    /// Returns the word that paths and the journal have for it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Broadcasts => "broadcasts",
            Kind::Listenings => "listenings",
        }
    }
}

/// How it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// So many rows at the most, and where the next ones are.
    Json,
    /// A table of all rows (RFC 4180).
    Csv,
}

/// A row, by when it began and which entry that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Unix milliseconds.
    pub at_ms: u64,
    pub number: u64,
}

/// What is asked for: rows from the newest to the oldest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub kind: Kind,
    pub form: Form,
    /// Of this salesperson.
    pub commercial_id: Option<String>,
    /// By this supervisor.
    pub admin_id: Option<String>,
    /// Of salespeople with this in name or id, as [`folded`] has it.
    pub commercial: Option<String>,
    /// By supervisors with this in name or id, likewise.
    pub admin: Option<String>,
    /// Of no other salespeople than these.
    pub scope: Option<Scope>,
    /// Of listenings, those alone that sounded.
    pub has_sounded: bool,
    /// What began at this moment or later, in Unix milliseconds.
    pub from_ms: Option<u64>,
    /// What began before this moment.
    pub to_ms: Option<u64>,
    /// And what began earlier, a month at the most, and went on after `from_ms`; of listenings what sounded.
    pub is_touching: bool,
    /// What stands behind this row.
    pub after: Option<Place>,
    /// How many rows are still wanted; of a table all are.
    pub left: usize,
    /// Whether the answer has begun.
    pub has_begun: bool,
    /// Whether a row of it was written.
    pub has_rows: bool,
}

/// Why a question can't be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error(
        "a parameter is unknown here: there are commercial_id, commercial, admin_id and admin (of listenings), from, to, \
         touching, limit, cursor"
    )]
    Unknown,
    #[error("a parameter is unknown here: there are from, to, lang")]
    UnknownOfReport,
    #[error("lang is fr or en")]
    Language,
    #[error("touching is true, and needs from")]
    Touching,
    #[error("{0} is text to look for, of {SOUGHT_BYTES_MAX} bytes at the most")]
    Sought(&'static str),
    #[error("{0} is there twice")]
    Twice(&'static str),
    #[error("{0} is no id")]
    Id(&'static str),
    #[error("{0} is no moment: write it as 2026-03-01 or 2026-03-01T08:00:00Z")]
    Moment(&'static str),
    #[error("limit is a number from 1 to {ROWS_MAX}")]
    Limit,
    #[error("cursor is none that was given as next")]
    Cursor,
    #[error("a query is text, percent-encoded")]
    NotText,
}

impl Query {
    /// Returns the question for all rows of a kind.
    pub fn new(kind: Kind, form: Form) -> Query {
        Query {
            kind,
            form,
            commercial_id: None,
            admin_id: None,
            commercial: None,
            admin: None,
            scope: None,
            has_sounded: false,
            from_ms: None,
            to_ms: None,
            is_touching: false,
            after: None,
            left: ROWS_DEFAULT,
            has_begun: false,
            has_rows: false,
        }
    }

    /// Reads the query of a URL, with its question mark where it has one.
    ///
    /// # Errors
    /// [`QueryError`]; what nobody knows is not passed over, or a filter that is misspelt would show everything.
    pub fn parse(kind: Kind, form: Form, query: &str) -> Result<Query, QueryError> {
        let mut asked = Query::new(kind, form);
        read_pairs(query, |name, value| asked.set(name, value))?;
        // Of all time nothing is earlier.
        if asked.is_touching && asked.from_ms.is_none() {
            return Err(QueryError::Touching);
        }
        Ok(asked)
    }

    /// Tells whether a row is of those whose names or ids are looked for.
    pub fn is_sought(&self, row: &Row) -> bool {
        let has = |sought: &Option<String>, name: &str, id: &str| {
            sought.as_ref().is_none_or(|sought| folded(&format!("{name} {id}")).contains(sought))
        };
        match row {
            Row::Broadcast(row) => has(&self.commercial, &row.commercial_name, &row.commercial_id),
            Row::Listening(row) => {
                has(&self.commercial, &row.commercial_name, &row.commercial_id)
                    && has(&self.admin, &row.admin_name, &row.admin_id)
            }
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<&'static str, QueryError> {
        let id = |name| is_valid_id(value).then(|| value.to_owned()).ok_or(QueryError::Id(name));
        let moment = |name| parse_moment(value).map_err(|_| QueryError::Moment(name));
        let sought = |name| {
            let is_short = (1..=SOUGHT_BYTES_MAX).contains(&value.len());
            is_short.then(|| folded(value)).ok_or(QueryError::Sought(name))
        };
        match name {
            "commercial_id" => {
                self.commercial_id = Some(id("commercial_id")?);
                Ok("commercial_id")
            }
            "admin_id" if self.kind == Kind::Listenings => {
                self.admin_id = Some(id("admin_id")?);
                Ok("admin_id")
            }
            "commercial" => {
                self.commercial = Some(sought("commercial")?);
                Ok("commercial")
            }
            "admin" if self.kind == Kind::Listenings => {
                self.admin = Some(sought("admin")?);
                Ok("admin")
            }
            "touching" => {
                self.is_touching = value == "true";
                if self.is_touching { Ok("touching") } else { Err(QueryError::Touching) }
            }
            "from" => {
                self.from_ms = Some(moment("from")?);
                Ok("from")
            }
            "to" => {
                self.to_ms = Some(moment("to")?);
                Ok("to")
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=ROWS_MAX).contains(limit));
                self.left = limit.ok_or(QueryError::Limit)?;
                Ok("limit")
            }
            "cursor" => {
                self.after = Some(Place::parse(value).ok_or(QueryError::Cursor)?);
                Ok("cursor")
            }
            _ => Err(QueryError::Unknown),
        }
    }
}

/// Writes what is asked for, as the journal has it.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        for (name, id) in [("commercial_id", &self.commercial_id), ("admin_id", &self.admin_id)] {
            id.as_ref().map_or(Ok(()), |id| write!(f, " {name}={id}"))?;
        }
        for (name, text) in [("commercial", &self.commercial), ("admin", &self.admin)] {
            text.as_ref().map_or(Ok(()), |text| write!(f, " {name}={text:?}"))?;
        }
        for (name, ms) in [("from_ms", self.from_ms), ("to_ms", self.to_ms)] {
            ms.map_or(Ok(()), |ms| write!(f, " {name}={ms}"))?;
        }
        if self.is_touching {
            f.write_str(" touching")?;
        }
        self.after.map_or(Ok(()), |after| write!(f, " cursor={}", after.cursor()))
    }
}

/// Hands over the parameters of a query, each once.
///
/// # Errors
/// Those of `set`, which returns the name of what it took, and what is there twice or is no text.
pub(super) fn read_pairs(
    query: &str,
    mut set: impl FnMut(&str, &str) -> Result<&'static str, QueryError>,
) -> Result<(), QueryError> {
    let mut seen = Vec::new();
    for pair in query.strip_prefix('?').unwrap_or(query).split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // Forms write a space as a plus, which moments have.
        let value = percent_decode_str(value).decode_utf8().map_err(|_| QueryError::NotText)?;
        let name = set(name, &value)?;
        if seen.contains(&name) {
            return Err(QueryError::Twice(name));
        }
        seen.push(name);
    }
    Ok(())
}

impl Place {
    /// Returns the place that a cursor names.
    pub fn parse(text: &str) -> Option<Place> {
        let (at_ms, number) = text.split_once('-')?;
        let place = Place { at_ms: at_ms.parse().ok()?, number: number.parse().ok()? };
        // A number may be written in more than one way, and the database's have a sign.
        let is_ours = place.cursor() == text && i64::try_from(place.at_ms.max(place.number)).is_ok();
        is_ours.then_some(place)
    }

    /// Returns the cursor that names it.
    pub fn cursor(self) -> String {
        format!("{}-{}", self.at_ms, self.number)
    }
}

/// Reads a moment or the beginning of a day (UTC), in Unix milliseconds.
///
/// # Errors
/// How to write one.
pub fn parse_moment(text: &str) -> Result<u64, &'static str> {
    let moment = OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(&format!("{text}T00:00:00Z"), &Rfc3339))
        .map_err(|_| "write it as 2026-03-01 or 2026-03-01T08:00:00Z")?;
    u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).map_err(|_| "nothing was written before 1970")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Query, QueryError> {
        Query::parse(Kind::Listenings, Form::Json, query)
    }

    #[test]
    fn each_parameter_is_understood_or_named() {
        let asked = parse("?commercial_id=l%C3%A9a%2Fb&from=2026-03-03&limit=7").unwrap_err();
        assert_eq!(asked, QueryError::Id("commercial_id"), "no id has a slash");
        let asked = parse(
            "?commercial_id=lea&admin_id=p%40x&from=2026-03-03&to=2026-03-03T10%3A14%3A00Z&limit=7&cursor=12-3",
        );
        let want = Query {
            commercial_id: Some("lea".into()),
            admin_id: Some("p@x".into()),
            from_ms: Some(1_772_496_000_000),
            to_ms: Some(1_772_532_840_000),
            left: 7,
            after: Some(Place { at_ms: 12, number: 3 }),
            ..Query::new(Kind::Listenings, Form::Json)
        };
        assert_eq!(asked.as_ref(), Ok(&want));
        let told =
            "listenings commercial_id=lea admin_id=p@x from_ms=1772496000000 to_ms=1772532840000 cursor=12-3";
        assert_eq!(want.to_string(), told);
        let sought = parse("?commercial=%20L%C3%A9a%20&admin=P%22&from=1970-01-01&touching=true").unwrap();
        assert_eq!(sought.to_string(), r#"listenings commercial=" lea " admin="p\"" from_ms=0 touching"#);
        let long = format!("?commercial={}", "x".repeat(SOUGHT_BYTES_MAX + 1));
        assert_eq!(parse(&long), Err(QueryError::Sought("commercial")));
        assert_eq!(parse(""), Ok(Query::new(Kind::Listenings, Form::Json)));
        assert_eq!(parse("?"), parse("&&"));
        let cases = [
            ("?comercial_id=lea", QueryError::Unknown),
            ("?commercial_id", QueryError::Id("commercial_id")),
            ("?commercial_id=a&commercial_id=a", QueryError::Twice("commercial_id")),
            ("?commercial_id=%ff", QueryError::NotText),
            ("?from=yesterday", QueryError::Moment("from")),
            ("?to=1969-12-31", QueryError::Moment("to")),
            ("?limit=0", QueryError::Limit),
            ("?limit=201", QueryError::Limit),
            ("?limit=-1", QueryError::Limit),
            ("?commercial=", QueryError::Sought("commercial")),
            ("?touching=true", QueryError::Touching),
            ("?from=2026-03-03&touching=1", QueryError::Touching),
            ("?cursor=3", QueryError::Cursor),
            ("?cursor=03-1", QueryError::Cursor),
            ("?cursor=1-1'--", QueryError::Cursor),
            ("?cursor=9223372036854775808-1", QueryError::Cursor),
        ];
        for (query, want) in cases {
            assert_eq!(parse(query), Err(want), "{query}");
        }
        let of_admin = Query::parse(Kind::Broadcasts, Form::Json, "?admin_id=paul");
        assert_eq!(of_admin, Err(QueryError::Unknown), "a broadcast is of no supervisor");
    }

    #[test]
    fn moments() {
        let cases = [
            ("1970-01-01", Some(0)),
            ("2026-03-03", Some(1_772_496_000_000)),
            ("2026-03-03T10:14:00Z", Some(1_772_532_840_000)),
            ("2026-03-03T11:14:00.5+01:00", Some(1_772_532_840_500)),
            ("1969-12-31", None),
            ("2026-02-30", None),
            ("yesterday", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse_moment(text).ok(), want, "{text}");
        }
    }
}
