//! What commands have done, as they hand it in: the server that runs writes it down, or the next one.
//!
//! A command can't append to the journal of a server that does. It leaves one row, durably, before it does what is to be
//! written down; a revocation alone waits for nothing, and leaves it afterwards. Invariant: what is handed in is one of the deeds that commands have, and nothing else becomes an entry.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use super::left::unix_ms;
use super::reading::{open_database, text};
use super::schema::{VERSION, check_ours, set_up};
use super::{DATABASE, JournalError, not_taken, told};
use crate::audit::{Deed, DeedKind, Entry, EntryId, Event};

/// How many are written down at one time.
const AT_ONCE: usize = 256;
/// The server's own deed.
const PURGE: &str = "journal_purged";
/// What is longer is cut, in characters.
const CHARS_MAX: usize = 500;

/// Hands in what a command is about to do.
///
/// # Errors
/// [`JournalError`]; it is not to be done then.
pub fn hand_in(data: &Path, at: SystemTime, deed: &Deed) -> Result<(), JournalError> {
    let (path, connection) = open_to_hand_in(data)?;
    insert(&connection, at, deed).map_err(|error| told(&path, &error))
}

/// Opens the journal of a data directory beside the server that writes it.
pub(super) fn open_to_hand_in(data: &Path) -> Result<(PathBuf, Connection), JournalError> {
    let path = data.join(DATABASE);
    let mut connection = open_database(&path, true)?;
    if check_ours(&path, &connection)? < VERSION {
        return Err(JournalError::Older { path });
    }
    if let Some(pragma) = set_up(&mut connection, false).map_err(|error| told(&path, &error))? {
        return Err(not_taken(&path, pragma));
    }
    Ok((path, connection))
}

pub(super) fn insert(connection: &Connection, at: SystemTime, deed: &Deed) -> rusqlite::Result<()> {
    let cut = |text: &str| text.chars().take(CHARS_MAX).collect::<String>();
    let insert = "INSERT INTO handed_in (at_ms, deed, by, person, detail) VALUES (?1, ?2, ?3, ?4, ?5)";
    let row = params![unix_ms(at), deed.kind.name(), cut(&deed.by), cut(&deed.person), cut(&deed.detail)];
    connection.execute(insert, row).map(drop)
}

/// Leaves it, with the purge itself, that so many entries were purged because they were too old.
pub(super) fn insert_purge(connection: &Connection, at: SystemTime, times: usize) -> rusqlite::Result<()> {
    let insert = "INSERT INTO handed_in (at_ms, deed, by, person, detail) VALUES (?1, ?2, '', '', ?3)";
    connection.execute(insert, params![unix_ms(at), PURGE, times.to_string()]).map(drop)
}

/// Tells whether something waits to be written down.
pub(super) fn is_any(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM handed_in")?.exists([])
}

/// Hands in again what stands behind the first `size` entries, which are taken back.
pub(super) fn give_back(connection: &Connection, size: u64) -> rusqlite::Result<()> {
    let names: Vec<String> = DeedKind::ALL.iter().map(|kind| format!("'{}'", kind.name())).collect();
    let give_back = format!(
        "INSERT INTO handed_in (at_ms, deed, by, person, detail) \
         SELECT at_ms, entry ->> 'event', actor, commercial_id, \
         iif(entry ->> 'event' = '{PURGE}', coalesce(entry ->> 'times', 1), entry ->> 'detail') \
         FROM entries WHERE number > ?1 AND entry ->> 'event' IN ('{PURGE}', {}) ORDER BY number",
        names.join(", ")
    );
    connection.execute(&give_back, [size]).map(drop)
}

/// Returns what waits to be written down, with the number of the last one.
pub(super) fn waiting(connection: &Connection) -> rusqlite::Result<(Vec<Entry>, i64)> {
    // Whoever else may have left it there.
    let waiting = "SELECT number, max(at_ms, 0), substr(deed, 1, ?2), substr(by, 1, ?2), substr(person, 1, ?2), \
                   substr(detail, 1, ?2) FROM handed_in ORDER BY number LIMIT ?1";
    let mut waiting = connection.prepare_cached(waiting)?;
    let (mut rows, mut entries, mut last) = (waiting.query([AT_ONCE, CHARS_MAX])?, Vec::new(), i64::MIN);
    while let Some(row) = rows.next()? {
        last = row.get(0)?;
        let at = UNIX_EPOCH + Duration::from_millis(row.get(1)?);
        if text(row, 2) == PURGE {
            let event = Event::JournalPurged { times: text(row, 5).parse().unwrap_or_default() };
            entries.push(Entry { id: EntryId(0), at, event });
            continue;
        }
        // What nobody of us left there is no deed.
        let Some(kind) = DeedKind::named(&text(row, 2)) else { continue };
        let deed = Deed { kind, by: text(row, 3), person: text(row, 4), detail: text(row, 5) };
        entries.push(Entry { id: EntryId(0), at, event: Event::Done { deed: Arc::new(deed) } });
    }
    Ok((entries, last))
}

/// Takes out what is written down in the same transaction.
pub(super) fn take(connection: &Connection, last: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM handed_in WHERE number <= ?1")?.execute([last]).map(drop)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::host::journal::{Journal, Reading, Wanted};

    fn deed(kind: DeedKind) -> Deed {
        Deed { kind, by: "uid=0".into(), person: "lea".into(), detail: "x".repeat(2 * CHARS_MAX) }
    }

    fn events(data: &TempDir) -> Vec<String> {
        let mut events = Vec::new();
        let take = |_, entry: String| {
            let entry: serde_json::Value = serde_json::from_str(&entry).unwrap();
            events.push(format!(
                "{} {} {}",
                entry["event"].as_str().unwrap(),
                entry["at_ms"],
                entry["commercial_id"]
            ));
            true
        };
        Reading::open(data.path()).unwrap().entries(&Wanted::default(), take).unwrap();
        events
    }

    #[test]
    fn what_is_handed_in_is_written_down_once_beside_the_server_and_without_one() {
        let data = TempDir::new().unwrap();
        let at = UNIX_EPOCH + Duration::from_millis(7);
        assert!(matches!(hand_in(data.path(), at, &deed(DeedKind::Shown)), Err(JournalError::Missing { .. })));
        let mut journal = Journal::open(data.path()).unwrap().0;
        journal.take_in().unwrap();
        assert_eq!(events(&data), [""; 0], "there is nothing");
        hand_in(data.path(), at, &deed(DeedKind::Shown)).unwrap();
        let other = Entry { id: EntryId(0), at: UNIX_EPOCH, event: Event::ServerEnded };
        journal.append(&[&other]).unwrap();
        journal.take_in().unwrap();
        drop(journal);
        hand_in(data.path(), at, &deed(DeedKind::BackedUp)).unwrap();
        let mut journal = Journal::open(data.path()).unwrap().0;
        journal.take_in().unwrap();
        assert_eq!(
            events(&data),
            [r#"journal_shown 7 "lea""#, r#"server_ended 0 """#, r#"journal_backed_up 7 "lea""#]
        );
        Reading::open(data.path()).unwrap().verify(None).unwrap();
    }

    #[test]
    fn what_is_no_deed_becomes_no_entry() {
        let data = TempDir::new().unwrap();
        let mut journal = Journal::open(data.path()).unwrap().0;
        let insert =
            "INSERT INTO handed_in (at_ms, deed, by, person, detail) VALUES (1, 'listen_ended', '', 'lea', '')";
        Connection::open(data.path().join(DATABASE)).unwrap().execute_batch(insert).unwrap();
        journal.take_in().unwrap();
        journal.take_in().unwrap();
        assert_eq!(events(&data), [""; 0]);
    }
}
