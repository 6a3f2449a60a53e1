//! How rows of the past are written, as JSON and as a table.
//!
//! Invariant: a cell of a table is never a formula to the program that opens it.

use std::fmt::Write;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::query::{Form, Kind, Place};

/// One time on air.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broadcast {
    pub commercial_id: String,
    /// The id where no name is known any more.
    pub commercial_name: String,
    /// Whether what streamed was nobody's microphone.
    pub device: bool,
    /// Unix milliseconds.
    pub from: u64,
    /// Absent while it goes on.
    pub to: Option<u64>,
    pub ended: Option<String>,
    pub packets: Option<u64>,
    pub lost: Option<u64>,
    /// How many listenings sounded in it.
    pub listeners: u64,
}

/// One wish to hear somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listening {
    pub id: String,
    pub commercial_id: String,
    /// The id where no name is known any more.
    pub commercial_name: String,
    pub admin_id: String,
    pub admin_name: String,
    pub reason: String,
    /// Whether what streamed was nobody's microphone.
    pub device: bool,
    /// Unix milliseconds.
    pub asked: u64,
    /// When it sounded first; absent where it never did.
    pub from: Option<u64>,
    /// Absent while it goes on.
    pub to: Option<u64>,
    /// For how long it sounded.
    pub heard_ms: u64,
    pub told: Option<String>,
    pub ended: Option<String>,
}

/// A row of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    Broadcast(Broadcast),
    Listening(Listening),
}

/// The columns of each table.
const BROADCAST_COLUMNS: &str = "commercial_id,commercial_name,device,from,to,ended,packets,lost,listeners\r\n";
const LISTENING_COLUMNS: &str = "id,commercial_id,commercial_name,admin_id,admin_name,reason,device,asked,from,to,\
                                 heard_ms,told,ended\r\n";

/// Appends what an answer begins with.
pub fn write_begin(out: &mut Vec<u8>, kind: Kind, form: Form) {
    let begin: &str = match (form, kind) {
        (Form::Json, Kind::Broadcasts) => r#"{"broadcasts":["#,
        (Form::Json, Kind::Listenings) => r#"{"listenings":["#,
        (Form::Csv, Kind::Broadcasts) => BROADCAST_COLUMNS,
        (Form::Csv, Kind::Listenings) => LISTENING_COLUMNS,
    };
    out.extend(begin.as_bytes());
}

/// Appends one row.
pub fn write_row(out: &mut Vec<u8>, form: Form, row: &Row, is_first: bool) {
    match form {
        Form::Json => {
            if !is_first {
                out.push(b',');
            }
            let written = match row {
                Row::Broadcast(row) => serde_json::to_writer(&mut *out, row),
                Row::Listening(row) => serde_json::to_writer(&mut *out, row),
            };
            written.expect("our own rows are JSON");
        }
        Form::Csv => out.extend(record(row).as_bytes()),
    }
}

/// Appends what an answer ends with: where the next rows are, where there are more.
pub fn write_end(out: &mut Vec<u8>, form: Form, next: Option<Place>) {
    match (form, next) {
        (Form::Json, Some(next)) => out.extend(format!(r#"],"next":"{}"}}"#, next.cursor()).as_bytes()),
        (Form::Json, None) => out.extend(br#"],"next":null}"#),
        (Form::Csv, _) => {}
    }
}

/// Returns a row as a line of a table.
fn record(row: &Row) -> String {
    let cells = match row {
        Row::Broadcast(row) => vec![
            row.commercial_id.clone(),
            row.commercial_name.clone(),
            row.device.to_string(),
            moment(Some(row.from)),
            moment(row.to),
            row.ended.clone().unwrap_or_default(),
            number(row.packets),
            number(row.lost),
            row.listeners.to_string(),
        ],
        Row::Listening(row) => vec![
            row.id.clone(),
            row.commercial_id.clone(),
            row.commercial_name.clone(),
            row.admin_id.clone(),
            row.admin_name.clone(),
            row.reason.clone(),
            row.device.to_string(),
            moment(Some(row.asked)),
            moment(row.from),
            moment(row.to),
            row.heard_ms.to_string(),
            row.told.clone().unwrap_or_default(),
            row.ended.clone().unwrap_or_default(),
        ],
    };
    let mut line = String::new();
    for (index, text) in cells.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(line, "{comma}{}", cell(text)).expect("a String takes all");
    }
    line + "\r\n"
}

fn number(value: Option<u64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Returns a moment in UTC (RFC 3339).
fn moment(unix_ms: Option<u64>) -> String {
    let nanoseconds = |ms: u64| i128::from(ms) * 1_000_000;
    let moment = unix_ms.and_then(|ms| OffsetDateTime::from_unix_timestamp_nanos(nanoseconds(ms)).ok());
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default()
}

/// Quotes a cell (RFC 4180), and keeps a table's program from taking it for a formula (OWASP, CSV injection).
pub fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(name: &str) -> Row {
        Row::Listening(Listening {
            id: "00000000000000ab".into(),
            commercial_id: "lea".into(),
            commercial_name: name.into(),
            admin_id: "paul".into(),
            admin_name: "Paul D.".into(),
            reason: "formation".into(),
            device: false,
            asked: 1_772_532_840_000,
            from: Some(1_772_532_841_500),
            to: None,
            heard_ms: 7,
            told: Some("seen".into()),
            ended: None,
        })
    }

    fn written(form: Form, rows: &[Row], next: Option<Place>) -> String {
        let mut out = Vec::new();
        write_begin(&mut out, Kind::Listenings, form);
        for (index, row) in rows.iter().enumerate() {
            write_row(&mut out, form, row, index == 0);
        }
        write_end(&mut out, form, next);
        String::from_utf8(out).expect("it is text")
    }

    #[test]
    fn json_says_where_more_is() {
        let text = written(Form::Json, &[listening("<b>"), listening("\"")], Some(Place { at_ms: 5, number: 2 }));
        let read: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(read["next"], "5-2");
        assert_eq!(read["listenings"][1]["commercial_name"], "\"");
        assert_eq!(read["listenings"][0]["to"], serde_json::Value::Null);
        assert_eq!(written(Form::Json, &[], None), r#"{"listenings":[],"next":null}"#);
    }

    #[test]
    fn a_table_has_no_formula() {
        let text = written(Form::Csv, &[listening("=1+1 \"x\"")], None);
        let want = format!(
            "{LISTENING_COLUMNS}{}\r\n",
            r#""00000000000000ab","lea","'=1+1 ""x""","paul","Paul D.","formation","false","2026-03-03T10:14:00Z","2026-03-03T10:14:01.5Z","","7","seen","""#
        );
        assert_eq!(text, want);
    }
}
