//! Keeps what the entries come to: who was on air, who heard whom, who was here. Written in the transaction of each entry.
//!
//! Invariant: what is kept is what [`Telling`] tells of the entries, and what is open when a server ends without a word is
//! closed by the next.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::history::{BroadcastRow, Change, ListeningRow, Telling};
use crate::words::Restoration;

/// What is derived from the entries, and the last sign of life; `number` is that of the entry that began a row.
pub(super) const TABLES: &str = "
    CREATE TABLE broadcasts (
        number INTEGER PRIMARY KEY,
        commercial_id TEXT NOT NULL,
        device INTEGER NOT NULL,
        from_ms INTEGER NOT NULL,
        to_ms INTEGER,
        ended TEXT,
        packets INTEGER,
        lost INTEGER,
        listeners INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX broadcasts_open ON broadcasts (commercial_id) WHERE to_ms IS NULL;
    CREATE TABLE listenings (
        number INTEGER PRIMARY KEY,
        listening TEXT NOT NULL,
        commercial_id TEXT NOT NULL,
        admin_id TEXT NOT NULL,
        admin_name TEXT NOT NULL,
        reason TEXT NOT NULL,
        device INTEGER NOT NULL,
        asked_ms INTEGER NOT NULL,
        from_ms INTEGER,
        to_ms INTEGER,
        heard_ms INTEGER NOT NULL DEFAULT 0,
        sounds_since_ms INTEGER,
        told TEXT,
        ended TEXT,
        broadcast INTEGER
    ) STRICT;
    CREATE INDEX listenings_open ON listenings (listening) WHERE to_ms IS NULL;
    CREATE TABLE people (
        id TEXT NOT NULL,
        role TEXT NOT NULL,
        name TEXT NOT NULL,
        seen_ms INTEGER NOT NULL,
        PRIMARY KEY (id, role)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE alive (row INTEGER PRIMARY KEY CHECK (row = 1), at_ms INTEGER NOT NULL) STRICT;
";

/// What they are asked by.
pub(super) const INDEXES: &str = "
    CREATE INDEX broadcasts_by_time ON broadcasts (from_ms, number);
    CREATE INDEX broadcasts_by_commercial ON broadcasts (commercial_id, from_ms, number);
    CREATE INDEX listenings_by_time ON listenings (asked_ms, number);
    CREATE INDEX listenings_by_commercial ON listenings (commercial_id, asked_ms, number);
    CREATE INDEX listenings_by_admin ON listenings (admin_id, asked_ms, number);
    CREATE INDEX people_by_time ON people (role, seen_ms);
";

/// What came with the third version: of which copy the journal was made, until somebody has confirmed that they know.
pub(super) const RESTORED: &str = "
    CREATE TABLE restored (
        row INTEGER PRIMARY KEY CHECK (row = 1),
        made_ms INTEGER NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT;
";

/// The columns of a row, in the order of [`broadcast_of`] and [`listening_of`].
pub(super) const BROADCAST: &str = "number, commercial_id, device, from_ms, to_ms, ended, packets, lost, listeners";
pub(super) const LISTENING: &str = "number, listening, commercial_id, admin_id, admin_name, reason, device, asked_ms, \
                                    from_ms, to_ms, heard_ms, sounds_since_ms, told, ended, broadcast";

/// Does what follows from an entry, as it is stored.
pub(super) fn apply(
    connection: &Connection,
    telling: &mut Telling,
    number: u64,
    stored: &str,
) -> rusqlite::Result<()> {
    telling.take(number, stored, |change| match change {
        Change::Broadcast(row) => keep_broadcast(connection, row),
        Change::Listening(row) => keep_listening(connection, row),
        Change::Came { id, role, name, at_ms } => {
            let meet = "INSERT INTO people (id, role, name, seen_ms) VALUES (?1, ?2, ?3, ?4) \
                        ON CONFLICT DO UPDATE SET name = excluded.name, seen_ms = max(seen_ms, excluded.seen_ms)";
            connection.prepare_cached(meet)?.execute(params![id, role, name, at_ms]).map(drop)
        }
        Change::WasHere { id, at_ms } => {
            let seen = "UPDATE people SET seen_ms = max(seen_ms, ?2) WHERE id = ?1 AND role = 'commercial'";
            connection.prepare_cached(seen)?.execute(params![id, at_ms]).map(drop)
        }
        Change::Restored(restored) => keep_restored(connection, restored),
    })
}

fn keep_broadcast(connection: &Connection, row: &BroadcastRow) -> rusqlite::Result<()> {
    let keep = "INSERT INTO broadcasts (number, commercial_id, device, from_ms, to_ms, ended, packets, lost, listeners) \
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET to_ms = excluded.to_ms, \
                ended = excluded.ended, packets = excluded.packets, lost = excluded.lost, listeners = excluded.listeners";
    let BroadcastRow { number, commercial_id, device, from_ms, to_ms, ended, packets, lost, listeners } = row;
    let row = params![number, commercial_id, device, from_ms, to_ms, ended, packets, lost, listeners];
    connection.prepare_cached(keep)?.execute(row).map(drop)
}

fn keep_listening(connection: &Connection, row: &ListeningRow) -> rusqlite::Result<()> {
    let keep = "INSERT INTO listenings (number, listening, commercial_id, admin_id, admin_name, reason, device, asked_ms, \
                from_ms, to_ms, heard_ms, sounds_since_ms, told, ended, broadcast) \
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) \
                ON CONFLICT DO UPDATE SET from_ms = excluded.from_ms, to_ms = excluded.to_ms, heard_ms = excluded.heard_ms, \
                sounds_since_ms = excluded.sounds_since_ms, told = excluded.told, ended = excluded.ended, \
                broadcast = excluded.broadcast";
    let row = params![
        row.number,
        row.listening,
        row.commercial_id,
        row.admin_id,
        row.admin_name,
        row.reason,
        row.device,
        row.asked_ms,
        row.from_ms,
        row.to_ms,
        row.heard_ms,
        row.sounds_since_ms,
        row.told,
        row.ended,
        row.broadcast,
    ];
    connection.prepare_cached(keep)?.execute(row).map(drop)
}

fn keep_restored(connection: &Connection, restored: Option<Restoration>) -> rusqlite::Result<()> {
    match restored {
        Some(Restoration { made, at }) => connection.execute(
            "INSERT INTO restored (row, made_ms, at_ms) VALUES (1, ?1, ?2) \
             ON CONFLICT DO UPDATE SET made_ms = excluded.made_ms, at_ms = excluded.at_ms",
            [made, at],
        ),
        None => connection.execute("DELETE FROM restored", []),
    }
    .map(drop)
}

/// Returns the restoration that nobody has confirmed yet that they know of.
pub(super) fn restored(connection: &Connection) -> rusqlite::Result<Option<Restoration>> {
    let restored = |row: &Row<'_>| Ok(Restoration { made: row.get(0)?, at: row.get(1)? });
    connection.query_row("SELECT made_ms, at_ms FROM restored", [], restored).optional()
}

pub(super) fn broadcast_of(row: &Row<'_>) -> rusqlite::Result<BroadcastRow> {
    Ok(BroadcastRow {
        number: row.get(0)?,
        commercial_id: row.get(1)?,
        device: row.get(2)?,
        from_ms: row.get(3)?,
        to_ms: row.get(4)?,
        ended: row.get(5)?,
        packets: row.get(6)?,
        lost: row.get(7)?,
        listeners: row.get(8)?,
    })
}

pub(super) fn listening_of(row: &Row<'_>) -> rusqlite::Result<ListeningRow> {
    Ok(ListeningRow {
        number: row.get(0)?,
        listening: row.get(1)?,
        commercial_id: row.get(2)?,
        admin_id: row.get(3)?,
        admin_name: row.get(4)?,
        reason: row.get(5)?,
        device: row.get(6)?,
        asked_ms: row.get(7)?,
        from_ms: row.get(8)?,
        to_ms: row.get(9)?,
        heard_ms: row.get(10)?,
        sounds_since_ms: row.get(11)?,
        told: row.get(12)?,
        ended: row.get(13)?,
        broadcast: row.get(14)?,
    })
}

/// Returns what is open.
pub(super) fn resume(connection: &Connection) -> rusqlite::Result<Telling> {
    let mut broadcasts = connection.prepare(&format!("SELECT {BROADCAST} FROM broadcasts WHERE to_ms IS NULL"))?;
    let broadcasts: Vec<BroadcastRow> = broadcasts.query_map([], broadcast_of)?.collect::<Result<_, _>>()?;
    let mut counted = connection.prepare(
        "SELECT listening FROM listenings WHERE to_ms IS NULL AND commercial_id = ?1 AND broadcast = ?2",
    )?;
    let mut open = Vec::new();
    for row in broadcasts {
        let of_row = counted.query_map(params![row.commercial_id, row.number], |row| row.get(0))?;
        let of_row: HashSet<String> = of_row.collect::<Result<_, _>>()?;
        open.push((row, of_row));
    }
    let mut listenings = connection.prepare(&format!("SELECT {LISTENING} FROM listenings WHERE to_ms IS NULL"))?;
    let listenings: Vec<ListeningRow> = listenings.query_map([], listening_of)?.collect::<Result<_, _>>()?;
    Ok(Telling::resume(open, listenings, restored(connection)?))
}

/// Makes all of it anew from the entries that are kept.
pub(super) fn make_anew(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "DELETE FROM broadcasts; DELETE FROM listenings; DELETE FROM people; DELETE FROM restored",
    )?;
    let mut entries =
        connection.prepare("SELECT number, entry FROM entries WHERE entry IS NOT NULL ORDER BY number")?;
    let (mut entries, mut telling) = (entries.query([])?, Telling::default());
    while let Some(entry) = entries.next()? {
        apply(connection, &mut telling, entry.get(0)?, &entry.get::<_, String>(1)?)?;
    }
    Ok(())
}

/// Makes of that what the third version has and the second had not.
pub(super) fn make_restored_anew(connection: &Connection) -> rusqlite::Result<()> {
    let mut entries = connection.prepare(
        "SELECT number, entry FROM entries WHERE entry ->> 'event' IN ('journal_restored', 'restoration_confirmed') \
         ORDER BY number",
    )?;
    let (mut entries, mut telling) = (entries.query([])?, Telling::default());
    while let Some(entry) = entries.next()? {
        apply(connection, &mut telling, entry.get(0)?, &entry.get::<_, String>(1)?)?;
    }
    Ok(())
}

/// Takes out what began before a moment and is over, with the entry that began it, and, with all entries, whom nobody has
/// seen since.
pub(super) fn purge(connection: &Connection, before_ms: u64, is_all: bool) -> rusqlite::Result<()> {
    let purges = [
        "DELETE FROM broadcasts WHERE from_ms < ?1 AND to_ms IS NOT NULL \
         AND (SELECT entry FROM entries WHERE entries.number = broadcasts.number) IS NULL",
        "DELETE FROM listenings WHERE asked_ms < ?1 AND to_ms IS NOT NULL \
         AND (SELECT entry FROM entries WHERE entries.number = listenings.number) IS NULL",
        "DELETE FROM people WHERE seen_ms < ?1",
    ];
    purges
        .iter()
        .take(if is_all { 3 } else { 2 })
        .try_for_each(|purge| connection.execute(purge, [before_ms]).map(drop))
}
