//! What a server left open that ended without a word: what was on air, who was heard. The next one closes it.
//!
//! While something is open, a sign of life is kept beside it. Invariant: nothing is closed that the server opened which
//! closes.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Row, params};

use super::{Journal, JournalError};
use crate::audit::{Entry, EntryId, Event, ListenEnd, Listening, ListeningId, OffAir, Subject};

impl Journal {
    /// Keeps it that the server lives at this moment, where something is open.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn sign_of_life(&mut self, at: SystemTime) -> Result<(), JournalError> {
        self.with_open(|journal| {
            let Some(open) = &journal.open else { return Ok(()) };
            let sign = "INSERT INTO alive (row, at_ms) SELECT 1, ?1 \
                        WHERE EXISTS (SELECT 1 FROM broadcasts WHERE to_ms IS NULL) \
                        OR EXISTS (SELECT 1 FROM listenings WHERE to_ms IS NULL) \
                        ON CONFLICT DO UPDATE SET at_ms = excluded.at_ms";
            open.connection.prepare_cached(sign)?.execute([unix_ms(at)]).map(drop)
        })
    }
}

/// Keeps it that the server lives at this moment, whatever is open.
pub(super) fn sign(connection: &Connection, at: SystemTime) -> rusqlite::Result<()> {
    let sign = "INSERT INTO alive (row, at_ms) VALUES (1, ?1) ON CONFLICT DO UPDATE SET at_ms = excluded.at_ms";
    connection.prepare_cached(sign)?.execute([unix_ms(at)]).map(drop)
}

/// Returns the entries that close what is open, at the last sign of life.
pub(super) fn ends(connection: &Connection) -> rusqlite::Result<Vec<Entry>> {
    let last = "SELECT max(coalesce((SELECT at_ms FROM alive), 0), coalesce((SELECT at_ms FROM entries \
                ORDER BY number DESC LIMIT 1), 0))";
    let last_ms: u64 = connection.query_row(last, [], |row| row.get(0))?;
    let end = |from_ms: u64, event| Entry {
        id: EntryId(0),
        at: UNIX_EPOCH + Duration::from_millis(last_ms.max(from_ms)),
        event,
    };
    let listenings = "SELECT asked_ms, listening, admin_id, admin_name, commercial_id, reason, device, from_ms IS NOT NULL \
                      FROM listenings WHERE to_ms IS NULL ORDER BY number";
    let mut listenings = connection.prepare(listenings)?;
    let listenings = listenings.query_map([], |row| Ok(end(row.get(0)?, listening_ended(row)?)))?;
    let mut ends: Vec<Entry> = listenings.collect::<Result<_, _>>()?;
    let broadcasts = "SELECT from_ms, commercial_id, device FROM broadcasts WHERE to_ms IS NULL ORDER BY number";
    let mut broadcasts = connection.prepare(broadcasts)?;
    let broadcasts = broadcasts.query_map(params![], |row| {
        let of = Subject { commercial_id: row.get(1)?, is_device: row.get(2)? };
        Ok(end(row.get(0)?, Event::BroadcastStopped { of, why: OffAir::ServerDied, packets: None }))
    })?;
    for stopped in broadcasts {
        ends.push(stopped?);
    }
    Ok(ends)
}

fn listening_ended(row: &Row<'_>) -> rusqlite::Result<Event> {
    let id: String = row.get(1)?;
    let listening = Arc::new(Listening {
        id: ListeningId(u64::from_str_radix(&id, 16).unwrap_or_default()),
        admin_id: row.get(2)?,
        admin_name: row.get(3)?,
        commercial_id: row.get(4)?,
        reason: row.get(5)?,
        looks_like: None,
    });
    let (is_device, was_heard) = (row.get(6)?, row.get(7)?);
    Ok(Event::ListenEnded { listening, is_device, was_heard, why: ListenEnd::ServerDied })
}

pub(super) fn unix_ms(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
