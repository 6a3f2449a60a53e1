//! What can be asked of the past, and how it is told: who was on air, and who heard whom.
//!
//! Knows neither database nor client. Invariant: what a client wrote is a value of a question, never a part of how it is
//! asked.

mod count;
mod query;
mod report;
mod table;
mod telling;
mod zone;

pub use count::{Count, Next, ReportForm};
pub use query::{Form, Kind, Place, Query, QueryError, ROWS_MAX, SOUGHT_BYTES_MAX, parse_moment};
pub use report::{Group, Language, Marks, Report};
pub use table::{Broadcast, Listening, Row, cell, write_begin, write_end, write_row};
pub use telling::{BroadcastRow, Change, ListeningRow, Telling};
pub use zone::Zone;

/// A salesperson who was here, and is not now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub id: String,
    pub name: String,
    /// Unix milliseconds.
    pub at_ms: u64,
}

/// What is asked of the past, and how far its answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    Rows(Query),
    Report(Count),
}

impl From<Query> for Question {
    fn from(query: Query) -> Question {
        Question::Rows(query)
    }
}

/// A part of an answer, and what is still to be asked.
#[derive(Debug)]
pub struct Piece {
    /// None of a report until it is whole; none at its end where there is more to count than may be.
    pub bytes: Vec<u8>,
    /// Absent after the last one.
    pub rest: Option<Box<Question>>,
}
