//! Questions about the past, and journals that somebody shows.
//!
//! Invariant: what is understood is within its bounds, and no journal is good that was not written so.

use crate::history::{Count, Form, Kind, Place, Query, ROWS_MAX, ReportForm, SOUGHT_BYTES_MAX};
use crate::journal::{Line, Statement, Verifier};
use crate::token::is_valid_id;

/// What is understood of a query has valid ids, a bounded count and a cursor that names what it says.
pub fn query(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(count) = Count::parse(ReportForm::Json, 0, text) {
        assert!(count.listenings.is_empty() && count.broadcasts.is_empty() && count.scope.is_none(), "{count:?}");
    }
    for kind in [Kind::Broadcasts, Kind::Listenings] {
        let Ok(query) = Query::parse(kind, Form::Json, text) else { continue };
        assert!(query.commercial_id.iter().chain(&query.admin_id).all(|id| is_valid_id(id)), "{query:?}");
        assert!((1..=ROWS_MAX).contains(&query.left), "{query:?}");
        assert!(kind == Kind::Listenings || query.admin_id.is_none(), "{query:?}");
        // What is without capitals and marks may be longer than what was written.
        assert!(
            query.commercial.iter().chain(&query.admin).all(|text| text.len() <= 4 * SOUGHT_BYTES_MAX),
            "{query:?}"
        );
        assert!(!query.is_touching || query.from_ms.is_some(), "{query:?}");
        if let Some(place) = query.after {
            assert_eq!(Place::parse(&place.cursor()), Some(place));
        }
        assert!(!query.has_begun && !query.has_sounded && query.scope.is_none(), "{query:?}");
        let other = Query::parse(kind, Form::Json, text.strip_prefix('?').unwrap_or(text));
        assert_eq!(other.as_ref(), Ok(&query), "a question mark means something");
    }
}

/// Lines of an export are written as they were read; what is good stays so, and is not once one of its rows is gone.
pub fn export(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = Vec::new();
    for line in text.lines() {
        let Ok(line) = Line::parse(line) else { return };
        assert_eq!(Line::parse(&line.to_json()), Ok(line.clone()), "{}", line.to_json());
        lines.push(line);
    }
    let Some(total) = verify(&lines, None) else { return };
    for left_out in (0..lines.len()).filter(|at| matches!(lines[*at], Line::Row(_))) {
        let rows_behind = lines[left_out + 1..].iter().any(|line| matches!(line, Line::Row(_)));
        assert!(!rows_behind || verify(&lines, Some(left_out)).is_none(), "of {total} rows one is not missed");
    }
}

/// Returns how many rows are good, without one that is left out; the notes are taken to be signed.
fn verify(lines: &[Line], left_out: Option<usize>) -> Option<u64> {
    let Some((Line::Begin { key, after }, rest)) = lines.split_first() else { return None };
    let mut verifier = Verifier::after(after.size, after.chain);
    for (_, line) in rest.iter().enumerate().filter(|(at, _)| Some(at + 1) != left_out) {
        match line {
            Line::Begin { .. } => return None,
            // One that nobody signed says nothing, and its key is in the input.
            Line::Note(note) => {
                if let Ok(checkpoint) = key.open(note) {
                    verifier.expect(checkpoint).ok()?;
                }
            }
            Line::Row(row) => verifier.take(row).ok()?,
            Line::Purge(signed) => {
                if let Some((why, rows)) = signed.open(key).as_ref().and_then(Statement::purged) {
                    verifier.take_said(why, rows);
                }
            }
        }
    }
    verifier.end().ok().map(|verdict| verdict.entries)
}
