//! What entries come to, one after the other: who was on air, who heard whom, who was here.
//!
//! Reads entries as they are stored, so that all of it can be made anew from them. Invariant: a row is open from the entry
//! that begins it to the one that ends it, and nothing changes it afterwards.

use std::collections::{HashMap, HashSet};
use std::mem;

use serde::Deserialize;

use crate::words::Restoration;

/// One time on air; `number` is that of the entry that began it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BroadcastRow {
    pub number: u64,
    pub commercial_id: String,
    pub device: bool,
    pub from_ms: u64,
    pub to_ms: Option<u64>,
    pub ended: Option<String>,
    pub packets: Option<u64>,
    pub lost: Option<u64>,
    /// How many listenings sounded in it.
    pub listeners: u64,
}

/// One wish to hear somebody; `number` is that of the entry that began it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListeningRow {
    pub number: u64,
    pub listening: String,
    pub commercial_id: String,
    pub admin_id: String,
    pub admin_name: String,
    pub reason: String,
    pub device: bool,
    pub asked_ms: u64,
    pub from_ms: Option<u64>,
    pub to_ms: Option<u64>,
    /// For how long it sounded until it fell silent last.
    pub heard_ms: u64,
    pub sounds_since_ms: Option<u64>,
    pub told: Option<String>,
    pub ended: Option<String>,
    /// The broadcast that counted it last.
    pub broadcast: Option<u64>,
}

/// What follows from an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// A row is new, or is this from now on.
    Broadcast(&'a BroadcastRow),
    Listening(&'a ListeningRow),
    /// Somebody came, and is called this.
    Came {
        id: &'a str,
        role: &'a str,
        name: &'a str,
        at_ms: u64,
    },
    /// A salesperson was here.
    WasHere {
        id: &'a str,
        at_ms: u64,
    },
    /// The journal was restored, or somebody confirmed that they know.
    Restored(Option<Restoration>),
}

/// What is open after the entries so far.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    /// By salesperson; with the open listenings that it counted.
    broadcasts: HashMap<String, (BroadcastRow, HashSet<String>)>,
    /// By the listening's id.
    listenings: HashMap<String, ListeningRow>,
    restored: Option<Restoration>,
    /// When the entry before was.
    before_ms: u64,
}

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
    by_ms: Option<i64>,
    restored_at_ms: Option<u64>,
    #[serde(default)]
    device: bool,
}

/// The role of who is on air.
const COMMERCIAL: &str = "commercial";
/// Why something ended that nobody saw the end of.
const SERVER_DIED: &str = "server_died";

impl Telling {
    /// Goes on where rows are open; each broadcast with the open listenings that it counted.
    pub fn resume(
        broadcasts: impl IntoIterator<Item = (BroadcastRow, HashSet<String>)>,
        listenings: impl IntoIterator<Item = ListeningRow>,
        restored: Option<Restoration>,
    ) -> Telling {
        Telling {
            broadcasts: broadcasts.into_iter().map(|open| (open.0.commercial_id.clone(), open)).collect(),
            listenings: listenings.into_iter().map(|row| (row.listening.clone(), row)).collect(),
            restored,
            before_ms: 0,
        }
    }

    /// Returns the restoration that nobody has confirmed yet that they know of.
    pub fn restored(&self) -> Option<Restoration> {
        self.restored
    }

    /// Returns the broadcasts that are open.
    pub fn broadcasts(&self) -> impl Iterator<Item = &BroadcastRow> {
        self.broadcasts.values().map(|(row, _)| row)
    }

    /// Returns the listenings that are open.
    pub fn listenings(&self) -> impl Iterator<Item = &ListeningRow> {
        self.listenings.values()
    }

    /// Takes the next entry, as it is stored, and tells what follows.
    ///
    /// # Errors
    /// Those of `tell`.
    pub fn take<E>(
        &mut self,
        number: u64,
        stored: &str,
        mut tell: impl FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // What is none of ours is not made any better here: `verify` names it.
        let Ok(said) = serde_json::from_str::<Said>(stored) else { return Ok(()) };
        let before_ms = mem::replace(&mut self.before_ms, said.at_ms);
        match said.event.as_str() {
            "server_started" => self.close_all(before_ms, tell),
            "clock_jumped" => self.shift(said.by_ms.unwrap_or_default(), tell),
            "registered" => {
                let Said { actor, detail, name, at_ms, .. } = &said;
                tell(Change::Came { id: actor, role: detail, name, at_ms: *at_ms })
            }
            "broadcast_started" => {
                // An encoder's: who has a page has registered.
                if !said.name.is_empty() {
                    tell(Change::Came { id: &said.actor, role: COMMERCIAL, name: &said.name, at_ms: said.at_ms })?;
                }
                self.begin_broadcast(number, &said, tell)
            }
            "broadcast_stopped" => self.end_broadcast(&said, tell),
            "listen_asked" => self.begin_listening(number, said, tell),
            "listen_started" => self.sound(&said, tell),
            "listen_interrupted" => self.listenings.get_mut(&said.listening).map_or(Ok(()), |row| {
                row.fall_silent(said.at_ms);
                tell(Change::Listening(row))
            }),
            "listen_ended" => self.end_listening(&said, tell),
            "journal_restored" => {
                let made = said.detail.strip_prefix("made_ms=").and_then(|made| made.parse().ok());
                self.restored = made.map(|made| Restoration { made, at: said.at_ms }).or(self.restored);
                tell(Change::Restored(self.restored))
            }
            "restoration_confirmed" => {
                self.restored = self.restored.filter(|restored| Some(restored.at) != said.restored_at_ms);
                tell(Change::Restored(self.restored))
            }
            _ => Ok(()),
        }
    }

    /// Another server began, and the one before closed nothing, as the first version did not.
    fn close_all<E>(&mut self, at_ms: u64, mut tell: impl FnMut(Change<'_>) -> Result<(), E>) -> Result<(), E> {
        for (_, mut row) in mem::take(&mut self.listenings) {
            let at_ms = at_ms.max(row.asked_ms);
            row.fall_silent(at_ms);
            (row.to_ms, row.ended) = (Some(at_ms), Some(SERVER_DIED.to_owned()));
            tell(Change::Listening(&row))?;
        }
        for (_, (mut row, _)) in mem::take(&mut self.broadcasts) {
            (row.to_ms, row.ended) = (Some(at_ms.max(row.from_ms)), Some(SERVER_DIED.to_owned()));
            tell(Change::Broadcast(&row))?;
        }
        Ok(())
    }

    /// The clock jumped: what sounds has not done so for longer, nor shorter.
    fn shift<E>(&mut self, by_ms: i64, mut tell: impl FnMut(Change<'_>) -> Result<(), E>) -> Result<(), E> {
        for row in self.listenings.values_mut() {
            if let Some(since_ms) = &mut row.sounds_since_ms {
                *since_ms = since_ms.saturating_add_signed(by_ms);
                tell(Change::Listening(row))?;
            }
        }
        Ok(())
    }

    fn begin_broadcast<E>(
        &mut self,
        number: u64,
        said: &Said,
        mut tell: impl FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let row = BroadcastRow {
            number,
            commercial_id: said.commercial_id.clone(),
            device: said.device,
            from_ms: said.at_ms,
            ..BroadcastRow::default()
        };
        let (row, _) = match self.broadcasts.insert(said.commercial_id.clone(), (row, HashSet::new())) {
            None => &self.broadcasts[&said.commercial_id],
            // Its end was lost, where more waited to be written than may.
            Some((mut lost, _)) => {
                (lost.to_ms, lost.ended) = (Some(said.at_ms), Some("not_written".to_owned()));
                tell(Change::Broadcast(&lost))?;
                &self.broadcasts[&said.commercial_id]
            }
        };
        tell(Change::Broadcast(row))
    }

    fn end_broadcast<E>(
        &mut self,
        said: &Said,
        mut tell: impl FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some((mut row, _)) = self.broadcasts.remove(&said.commercial_id) {
            (row.to_ms, row.ended) = (Some(said.at_ms), Some(ended(&said.detail)));
            (row.packets, row.lost) = (said.packets, said.lost);
            tell(Change::Broadcast(&row))?;
        }
        tell(Change::WasHere { id: &said.commercial_id, at_ms: said.at_ms })
    }

    fn begin_listening<E>(
        &mut self,
        number: u64,
        said: Said,
        mut tell: impl FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let row = ListeningRow {
            number,
            listening: said.listening,
            commercial_id: said.commercial_id,
            admin_id: said.actor,
            admin_name: said.admin_name,
            reason: said.reason,
            device: said.device,
            asked_ms: said.at_ms,
            ..ListeningRow::default()
        };
        tell(Change::Listening(&row))?;
        self.listenings.insert(row.listening.clone(), row);
        Ok(())
    }

    fn end_listening<E>(
        &mut self,
        said: &Said,
        mut tell: impl FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // It sounds never again, and is counted no more.
        if let Some((_, counted)) = self.broadcasts.get_mut(&said.commercial_id) {
            counted.remove(&said.listening);
        }
        let Some(mut row) = self.listenings.remove(&said.listening) else { return Ok(()) };
        row.fall_silent(said.at_ms);
        (row.to_ms, row.ended) = (Some(said.at_ms), Some(ended(&said.detail)));
        tell(Change::Listening(&row))
    }

    /// A listening sounds from now on; a broadcast counts it once, however often it falls silent.
    fn sound<E>(&mut self, said: &Said, mut tell: impl FnMut(Change<'_>) -> Result<(), E>) -> Result<(), E> {
        let open = self.broadcasts.get_mut(&said.commercial_id);
        let broadcast = open.as_ref().map(|(row, _)| row.number);
        if let Some((row, counted)) = open
            && counted.insert(said.listening.clone())
        {
            row.listeners += 1;
            tell(Change::Broadcast(row))?;
        }
        let Some(row) = self.listenings.get_mut(&said.listening) else { return Ok(()) };
        row.from_ms.get_or_insert(said.at_ms);
        row.sounds_since_ms.get_or_insert(said.at_ms);
        row.told = said.told.clone().or(row.told.take());
        row.broadcast = broadcast;
        tell(Change::Listening(row))
    }
}

impl ListeningRow {
    fn fall_silent(&mut self, at_ms: u64) {
        let since_ms = self.sounds_since_ms.take();
        self.heard_ms += since_ms.map_or(0, |since_ms| at_ms.saturating_sub(since_ms));
    }
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Returns the listenings as they are in the end.
    fn tell(entries: &[&str]) -> Vec<ListeningRow> {
        let (mut telling, mut rows) = (Telling::default(), HashMap::new());
        for (index, entry) in entries.iter().enumerate() {
            let told: Result<(), Infallible> = telling.take(index as u64 + 1, entry, |change| {
                if let Change::Listening(row) = change {
                    rows.insert(row.number, row.clone());
                }
                Ok(())
            });
            told.expect("it tells nobody");
        }
        let mut rows: Vec<ListeningRow> = rows.into_values().collect();
        rows.sort_by_key(|row| row.number);
        rows
    }

    const ASKED: &str =
        r#"{"at_ms":1000,"event":"listen_asked","listening":"a","commercial_id":"lea","actor":"paul"}"#;
    const STARTED: &str = r#"{"at_ms":2000,"event":"listen_started","listening":"a","commercial_id":"lea"}"#;

    #[test]
    fn what_nobody_closed_is_over_where_the_server_was_seen_last() {
        let seen = r#"{"at_ms":5000,"event":"registered","actor":"ana","detail":"admin"}"#;
        let started = r#"{"at_ms":9000000,"event":"server_started"}"#;
        let rows = tell(&[ASKED, STARTED, seen, started]);
        assert_eq!(
            (rows[0].to_ms, rows[0].heard_ms, rows[0].ended.as_deref()),
            (Some(5000), 3000, Some("server_died"))
        );
    }

    #[test]
    fn a_restoration_is_told_until_it_is_confirmed() {
        let restored = |at: u64| {
            format!(r#"{{"at_ms":{at},"event":"journal_restored","actor":"uid=0","detail":"made_ms=7"}}"#)
        };
        let confirmed = |at: u64| {
            format!(r#"{{"at_ms":99,"event":"restoration_confirmed","actor":"eve","restored_at_ms":{at}}}"#)
        };
        let cases = [
            ("restored", vec![restored(9)], Some(9)),
            ("confirmed", vec![restored(9), confirmed(9)], None),
            ("once more", vec![restored(9), confirmed(9), restored(50)], Some(50)),
            ("another one was", vec![restored(9), restored(50), confirmed(9)], Some(50)),
            ("both", vec![restored(9), restored(50), confirmed(50)], None),
        ];
        for (name, entries, want) in cases {
            let mut telling = Telling::default();
            for entry in &entries {
                let told: Result<(), Infallible> = telling.take(1, entry, |_| Ok(()));
                told.expect("it tells nobody");
            }
            assert_eq!(telling.restored(), want.map(|at| Restoration { made: 7, at }), "{name}");
        }
    }

    #[test]
    fn a_clock_that_jumps_makes_nobody_be_heard_for_longer() {
        for by_ms in [7_200_000_i64, -1500] {
            let jumped = format!(r#"{{"at_ms":{},"event":"clock_jumped","by_ms":{by_ms}}}"#, 3000 + by_ms);
            let ended =
                format!(r#"{{"at_ms":{},"event":"listen_ended","listening":"a","detail":"left"}}"#, 4000 + by_ms);
            let rows = tell(&[ASKED, STARTED, &jumped, &ended]);
            assert_eq!(rows[0].heard_ms, 2000, "{by_ms}");
        }
    }
}
