//! Compares the history with the entries that it is made from, which alone are bound to each other.
//!
//! Invariant: what is compared is made anew from the entries, in a database of its own that goes with it.

use rusqlite::types::Value;
use rusqlite::{Connection, Rows};

use super::projection::{self, TABLES};

/// How the history differs from what the entries say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Differs {
    #[error("entry {0}: the history does not tell it")]
    Missing(u64),
    #[error("entry {0}: the history tells it otherwise")]
    Otherwise(u64),
    #[error("entry {0}: the history tells of it what it does not say")]
    Invented(u64),
    #[error("the history knows people otherwise than the entries")]
    People,
}

/// How much of the other database is kept in memory, in KiB.
const CACHE_KIB: i32 = 8192;

/// Tells the columns of a table, which begin with the number of the entry that began the row. Which broadcast a listening
/// was counted in last is nothing that is told.
const COLUMNS: [&str; 2] = [
    "number, commercial_id, device, from_ms, to_ms, ended, packets, lost, listeners FROM broadcasts",
    "number, listening, commercial_id, admin_id, admin_name, reason, device, asked_ms, from_ms, to_ms, heard_ms, \
     sounds_since_ms, told, ended FROM listenings",
];

/// The history as the entries have it, while they are read.
pub(super) struct Anew {
    connection: Connection,
}

impl Anew {
    pub(super) fn new() -> rusqlite::Result<Anew> {
        // A file without a name.
        let connection = Connection::open("")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.set_prepared_statement_cache_capacity(24);
        connection.execute_batch(TABLES)?;
        connection.execute_batch("BEGIN")?;
        Ok(Anew { connection })
    }

    /// Takes the next entry, as it is stored.
    pub(super) fn take(&self, number: u64, stored: &str) -> rusqlite::Result<()> {
        projection::apply(&self.connection, number, stored)
    }

    /// Returns how the history of a database differs first, if it does.
    pub(super) fn compare(&self, kept: &Connection) -> rusqlite::Result<Option<Differs>> {
        for columns in COLUMNS {
            let differs = self.compare_rows(kept, columns)?;
            if differs.is_some() {
                return Ok(differs);
            }
        }
        let mut people = self.connection.prepare("SELECT id, role, name, seen_ms FROM people")?;
        let mut people = people.query([])?;
        let mut known =
            kept.prepare("SELECT 1 FROM people WHERE id = ?1 AND role = ?2 AND name = ?3 AND seen_ms = ?4")?;
        while let Some(person) = people.next()? {
            let person: [Value; 4] = [person.get(0)?, person.get(1)?, person.get(2)?, person.get(3)?];
            if !known.exists(person)? {
                return Ok(Some(Differs::People));
            }
        }
        Ok(None)
    }

    fn compare_rows(&self, kept: &Connection, columns: &str) -> rusqlite::Result<Option<Differs>> {
        let query = format!("SELECT {columns} ORDER BY number");
        let (mut anew, mut kept_rows) = (self.connection.prepare(&query)?, kept.prepare(&query)?);
        let count = anew.column_count();
        let (mut anew, mut kept_rows) = (anew.query([])?, kept_rows.query([])?);
        let mut is_purged = kept.prepare("SELECT 1 FROM entries WHERE number = ?1 AND entry IS NULL")?;
        let mut want = next(&mut anew, count)?;
        while let Some((number, row)) = next(&mut kept_rows, count)? {
            match &want {
                Some((wanted, _)) if *wanted < number => return Ok(Some(Differs::Missing(*wanted))),
                Some((wanted, other)) if *wanted == number => {
                    if *other != row {
                        return Ok(Some(Differs::Otherwise(number)));
                    }
                    want = next(&mut anew, count)?;
                }
                // What began before the purge and went on stays.
                Some(_) | None if is_purged.exists([number])? => {}
                Some(_) | None => return Ok(Some(Differs::Invented(number))),
            }
        }
        Ok(want.map(|(wanted, _)| Differs::Missing(wanted)))
    }
}

fn next(rows: &mut Rows<'_>, count: usize) -> rusqlite::Result<Option<(u64, Vec<Value>)>> {
    let Some(row) = rows.next()? else { return Ok(None) };
    let values = (0..count).map(|index| row.get(index)).collect::<Result<Vec<Value>, _>>()?;
    Ok(Some((row.get(0)?, values)))
}
