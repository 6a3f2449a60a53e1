//! What entries come to: who was on air, who heard whom, who was here. Written in the transaction of each entry.
//!
//! Made from what is stored alone, so that all of it can be made anew from the entries. Invariant: a row is open from the
//! entry that begins it to the one that ends it, and what is open when a server ends without a word is closed by the next.

use rusqlite::{Connection, named_params, params};
use serde::Deserialize;

/// What is derived from the entries; `number` is that of the entry that began a row.
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

/// What an entry says, as far as something comes of it.
#[derive(Deserialize)]
struct Said {
    at_ms: u64,
    event: String,
    #[serde(default)]
    actor: String,
    #[serde(default)]
    commercial_id: String,
    #[serde(default)]
    listening: String,
    #[serde(default)]
    admin_name: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    detail: String,
    told: Option<String>,
    #[serde(default)]
    name: String,
    packets: Option<u64>,
    lost: Option<u64>,
    #[serde(default)]
    device: bool,
}

/// Does what follows from an entry, as it is stored.
pub(super) fn apply(connection: &Connection, number: u64, stored: &str) -> rusqlite::Result<()> {
    // What is none of ours is not made any better here: `verify` names it.
    let Ok(said) = serde_json::from_str::<Said>(stored) else { return Ok(()) };
    match said.event.as_str() {
        "registered" => meet(connection, &said),
        "broadcast_started" => begin_broadcast(connection, number, &said),
        "broadcast_stopped" => end_broadcast(connection, &said),
        "listen_asked" => begin_listening(connection, number, &said),
        "listen_started" => sound(connection, &said),
        "listen_interrupted" => fall_silent(connection, &said),
        "listen_ended" => end_listening(connection, &said),
        _ => Ok(()),
    }
}

/// Makes all of it anew from the entries that are kept.
pub(super) fn make_anew(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("DELETE FROM broadcasts; DELETE FROM listenings; DELETE FROM people")?;
    let mut entries =
        connection.prepare("SELECT number, entry FROM entries WHERE entry IS NOT NULL ORDER BY number")?;
    let mut entries = entries.query([])?;
    while let Some(entry) = entries.next()? {
        apply(connection, entry.get(0)?, &entry.get::<_, String>(1)?)?;
    }
    Ok(())
}

/// Takes out what began before a moment and is over, with the entry that began it, and whom nobody has seen since.
pub(super) fn purge(connection: &Connection, before_ms: u64) -> rusqlite::Result<()> {
    let purges = [
        "DELETE FROM broadcasts WHERE from_ms < ?1 AND to_ms IS NOT NULL \
         AND (SELECT entry FROM entries WHERE entries.number = broadcasts.number) IS NULL",
        "DELETE FROM listenings WHERE asked_ms < ?1 AND to_ms IS NOT NULL \
         AND (SELECT entry FROM entries WHERE entries.number = listenings.number) IS NULL",
        "DELETE FROM people WHERE seen_ms < ?1",
    ];
    purges.iter().try_for_each(|purge| connection.execute(purge, [before_ms]).map(drop))
}

fn meet(connection: &Connection, said: &Said) -> rusqlite::Result<()> {
    let meet = "INSERT INTO people (id, role, name, seen_ms) VALUES (?1, ?2, ?3, ?4) \
                ON CONFLICT DO UPDATE SET name = excluded.name, seen_ms = max(seen_ms, excluded.seen_ms)";
    let person = params![said.actor, said.detail, said.name, said.at_ms];
    connection.prepare_cached(meet)?.execute(person).map(drop)
}

fn begin_broadcast(connection: &Connection, number: u64, said: &Said) -> rusqlite::Result<()> {
    // Its end was lost, where more waited to be written than may.
    let close =
        "UPDATE broadcasts SET to_ms = ?2, ended = 'not_written' WHERE commercial_id = ?1 AND to_ms IS NULL";
    connection.prepare_cached(close)?.execute(params![said.commercial_id, said.at_ms])?;
    let begin = "INSERT INTO broadcasts (number, commercial_id, device, from_ms) VALUES (?1, ?2, ?3, ?4)";
    let row = params![number, said.commercial_id, said.device, said.at_ms];
    connection.prepare_cached(begin)?.execute(row).map(drop)
}

fn end_broadcast(connection: &Connection, said: &Said) -> rusqlite::Result<()> {
    let end = "UPDATE broadcasts SET to_ms = ?2, ended = ?3, packets = ?4, lost = ?5 \
               WHERE commercial_id = ?1 AND to_ms IS NULL";
    let row = params![said.commercial_id, said.at_ms, ended(&said.detail), said.packets, said.lost];
    connection.prepare_cached(end)?.execute(row)?;
    let seen = "UPDATE people SET seen_ms = max(seen_ms, ?2) WHERE id = ?1 AND role = 'commercial'";
    connection.prepare_cached(seen)?.execute(params![said.commercial_id, said.at_ms]).map(drop)
}

fn begin_listening(connection: &Connection, number: u64, said: &Said) -> rusqlite::Result<()> {
    let begin = "INSERT INTO listenings (number, listening, commercial_id, admin_id, admin_name, reason, device, asked_ms) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let Said { listening, commercial_id, actor, admin_name, reason, device, at_ms, .. } = said;
    let row = params![number, listening, commercial_id, actor, admin_name, reason, device, at_ms];
    connection.prepare_cached(begin)?.execute(row).map(drop)
}

/// A listening sounds from now on; a broadcast counts it once, however often it falls silent.
fn sound(connection: &Connection, said: &Said) -> rusqlite::Result<()> {
    let count = "UPDATE broadcasts SET listeners = listeners + 1 WHERE commercial_id = :commercial AND to_ms IS NULL \
                 AND number IS NOT (SELECT broadcast FROM listenings WHERE listening = :listening AND to_ms IS NULL)";
    let who = named_params! { ":commercial": said.commercial_id, ":listening": said.listening };
    connection.prepare_cached(count)?.execute(who)?;
    let sound = "UPDATE listenings SET from_ms = coalesce(from_ms, :at), sounds_since_ms = coalesce(sounds_since_ms, :at), \
                 told = coalesce(:told, told), \
                 broadcast = (SELECT number FROM broadcasts WHERE commercial_id = :commercial AND to_ms IS NULL) \
                 WHERE listening = :listening AND to_ms IS NULL";
    let row = named_params! {
        ":at": said.at_ms, ":told": said.told, ":commercial": said.commercial_id, ":listening": said.listening,
    };
    connection.prepare_cached(sound)?.execute(row).map(drop)
}

fn fall_silent(connection: &Connection, said: &Said) -> rusqlite::Result<()> {
    let fall_silent = "UPDATE listenings SET heard_ms = heard_ms + max(0, ?2 - sounds_since_ms), sounds_since_ms = NULL \
                       WHERE listening = ?1 AND to_ms IS NULL AND sounds_since_ms IS NOT NULL";
    connection.prepare_cached(fall_silent)?.execute(params![said.listening, said.at_ms]).map(drop)
}

fn end_listening(connection: &Connection, said: &Said) -> rusqlite::Result<()> {
    fall_silent(connection, said)?;
    let end = "UPDATE listenings SET to_ms = ?2, ended = ?3 WHERE listening = ?1 AND to_ms IS NULL";
    connection.prepare_cached(end)?.execute(params![said.listening, said.at_ms, ended(&said.detail)]).map(drop)
}

/// Returns the word that programs read for why something ended, by those that people read in the log.
fn ended(detail: &str) -> String {
    match detail {
        "not allowed any more" => "not_allowed".to_owned(),
        "could not be written down" => "not_written".to_owned(),
        "replaced" => "replaced_by_encoder".to_owned(),
        "replaced by the page" => "replaced_by_page".to_owned(),
        "closed by the encoder" => "closed_by_encoder".to_owned(),
        other => other.replace(' ', "_"),
    }
}
