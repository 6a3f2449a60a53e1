//! What commands have done, as they hand it in: the server that runs writes it down, or the next one.
//!
//! A command can't append to the journal of a server that does. It leaves one row, durably, before it does what is to be
//! written down; a revocation alone waits for nothing, and leaves it afterwards. The row is signed with the journal's key, which
//! whoever may run such a command can read. Invariant: nothing becomes a deed or a purge that is not signed, and nothing twice.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use super::left::unix_ms;
use super::reading::{open_database, text};
use super::schema::{VERSION, check_ours, set_up};
use super::{DATABASE, JournalError, KEY, load_key, not_taken, told};
use crate::audit::{Deed, DeedKind, Entry, EntryId, Event, HandInId, JOURNAL_PURGED, Purge, PurgeCause};
use crate::host::secret;
use crate::journal::{Numbers, STATEMENT_BYTES_MAX, Signed, Signer, Statement, VerifyKey};

/// How many are written down at one time, and how many bytes they have together, but for the last one.
const AT_ONCE: usize = 256;
const AT_ONCE_BYTES: usize = 1 << 20;
/// What is longer is cut, in characters.
const CHARS_MAX: usize = 500;

/// What waits to be written down.
pub(super) struct Waiting {
    pub(super) entries: Vec<Entry>,
    /// The number of the last row that was looked at.
    pub(super) last: i64,
}

/// Hands in what a command is about to do.
///
/// # Errors
/// [`JournalError`]; it is not to be done then.
pub fn hand_in(data: &Path, at: SystemTime, deed: &Deed) -> Result<(), JournalError> {
    let (path, connection, key) = open_to_hand_in(data)?;
    insert(&connection, &key, at, deed).map_err(|error| told(&path, &error))
}

/// Opens the journal of a data directory beside the server that writes it, with the key that signs what is handed in.
pub(super) fn open_to_hand_in(data: &Path) -> Result<(PathBuf, Connection, Signer), JournalError> {
    let path = data.join(DATABASE);
    let mut connection = open_database(&path, true)?;
    if check_ours(&path, &connection)? < VERSION {
        return Err(JournalError::Older { path });
    }
    if let Some(pragma) = set_up(&mut connection, false).map_err(|error| told(&path, &error))? {
        return Err(not_taken(&path, pragma));
    }
    let key = load_key(&data.join(KEY))?.ok_or_else(|| JournalError::NoKey { path: data.join(KEY) })?;
    Ok((path, connection, key))
}

pub(super) fn insert(connection: &Connection, key: &Signer, at: SystemTime, deed: &Deed) -> rusqlite::Result<()> {
    let cut = |text: &str| text.chars().take(CHARS_MAX).collect::<String>();
    let statement = Statement {
        id: new_id()?,
        at_ms: unix_ms(at),
        event: deed.kind.name().to_owned(),
        by: cut(&deed.by),
        person: cut(&deed.person),
        detail: cut(&deed.detail),
        rows: None,
    };
    sign(connection, key, &statement)
}

/// Leaves it, with the purge itself, which entries were purged.
pub(super) fn insert_purge(
    connection: &Connection,
    key: &Signer,
    (at, why): (SystemTime, PurgeCause),
    numbers: &Numbers,
) -> rusqlite::Result<()> {
    let statement = Statement {
        id: new_id()?,
        at_ms: unix_ms(at),
        event: JOURNAL_PURGED.to_owned(),
        by: String::new(),
        person: String::new(),
        detail: why.words().to_owned(),
        rows: Some(numbers.to_string()),
    };
    sign(connection, key, &statement)
}

fn new_id() -> rusqlite::Result<String> {
    let chance = secret::random::<8>().map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    Ok(HandInId(u64::from_le_bytes(chance)).to_string())
}

fn sign(connection: &Connection, key: &Signer, statement: &Statement) -> rusqlite::Result<()> {
    let Signed { statement, signature } = statement.sign(key);
    let insert = "INSERT INTO handed_in (statement, signature) VALUES (?1, ?2)";
    connection.execute(insert, params![statement, signature]).map(drop)
}

/// Tells whether something waits to be written down.
pub(super) fn is_any(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM handed_in")?.exists([])
}

/// Hands in again what stands behind the first `size` entries, which are taken back.
pub(super) fn give_back(connection: &Connection, key: &Signer, size: u64) -> rusqlite::Result<()> {
    let behind =
        "SELECT entry FROM entries WHERE number > ?1 AND entry ->> 'handed_in' IS NOT NULL ORDER BY number";
    let mut behind = connection.prepare(behind)?;
    let behind: Vec<String> = behind.query_map([size], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let statements = behind.iter().filter_map(|entry| serde_json::from_str::<Statement>(entry).ok());
    statements.into_iter().try_for_each(|statement| sign(connection, key, &statement))
}

/// Returns what waits to be written down. Of what is not signed, however much it is, one entry says that it was there.
pub(super) fn waiting(connection: &Connection, key: &VerifyKey, now: SystemTime) -> rusqlite::Result<Waiting> {
    let (mut entries, mut others, mut last) = (Vec::new(), 0, i64::MIN);
    let (mut ids, mut count, mut bytes) = (HashSet::new(), 0, 0);
    let written = "SELECT 1 FROM entries INDEXED BY entries_handed_in \
                   WHERE entry ->> 'handed_in' = ?1 AND entry ->> 'handed_in' IS NOT NULL";
    let mut written = connection.prepare_cached(written)?;
    each(connection, |number, signed| {
        (last, count, bytes) = (number, count + 1, bytes + signed.statement.len());
        match signed.open(key) {
            None => others += 1,
            // What was handed in again is written down already.
            Some(statement) if written.exists([&statement.id])? || !ids.insert(statement.id.clone()) => {}
            Some(statement) => match entry_of(&signed, statement) {
                Some(entry) => entries.push(entry),
                None => others += 1,
            },
        }
        Ok(count < AT_ONCE && bytes < AT_ONCE_BYTES)
    })?;
    if others > 0 {
        entries.push(Entry { id: EntryId(0), at: now, event: Event::HandInRefused { times: others } });
    }
    Ok(Waiting { entries, last })
}

/// Returns what was signed of purges, in order: behind the first `size` entries, and of those that are no entries yet.
pub(super) fn purges(connection: &Connection, key: &VerifyKey, size: u64) -> rusqlite::Result<Vec<Signed>> {
    let mut waiting = Vec::new();
    // What becomes an entry meanwhile is there twice, and not missed.
    each(connection, |_, signed| {
        let is_purge = signed.open(key).is_some_and(|statement| statement.purged().is_some());
        waiting.extend(Some(signed).filter(|_| is_purge));
        Ok(true)
    })?;
    let behind = "SELECT entry FROM entries INDEXED BY entries_handed_in \
                  WHERE entry ->> 'handed_in' IS NOT NULL AND number > ?1 AND entry ->> 'event' = ?2 ORDER BY number";
    let mut behind = connection.prepare(behind)?;
    let mut behind = behind.query(params![size, JOURNAL_PURGED])?;
    let mut purges = Vec::new();
    while let Some(row) = behind.next()? {
        purges.extend(Statement::of_entry(&text(row, 0)));
    }
    purges.append(&mut waiting);
    Ok(purges)
}

/// Hands over what was handed in, with its number, in order, for as long as `take` says so; nothing is known of its signature.
fn each(
    connection: &Connection,
    mut take: impl FnMut(i64, Signed) -> rusqlite::Result<bool>,
) -> rusqlite::Result<()> {
    // Whoever else may have left it there.
    let all = "SELECT number, iif(octet_length(statement) <= ?1, statement, ''), substr(signature, 1, 65) \
               FROM handed_in ORDER BY number";
    let mut all = connection.prepare_cached(all)?;
    let mut rows = all.query([STATEMENT_BYTES_MAX])?;
    while let Some(row) = rows.next()? {
        let signed = Signed { statement: text(row, 1), signature: row.get(2).unwrap_or_default() };
        if !take(row.get(0)?, signed)? {
            break;
        }
    }
    Ok(())
}

/// Returns the entry that something becomes that was handed in; none of what is not signed, or no command of this version says.
fn entry_of(signed: &Signed, statement: Statement) -> Option<Entry> {
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(statement.at_ms))?;
    let handed_in = HandInId(u64::from_str_radix(&statement.id, 16).ok()?);
    let event = match statement.purged() {
        Some((why, rows)) => {
            let (times, rows) = (Numbers::parse(rows)?.count(), rows.to_owned());
            let purge = Arc::new(Purge { why, times, rows, signature: signed.signature() });
            Event::JournalPurged { purge, handed_in }
        }
        None => {
            let kind = DeedKind::named(&statement.event)?;
            let deed = Deed { kind, by: statement.by, person: statement.person, detail: statement.detail };
            Event::Done { deed: Arc::new(deed), handed_in }
        }
    };
    Some(Entry { id: EntryId(0), at, event })
}

/// Takes out what is written down in the same transaction.
pub(super) fn take(connection: &Connection, last: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM handed_in WHERE number <= ?1")?.execute([last]).map(drop)
}

/// Returns what was handed in to a journal of the second version; what it had purged is said anew.
pub(super) fn unsigned(connection: &Connection) -> rusqlite::Result<Vec<(SystemTime, Deed)>> {
    let all = "SELECT max(at_ms, 0), substr(deed, 1, ?1), substr(by, 1, ?1), substr(person, 1, ?1), \
               substr(detail, 1, ?1) FROM handed_in ORDER BY number";
    let (mut all, mut deeds) = (connection.prepare(all)?, Vec::new());
    let mut rows = all.query([CHARS_MAX])?;
    while let Some(row) = rows.next()? {
        let at = UNIX_EPOCH + Duration::from_millis(row.get(0)?);
        let Some(kind) = DeedKind::named(&text(row, 1)) else { continue };
        deeds.push((at, Deed { kind, by: text(row, 2), person: text(row, 3), detail: text(row, 4) }));
    }
    Ok(deeds)
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
        journal.take_in(at).unwrap();
        assert_eq!(events(&data), [""; 0], "there is nothing");
        hand_in(data.path(), at, &deed(DeedKind::Shown)).unwrap();
        let other = Entry { id: EntryId(0), at: UNIX_EPOCH, event: Event::ServerEnded };
        journal.append(&[&other]).unwrap();
        journal.take_in(at).unwrap();
        drop(journal);
        hand_in(data.path(), at, &deed(DeedKind::BackedUp)).unwrap();
        let mut journal = Journal::open(data.path()).unwrap().0;
        journal.take_in(at).unwrap();
        assert_eq!(
            events(&data),
            [r#"journal_shown 7 "lea""#, r#"server_ended 0 """#, r#"journal_backed_up 7 "lea""#]
        );
        Reading::open(data.path()).unwrap().verify(None).unwrap();
    }

    fn handed_in(data: &TempDir) -> Connection {
        Connection::open(data.path().join(DATABASE)).unwrap()
    }

    #[test]
    fn what_is_not_signed_is_told_of_once_and_without_its_text() {
        let data = TempDir::new().unwrap();
        let mut journal = Journal::open(data.path()).unwrap().0;
        let at = UNIX_EPOCH + Duration::from_millis(7);
        let spoil = [
            "UPDATE handed_in SET statement = replace(statement, 'lea', 'eve')",
            "UPDATE handed_in SET statement = replace(statement, '\"at_ms\":7', '\"at_ms\":8')",
            "UPDATE handed_in SET signature = zeroblob(64)",
            "UPDATE handed_in SET signature = x''",
            "UPDATE handed_in SET signature = zeroblob(100000), statement = statement || hex(zeroblob(1000000))",
            "INSERT INTO handed_in (statement, signature) SELECT 'eve', signature FROM handed_in; \
             DELETE FROM handed_in WHERE statement <> 'eve'",
        ];
        for sql in spoil {
            hand_in(data.path(), at, &deed(DeedKind::Shown)).unwrap();
            handed_in(&data).execute_batch(sql).unwrap();
            journal.take_in(at).unwrap();
            journal.take_in(at).unwrap();
        }
        assert_eq!(events(&data), [r#"hand_in_refused 7 """#; 6]);
        let many = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT 200) \
                    INSERT INTO handed_in (statement, signature) SELECT '{}', x'00' FROM n";
        handed_in(&data).execute_batch(many).unwrap();
        hand_in(data.path(), at, &deed(DeedKind::Shown)).unwrap();
        journal.take_in(at).unwrap();
        let told = events(&data);
        assert_eq!(told[6..], [r#"journal_shown 7 "lea""#, r#"hand_in_refused 7 """#]);
        Reading::open(data.path()).unwrap().verify(None).unwrap();
    }

    #[test]
    fn what_is_handed_in_again_is_written_down_once() {
        let data = TempDir::new().unwrap();
        let mut journal = Journal::open(data.path()).unwrap().0;
        let at = UNIX_EPOCH + Duration::from_millis(7);
        let again = "INSERT INTO handed_in (statement, signature) SELECT statement, signature FROM handed_in";
        hand_in(data.path(), at, &deed(DeedKind::Shown)).unwrap();
        handed_in(&data).execute_batch(again).unwrap();
        let kept: (String, Vec<u8>) = handed_in(&data)
            .query_row("SELECT statement, signature FROM handed_in", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        journal.take_in(at).unwrap();
        assert_eq!(events(&data).len(), 1);
        for _ in 0..2 {
            handed_in(&data)
                .execute("INSERT INTO handed_in (statement, signature) VALUES (?1, ?2)", params![kept.0, kept.1])
                .unwrap();
            journal.take_in(at).unwrap();
            assert_eq!(events(&data).len(), 1);
            drop(journal);
            journal = Journal::open(data.path()).unwrap().0;
        }
        assert!(!is_any(&handed_in(&data)).unwrap());
    }

    #[test]
    fn nothing_is_handed_in_without_the_key() {
        let data = TempDir::new().unwrap();
        drop(Journal::open(data.path()).unwrap());
        std::fs::remove_file(data.path().join(KEY)).unwrap();
        let refused = hand_in(data.path(), UNIX_EPOCH, &deed(DeedKind::Shown));
        assert!(matches!(refused, Err(JournalError::NoKey { .. })), "{refused:?}");
    }
}
