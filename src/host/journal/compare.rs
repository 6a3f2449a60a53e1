//! Compares the history with the entries that it is made from, which alone are bound to each other.
//!
//! Invariant: each row that the entries come to is there and no other, but for those of which an entry was purged.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension};

use super::projection::{BROADCAST, LISTENING, broadcast_of, listening_of, restored};
use crate::history::{BroadcastRow, Change, ListeningRow, Telling};

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
    #[error("the history knows otherwise than the entries of which copy the journal was made")]
    Restored,
}

/// Why a comparison ends before its end.
enum Stop {
    Differs(Differs),
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Stop {
        Stop::Failed(error)
    }
}

/// The history as the entries have it, while they are read.
pub(super) struct Comparison<'a> {
    kept: Kept<'a>,
    telling: Telling,
    version: i32,
    /// The entry that said last that the journal was restored, or that somebody knows.
    restored: Option<u64>,
    /// The last entry so far that was purged: whatever goes on over it can't be told anew.
    last_purged: u64,
    /// By id and role, the name and when they were seen last.
    people: HashMap<(String, String), (String, u64)>,
}

/// The history as it is kept, and what of it was compared.
struct Kept<'a> {
    connection: &'a Connection,
    broadcast: CachedStatement<'a>,
    listening: CachedStatement<'a>,
    broadcasts: Vec<u64>,
    listenings: Vec<u64>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(connection: &'a Connection, version: i32) -> rusqlite::Result<Comparison<'a>> {
        let kept = Kept {
            connection,
            broadcast: connection
                .prepare_cached(&format!("SELECT {BROADCAST} FROM broadcasts WHERE number = ?1"))?,
            listening: connection
                .prepare_cached(&format!("SELECT {LISTENING} FROM listenings WHERE number = ?1"))?,
            broadcasts: Vec::new(),
            listenings: Vec::new(),
        };
        let telling = Telling::default();
        Ok(Comparison { kept, telling, version, restored: None, last_purged: 0, people: HashMap::new() })
    }

    /// The next entry was purged.
    pub(super) fn take_purged(&mut self, number: u64) {
        self.last_purged = number;
    }

    /// Takes the next entry, as it is stored; returns how the history differs in what it ends.
    pub(super) fn take(&mut self, number: u64, stored: &str) -> rusqlite::Result<Option<Differs>> {
        let (kept, people, purged) = (&mut self.kept, &mut self.people, self.last_purged);
        let said = &mut self.restored;
        told(self.telling.take(number, stored, |change| match change {
            // What is open is compared at the end.
            Change::Broadcast(row) if row.to_ms.is_some() => kept.compare_broadcast(row, purged),
            Change::Listening(row) if row.to_ms.is_some() => kept.compare_listening(row, purged),
            Change::Broadcast(_) | Change::Listening(_) => Ok(()),
            Change::Came { id, role, name, at_ms } => {
                let person = people.entry((id.to_owned(), role.to_owned())).or_default();
                *person = (name.to_owned(), person.1.max(at_ms));
                Ok(())
            }
            Change::WasHere { id, at_ms } => {
                if let Some(person) = people.get_mut(&(id.to_owned(), "commercial".to_owned())) {
                    person.1 = person.1.max(at_ms);
                }
                Ok(())
            }
            Change::Restored(_) => {
                *said = Some(number);
                Ok(())
            }
        }))
    }

    /// Returns how the history differs in what is open, or has more than it should.
    pub(super) fn end(mut self) -> rusqlite::Result<Option<Differs>> {
        let compared = self.compare_rest();
        told(compared)
    }

    fn compare_rest(&mut self) -> Result<(), Stop> {
        let purged = self.last_purged;
        let mut broadcasts: Vec<&BroadcastRow> = self.telling.broadcasts().collect();
        broadcasts.sort_unstable_by_key(|row| row.number);
        broadcasts.into_iter().try_for_each(|row| self.kept.compare_broadcast(row, purged))?;
        let mut listenings: Vec<&ListeningRow> = self.telling.listenings().collect();
        listenings.sort_unstable_by_key(|row| row.number);
        listenings.into_iter().try_for_each(|row| self.kept.compare_listening(row, purged))?;
        for (table, compared) in
            [("broadcasts", &mut self.kept.broadcasts), ("listenings", &mut self.kept.listenings)]
        {
            compared.sort_unstable();
            find_invented(self.kept.connection, table, compared)?;
        }
        // What was purged may have said so, or that somebody knows.
        let is_told = self.version > 2 && self.restored.unwrap_or_default() >= self.last_purged;
        if is_told && restored(self.kept.connection)? != self.telling.restored() {
            return Err(Stop::Differs(Differs::Restored));
        }
        let known = "SELECT 1 FROM people WHERE id = ?1 AND role = ?2 AND name = ?3 AND seen_ms = ?4";
        let mut known = self.kept.connection.prepare(known)?;
        for ((id, role), (name, seen_ms)) in &self.people {
            if !known.exists(rusqlite::params![id, role, name, seen_ms])? {
                return Err(Stop::Differs(Differs::People));
            }
        }
        Ok(())
    }
}

impl Kept<'_> {
    fn compare_broadcast(&mut self, row: &BroadcastRow, purged: u64) -> Result<(), Stop> {
        self.broadcasts.push(row.number);
        if purged > row.number {
            return Ok(());
        }
        let kept = self.broadcast.query_row([row.number], broadcast_of).optional()?;
        compare(row.number, kept.map(|kept| kept == *row))
    }

    fn compare_listening(&mut self, row: &ListeningRow, purged: u64) -> Result<(), Stop> {
        self.listenings.push(row.number);
        if purged > row.number {
            return Ok(());
        }
        let kept = self.listening.query_row([row.number], listening_of).optional()?;
        // Which broadcast counted it last is told to nobody.
        compare(row.number, kept.map(|kept| ListeningRow { broadcast: row.broadcast, ..kept } == *row))
    }
}

fn compare(number: u64, is_same: Option<bool>) -> Result<(), Stop> {
    match is_same {
        Some(true) => Ok(()),
        Some(false) => Err(Stop::Differs(Differs::Otherwise(number))),
        None => Err(Stop::Differs(Differs::Missing(number))),
    }
}

/// Looks for a row that no entry comes to, among those whose entry was not purged.
fn find_invented(connection: &Connection, table: &str, compared: &[u64]) -> Result<(), Stop> {
    let mut numbers = connection.prepare(&format!("SELECT number FROM {table} ORDER BY number"))?;
    let mut is_purged = connection.prepare("SELECT 1 FROM entries WHERE number = ?1 AND entry IS NULL")?;
    let mut numbers = numbers.query([])?;
    while let Some(row) = numbers.next()? {
        let number: u64 = row.get(0)?;
        // What began before the purge and went on stays.
        if compared.binary_search(&number).is_err() && !is_purged.exists([number])? {
            return Err(Stop::Differs(Differs::Invented(number)));
        }
    }
    Ok(())
}

fn told(compared: Result<(), Stop>) -> rusqlite::Result<Option<Differs>> {
    match compared {
        Ok(()) => Ok(None),
        Err(Stop::Differs(differs)) => Ok(Some(differs)),
        Err(Stop::Failed(error)) => Err(error),
    }
}
