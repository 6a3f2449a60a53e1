//! What is written about one person: taken out, or purged before its time.
//!
//! Invariant: neither is done before it is durable that it is.

use std::io::{self, BufWriter, Write};
use std::time::{Duration, UNIX_EPOCH};

use ecoute::audit::DeedKind;
use ecoute::history::{Form, Kind, Query, Row};
use ecoute::host::journal::{JournalError, Reading, Wanted, purge_person};
use ecoute::host::logging;
use serde_json::{Value, json};

use super::deeds::{enter, hand_in, now, now_ms, who};
use super::error::ProgramError;
use super::options::{PersonOptions, PurgeOptions};

/// Prints all that is written about a person, and what each field means.
pub fn export(options: &PersonOptions) -> Result<(), ProgramError> {
    let by = who();
    let data = enter(&options.data.data)?;
    hand_in(&data, DeedKind::PersonExported, &by, &options.person, "")?;
    let journal = Reading::open(&data)?;
    let person = Some(options.person.clone());
    let mut entries = Vec::new();
    journal.entries(&Wanted { person: person.clone(), ..Wanted::default() }, |_, entry| {
        entries.push(serde_json::from_str(&entry).unwrap_or(Value::String(entry)));
        true
    })?;
    let all = |kind| Query::new(kind, Form::Json);
    let told = json!({
        "person": options.person,
        "made": logging::timestamp(now()),
        "fields": meanings(),
        "broadcasts": rows(&journal, Query { commercial_id: person.clone(), ..all(Kind::Broadcasts) })?,
        "heard_by": rows(&journal, Query { commercial_id: person.clone(), ..all(Kind::Listenings) })?,
        "listened_to": rows(&journal, Query { admin_id: person, ..all(Kind::Listenings) })?,
        "entries": entries,
    });
    let mut out = BufWriter::new(io::stdout().lock());
    serde_json::to_writer_pretty(&mut out, &told).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

/// Returns all rows that are asked for.
fn rows(journal: &Reading, query: Query) -> Result<Vec<Value>, JournalError> {
    let mut rows = Vec::new();
    journal.all_rows(query, now_ms(), |row| {
        rows.push(match row {
            Row::Broadcast(row) => json!(row),
            Row::Listening(row) => json!(row),
        });
    })?;
    Ok(rows)
}

/// What the fields mean, for whoever they are about (GDPR, Article 15).
fn meanings() -> Value {
    json!({
        "broadcasts": "each time that this person was on air",
        "heard_by": "each wish of somebody to listen to this person",
        "listened_to": "each wish of this person to listen to somebody",
        "entries": "each line of the journal that names this person",
        "commercial_id, commercial_name": "who was on air, or was to be heard",
        "admin_id, admin_name": "who listened, or wished to",
        "device": "whether what was heard was nobody's microphone",
        "asked": "when the wish began, in milliseconds since 1970 (UTC)",
        "from, to": "when it sounded first and was over, or went on and off air; null where that did not happen",
        "heard_ms": "for how many milliseconds it sounded",
        "told": "how the salesperson was told: seen on the page, or by a notification",
        "reason": "what the supervisor gave as a reason",
        "ended": "why it was over",
        "packets, lost": "how many packets of audio came, and how many are missing; what they contained is not kept",
        "listeners": "how many wishes to listen sounded in it",
        "at_ms, event, actor, detail": "when something happened, what, who did it, and more about it",
        "address, browser": "where a page was opened from, and with what",
    })
}

/// Purges what is written about a person, or says how much it is.
pub fn purge(options: &PurgeOptions) -> Result<(), ProgramError> {
    let by = who();
    let data = enter(&options.data.data)?;
    let reason = options.reason.as_deref().filter(|_| !options.dry_run);
    if reason.is_none() && !options.dry_run {
        return Err(ProgramError::NoReason);
    }
    let about = purge_person(&data, now(), &options.person, (&by, reason))?;
    let mut out = io::stdout();
    let Some(about) = about else {
        return Ok(writeln!(out, "Nothing is written about {}.", options.person)?);
    };
    let [from, to] =
        [about.from_ms, about.to_ms].map(|ms| logging::timestamp(UNIX_EPOCH + Duration::from_millis(ms)));
    let done = if reason.is_some() { "Purged" } else { "This would purge" };
    writeln!(
        out,
        "{done} {} entries about {}, from {from} to {to}. The log is not touched.",
        about.entries, options.person
    )?;
    Ok(())
}
