//! Purges what is written about one person before its time.
//!
//! Beside a server that runs: what is open is left alone. Invariant: nothing is purged before it is durable how much it is
//! and why.

use std::path::Path;
use std::time::SystemTime;

use rusqlite::{Connection, TransactionBehavior};

use super::handed_in::{self, open_to_hand_in};
use super::purge::{PURGED_AT_ONCE, purge};
use super::schema::remove_copies;
use super::{JournalError, checkpoint, told};
use crate::audit::{Deed, DeedKind, PurgeCause};
use crate::journal::Signer;

/// Entries that name the person, but for those that say what was done about them.
const OF_PERSON: &str = "entry IS NOT NULL AND (actor = ?1 OR commercial_id = ?1) AND entry ->> 'event' \
                         NOT IN ('person_purged', 'person_exported', 'user_revoked', 'journal_shown')";

/// How much is written about somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    pub entries: u64,
    /// When the first was and the last, in Unix milliseconds.
    pub from_ms: u64,
    pub to_ms: u64,
}

/// Returns how much is written about somebody; `None` where that is nothing. With a reason it is purged, `by` somebody; what
/// is interrupted is to be done again.
///
/// # Errors
/// [`JournalError`], also where the person is on air, listens or is listened to; nothing is purged then.
pub fn purge_person(
    data: &Path,
    at: SystemTime,
    person: &str,
    (by, reason): (&str, Option<&str>),
) -> Result<Option<About>, JournalError> {
    let (path, mut connection, key) = open_to_hand_in(data)?;
    let failed = |error: rusqlite::Error| told(&path, &error);
    let about = about(&connection, person).map_err(failed)?;
    let Some(reason) = reason else { return Ok(about) };
    if is_open(&connection, person).map_err(failed)? {
        return Err(JournalError::Busy { person: person.to_owned() });
    }
    let mut detail = about.map(|About { entries, from_ms, to_ms }| {
        format!("{reason}: entries={entries} from_ms={from_ms} to_ms={to_ms}")
    });
    // Piece by piece: nobody who writes waits for long.
    while purge_piece((&mut connection, &key), at, person, (by, detail.take())).map_err(failed)? {}
    // Where somebody reads, what is written over it empties it.
    let _ = checkpoint(&connection);
    remove_copies(&path);
    Ok(about)
}

fn about(connection: &Connection, person: &str) -> rusqlite::Result<Option<About>> {
    let count = format!("SELECT count(*), min(at_ms), max(at_ms) FROM entries WHERE {OF_PERSON}");
    connection.query_row(&count, [person], |row| {
        let span: Option<(u64, u64)> = row.get::<_, Option<u64>>(1)?.zip(row.get(2)?);
        let entries = row.get(0)?;
        Ok(span.map(|(from_ms, to_ms)| About { entries, from_ms, to_ms }))
    })
}

fn is_open(connection: &Connection, person: &str) -> rusqlite::Result<bool> {
    let open = "SELECT 1 FROM broadcasts WHERE to_ms IS NULL AND commercial_id = ?1 \
                UNION SELECT 1 FROM listenings WHERE to_ms IS NULL AND (commercial_id = ?1 OR admin_id = ?1)";
    connection.prepare(open)?.exists([person])
}

/// Purges some, the first time with what says so; tells whether there may be more.
fn purge_piece(
    (connection, key): (&mut Connection, &Signer),
    at: SystemTime,
    person: &str,
    (by, detail): (&str, Option<String>),
) -> rusqlite::Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some(detail) = detail {
        let (by, person) = (by.to_owned(), person.to_owned());
        handed_in::insert(&transaction, key, at, &Deed { kind: DeedKind::PersonPurged, by, person, detail })?;
    }
    let purged = purge(&transaction, key, (at, PurgeCause::Person), OF_PERSON, &person)?;
    let is_all = purged < PURGED_AT_ONCE;
    if is_all {
        transaction.execute("DELETE FROM broadcasts WHERE commercial_id = ?1", [person])?;
        transaction.execute("DELETE FROM listenings WHERE commercial_id = ?1 OR admin_id = ?1", [person])?;
        transaction.execute("DELETE FROM people WHERE id = ?1", [person])?;
    }
    transaction.commit()?;
    Ok(!is_all)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    use tempfile::TempDir;

    use super::*;
    use crate::audit::{Entry, EntryId, Event, ListenEnd, Listening, ListeningId, OffAir, StartedBy, Subject};
    use crate::history::{Form, Kind, Query};
    use crate::host::journal::{Journal, Reading};
    use crate::words::Told;

    fn tell(journal: &mut Journal, events: Vec<Event>) {
        for (ms, event) in events.into_iter().enumerate() {
            let at = UNIX_EPOCH + Duration::from_millis(ms as u64);
            journal.append(&[&Entry { id: EntryId(0), at, event }]).unwrap();
        }
    }

    /// Somebody on air is heard by two.
    fn heard(commercial: &str, number: u64) -> Vec<Event> {
        let of = || Subject { commercial_id: commercial.into(), is_device: false };
        let mut events = vec![Event::BroadcastStarted { of: of(), by: StartedBy::Page, name: None }];
        for (number, admin) in [(2 * number, "paul"), (2 * number + 1, "ana")] {
            let listening = Arc::new(Listening {
                id: ListeningId(number),
                admin_id: admin.into(),
                admin_name: admin.into(),
                commercial_id: commercial.into(),
                reason: "formation".into(),
                looks_like: None,
            });
            let (of, is_device) = (|| Arc::clone(&listening), false);
            events.push(Event::ListenAsked { listening: of(), is_device });
            events.push(Event::ListenStarted { listening: of(), is_device, told: Some(Told::Seen) });
            events.push(Event::ListenEnded { listening: of(), is_device, was_heard: true, why: ListenEnd::Left });
        }
        events.push(Event::BroadcastStopped { of: of(), why: OffAir::Stopped, packets: None });
        events
    }

    fn told(data: &TempDir, kind: Kind) -> String {
        let piece = Reading::open(data.path()).unwrap().history(Query::new(kind, Form::Json), 0).unwrap();
        String::from_utf8(piece.bytes).unwrap()
    }

    #[test]
    fn what_is_purged_of_one_is_gone_and_the_rest_is_good() {
        let data = TempDir::new().unwrap();
        let mut journal = Journal::open(data.path()).unwrap().0;
        tell(&mut journal, heard("lea", 1));
        tell(&mut journal, heard("tom", 2));
        let at = UNIX_EPOCH + Duration::from_millis(9);
        let about = About { entries: 7, from_ms: 1, to_ms: 6 };
        let purge = |person: &str, reason| purge_person(data.path(), at, person, ("uid=0", reason)).unwrap();
        let paul = About { entries: 6, ..about };
        assert_eq!(purge("paul", None), Some(About { from_ms: 1, to_ms: 3, ..paul }));
        assert!(told(&data, Kind::Listenings).contains("\"paul\""), "it was only asked");
        purge("paul", Some("asked for it"));
        assert!(
            !told(&data, Kind::Listenings).contains("\"paul\"")
                && told(&data, Kind::Listenings).contains("\"ana\"")
        );
        assert!(told(&data, Kind::Broadcasts).contains(r#""listeners":2"#), "how many it were stays");
        assert_eq!(purge("paul", Some("again")), None);
        purge("lea", Some("she left"));
        assert!(!told(&data, Kind::Broadcasts).contains("lea"));
        journal.take_in(at).unwrap();
        let verdict = Reading::open(data.path()).unwrap().verify(None).unwrap();
        // Both purges, each with what it took.
        assert_eq!((verdict.entries, verdict.purged), (16 + 2 * 2, 6 + 8 - 3));
    }

    #[test]
    fn what_is_much_is_one_purge_and_what_each_piece_took_is_told() {
        let data = TempDir::new().unwrap();
        let mut journal = Journal::open(data.path()).unwrap().0;
        let of = Subject { commercial_id: "lea".into(), is_device: false };
        let entry = Entry { id: EntryId(0), at: UNIX_EPOCH, event: Event::BroadcastPaused { of } };
        journal.append(&vec![&entry; 2 * PURGED_AT_ONCE as usize + 1]).unwrap();
        purge_person(data.path(), UNIX_EPOCH, "lea", ("uid=0", Some("she left"))).unwrap();
        let verify = || Reading::open(data.path()).unwrap().verify(None).unwrap();
        let purged = 2 * PURGED_AT_ONCE + 1;
        assert_eq!((verify().entries, verify().purged), (purged, purged), "before it is an entry, too");
        journal.take_in(UNIX_EPOCH).unwrap();
        assert_eq!((verify().entries, verify().purged), (purged + 4, purged));
        let mut told = Vec::new();
        let wanted = crate::host::journal::Wanted::default();
        Reading::open(data.path())
            .unwrap()
            .entries(&wanted, |_, entry| {
                let entry: serde_json::Value = serde_json::from_str(&entry).unwrap();
                told.push(format!("{} {} {}", entry["event"], entry["times"], entry["rows"]));
                true
            })
            .unwrap();
        assert_eq!(
            told,
            [
                r#""person_purged" null null"#,
                r#""journal_purged" 2000 "1-2000""#,
                r#""journal_purged" 2000 "2001-4000""#,
                r#""journal_purged" null "4001""#,
            ]
        );
    }

    #[test]
    fn what_is_open_is_left_alone() {
        let data = TempDir::new().unwrap();
        let mut journal = Journal::open(data.path()).unwrap().0;
        let open: Vec<Event> = heard("lea", 1).into_iter().take(3).collect();
        tell(&mut journal, open);
        for person in ["lea", "paul"] {
            let purged = purge_person(data.path(), UNIX_EPOCH, person, ("", Some("now")));
            assert!(matches!(purged, Err(JournalError::Busy { .. })), "{person}: {purged:?}");
        }
        assert_eq!(Reading::open(data.path()).unwrap().verify(None).unwrap().purged, 0);
    }
}
