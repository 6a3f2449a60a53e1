//! One row: an entry as it is stored, and how it is bound to what stands before it.

use std::time::UNIX_EPOCH;

use aws_lc_rs::digest::{Context, SHA256};
use serde::Serialize;

use crate::audit::{Entry, Event};

/// SHA-256 of something.
pub type Hash = [u8; 32];
/// What keeps others from trying what an entry was whose leaf alone is left.
pub type Salt = [u8; SALT_BYTES];

/// How long a salt is.
pub const SALT_BYTES: usize = 16;
/// Where the chain begins.
pub const CHAIN_BEGIN: Hash = [0; 32];

/// What a server writes from its start on: since 3, what is purged is said. An older one says nothing of it.
const FORMAT: u8 = 3;

/// One row of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// From 1, without a gap.
    pub number: u64,
    /// Absent where it was purged.
    pub kept: Option<(Salt, String)>,
    pub leaf: Hash,
    pub chain: Hash,
}

/// Returns the row after `number − 1` rows whose chain is at `previous`.
pub fn seal(number: u64, previous: &Hash, salt: Salt, stored: String) -> Row {
    let leaf = leaf_of(&salt, &stored);
    Row { number, kept: Some((salt, stored)), leaf, chain: chained(previous, &leaf) }
}

/// Returns the leaf of an entry.
pub fn leaf_of(salt: &Salt, stored: &str) -> Hash {
    hash(&[salt, stored.as_bytes()])
}

/// Returns where the chain is after a leaf.
pub fn chained(previous: &Hash, leaf: &Hash) -> Hash {
    hash(&[previous, leaf])
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Returns why something was refused or doubted.
fn why(event: &Event) -> Option<&str> {
    match event {
        Event::TokensRefused { why, .. } => Some(why.as_str()),
        Event::HistoryRefused { why, .. } => Some(why),
        Event::HistoryDoubted { why, .. } => Some(why.words()),
        _ => None,
    }
}

/// Returns an entry as it is stored: JSON, whose fields are named as in logs.
pub fn stored(entry: &Entry) -> String {
    let event = &entry.event;
    let listening = event.listening();
    let newcomer = match event {
        Event::Registered { who } => Some(who),
        _ => None,
    };
    let purge = match event {
        Event::JournalPurged { purge, .. } => Some(purge),
        _ => None,
    };
    let packets = match event {
        Event::BroadcastStopped { packets, .. } => *packets,
        _ => None,
    };
    let fields = Fields {
        at_ms: entry.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
        event: event.name(),
        actor: event.actor(),
        commercial_id: event.commercial_id(),
        listening: listening.map(|listening| listening.id.to_string()),
        admin_name: listening.map(|listening| &*listening.admin_name),
        reason: listening.map(|listening| &*listening.reason),
        looks_like: listening.and_then(|listening| listening.looks_like.as_deref()).map(|other| &*other.id),
        detail: event.detail(),
        why: why(event),
        told: match event {
            Event::ListenStarted { told, .. } => told.map(|told| told.name()),
            _ => None,
        },
        heard: match event {
            Event::ListenEnded { was_heard, .. } => Some(*was_heard),
            _ => None,
        },
        times: Some(event.times()).filter(|&times| times > 1),
        device: Some(true).filter(|_| event.is_device()),
        name: match event {
            Event::Registered { who } => Some(&*who.name),
            Event::BroadcastStarted { name, .. } => name.as_deref(),
            _ => None,
        },
        address: newcomer.map(|who| &*who.address),
        browser: newcomer.map(|who| &*who.browser),
        options: match event {
            Event::ServerStarted { options, .. } => Some(&**options).filter(|options| !options.is_empty()),
            _ => None,
        },
        format: match event {
            Event::ServerStarted { .. } => Some(FORMAT),
            _ => None,
        },
        restored_at_ms: match event {
            Event::RestorationConfirmed { at_ms, .. } => Some(*at_ms),
            _ => None,
        },
        by_ms: match event {
            Event::ClockJumped { by_ms } => Some(*by_ms),
            _ => None,
        },
        rows: purge.map(|purge| &*purge.rows),
        signature: purge.map(|purge| &*purge.signature),
        handed_in: match event {
            Event::Done { handed_in, .. } | Event::JournalPurged { handed_in, .. } => Some(handed_in.to_string()),
            _ => None,
        },
        packets: packets.map(|(packets, _)| packets),
        lost: packets.map(|(_, lost)| lost),
    };
    serde_json::to_string(&fields).unwrap_or_default()
}

/// What an entry says.
#[derive(Serialize)]
struct Fields<'a> {
    at_ms: u64,
    event: &'a str,
    actor: &'a str,
    commercial_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    listening: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    looks_like: Option<&'a str>,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heard: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    browser: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restored_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handed_in: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::audit::{
        Deed, DeedKind, EntryId, HandInId, KnownPerson, ListenEnd, Listening, ListeningId, Purge, PurgeCause,
        StartedBy, Subject,
    };

    fn at(ms: u64, event: Event) -> String {
        stored(&Entry { id: EntryId(1), at: UNIX_EPOCH + Duration::from_millis(ms), event })
    }

    #[test]
    fn an_entry_is_stored_with_what_it_says_and_nothing_else() {
        let listening = Arc::new(Listening {
            id: ListeningId(0xab),
            admin_id: "paul".into(),
            admin_name: "Paul \"D.\"".into(),
            commercial_id: "lea".into(),
            reason: "formation".into(),
            looks_like: Some(Arc::new(KnownPerson { id: "pau1".into(), name: "Pau1 D.".into() })),
        });
        let ended = Event::ListenEnded { listening, is_device: false, was_heard: true, why: ListenEnd::Switched };
        assert_eq!(
            at(1_700_000_000_123, ended),
            r#"{"at_ms":1700000000123,"event":"listen_ended","actor":"paul","commercial_id":"lea","listening":"00000000000000ab","admin_name":"Paul \"D.\"","reason":"formation","looks_like":"pau1","detail":"switched","heard":true}"#
        );
        let of = Subject { commercial_id: "door".into(), is_device: true };
        assert_eq!(
            at(5, Event::BroadcastStarted { of, by: StartedBy::Encoder, name: None }),
            r#"{"at_ms":5,"event":"broadcast_started","actor":"door","commercial_id":"door","detail":"whip","device":true}"#
        );
        let of = Subject { commercial_id: "tom".into(), is_device: false };
        assert_eq!(
            at(6, Event::BroadcastStarted { of, by: StartedBy::NextEncoder, name: Some("Tom L.".into()) }),
            r#"{"at_ms":6,"event":"broadcast_started","actor":"tom","commercial_id":"tom","detail":"whip, in place of another","name":"Tom L."}"#
        );
    }

    #[test]
    fn what_was_handed_in_is_stored_with_its_id_and_a_purge_with_what_it_took() {
        let handed_in = HandInId(0xcd);
        let (rows, signature) = ("1-2 5".to_owned(), "c2lnbmVk".to_owned());
        let purge = Arc::new(Purge { why: PurgeCause::Due, times: 3, rows, signature });
        assert_eq!(
            at(5, Event::JournalPurged { purge, handed_in }),
            r#"{"at_ms":5,"event":"journal_purged","actor":"","commercial_id":"","detail":"due","times":3,"rows":"1-2 5","signature":"c2lnbmVk","handed_in":"00000000000000cd"}"#
        );
        let (by, person, detail) = ("uid=0".into(), "lea".into(), "she left".into());
        let deed = Arc::new(Deed { kind: DeedKind::PersonPurged, by, person, detail });
        assert_eq!(
            at(5, Event::Done { deed, handed_in }),
            r#"{"at_ms":5,"event":"person_purged","actor":"uid=0","commercial_id":"lea","detail":"she left","handed_in":"00000000000000cd"}"#
        );
        assert_eq!(
            at(5, Event::HandInRefused { times: 2 }),
            r#"{"at_ms":5,"event":"hand_in_refused","actor":"","commercial_id":"","detail":"","times":2}"#
        );
    }

    #[test]
    fn a_row_is_bound_to_its_entry_its_salt_and_all_before() {
        let row = seal(1, &CHAIN_BEGIN, [7; SALT_BYTES], "{}".into());
        assert_eq!(row.leaf, leaf_of(&[7; SALT_BYTES], "{}"));
        let others = [
            seal(1, &CHAIN_BEGIN, [8; SALT_BYTES], "{}".into()),
            seal(1, &CHAIN_BEGIN, [7; SALT_BYTES], "{ }".into()),
            seal(1, &[1; 32], [7; SALT_BYTES], "{}".into()),
        ];
        assert!(others.iter().all(|other| other.chain != row.chain));
    }
}
