//! What entries come to, one after the other: who was on air, who heard whom, who was here.
//!
//! Reads entries as they are stored, so that all of it can be made anew from them. Invariant: a row is open from the entry
//! that begins it to the one that ends it, and nothing changes it afterwards.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

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
}

/// What is open after the entries so far.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    /// By salesperson; with the listenings that it counted.
    broadcasts: HashMap<String, (BroadcastRow, HashSet<String>)>,
    /// By the listening's id.
    listenings: HashMap<String, ListeningRow>,
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
    #[serde(default)]
    device: bool,
}

impl Telling {
    /// Goes on where rows are open; each broadcast with the listenings that it counted.
    pub fn resume(
        broadcasts: impl IntoIterator<Item = (BroadcastRow, HashSet<String>)>,
        listenings: impl IntoIterator<Item = ListeningRow>,
    ) -> Telling {
        Telling {
            broadcasts: broadcasts.into_iter().map(|open| (open.0.commercial_id.clone(), open)).collect(),
            listenings: listenings.into_iter().map(|row| (row.listening.clone(), row)).collect(),
        }
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
        match said.event.as_str() {
            "registered" => {
                let Said { actor, detail, name, at_ms, .. } = &said;
                tell(Change::Came { id: actor, role: detail, name, at_ms: *at_ms })
            }
            "broadcast_started" => self.begin_broadcast(number, &said, tell),
            "broadcast_stopped" => self.end_broadcast(&said, tell),
            "listen_asked" => self.begin_listening(number, said, tell),
            "listen_started" => self.sound(&said, tell),
            "listen_interrupted" => self.listenings.get_mut(&said.listening).map_or(Ok(()), |row| {
                row.fall_silent(said.at_ms);
                tell(Change::Listening(row))
            }),
            "listen_ended" => self.listenings.remove(&said.listening).map_or(Ok(()), |mut row| {
                row.fall_silent(said.at_ms);
                (row.to_ms, row.ended) = (Some(said.at_ms), Some(ended(&said.detail)));
                tell(Change::Listening(&row))
            }),
            _ => Ok(()),
        }
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
