//! Tells each page that registers what the newest note of the journal is, and whether the journal contains what the page's own
//! note says.
//!
//! No registration waits for it: the journal is read elsewhere, and whoever finds no credit for that has a turn once there is
//! some, in the order in which they came. Invariant: each conn waits for one turn or one answer at the most, and who waits for
//! a turn is registered.

use std::collections::BTreeMap;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use log::warn;
use slotmap::SecondaryMap;

use super::Server;
use super::registration::Registration;
use crate::audit::{Event, HistoryDoubt};
use crate::journal::NOTE_BYTES_MAX;
use crate::keys::ConnKey;
use crate::outbox::{Job, Outbox, Proof, Proved};
use crate::wire::signaling::{JOURNAL_NOTE_BYTES_MAX, NoteProof, ServerMessage};

const _: () = assert!(JOURNAL_NOTE_BYTES_MAX == NOTE_BYTES_MAX);

/// Whom the journal is proved to.
pub(super) struct Proofs {
    /// The conns of those who wait for a turn, and the notes that they brought, in order.
    queue: BTreeMap<u64, (ConnKey, Option<String>)>,
    next_turn: u64,
    asked: SecondaryMap<ConnKey, Asked>,
}

/// How far a page is on its way to an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Waits for its turn.
    Waiting { turn: u64 },
    /// Waits for what is read.
    Reading,
}

impl Proofs {
    pub(super) fn new() -> Proofs {
        Proofs { queue: BTreeMap::new(), next_turn: 0, asked: SecondaryMap::new() }
    }

    /// Returns how many pages wait, for a turn or for what is read.
    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }

    /// Takes it that nobody is registered on a conn any more.
    pub(super) fn forget(&mut self, conn: ConnKey) {
        if let Some(&Asked::Waiting { turn }) = self.asked.get(conn) {
            self.queue.remove(&turn);
            self.asked.remove(conn);
        }
    }

    fn push(&mut self, conn: ConnKey, note: Option<String>) {
        let turn = self.next_turn;
        self.next_turn += 1;
        self.queue.insert(turn, (conn, note));
        self.asked.insert(conn, Asked::Waiting { turn });
    }
}

impl Server {
    /// Has the page that registered on a conn told of the journal.
    pub(super) fn ask_proof(&mut self, conn: ConnKey, note: Option<String>, out: &mut Outbox) {
        if self.clients.registration(conn).is_none() || self.proofs.asked.contains_key(conn) {
            return;
        }
        if self.proofs.queue.len() >= self.settings.limits.jobs.proofs_waiting_max {
            self.stats.proofs_refused += 1;
            return;
        }
        self.proofs.push(conn, note);
        self.begin_proofs(out);
    }

    /// Has notes proved for as long as there is credit.
    fn begin_proofs(&mut self, out: &mut Outbox) {
        while self.jobs.proofs() < self.settings.limits.jobs.proofs_max
            && let Some((_, (conn, note))) = self.proofs.queue.pop_first()
        {
            self.proofs.asked.insert(conn, Asked::Reading);
            let job = self.jobs.begin_proof(conn);
            out.job(job, Job::ProveNote(note));
        }
    }

    /// It is known what the journal says; the page may be gone.
    pub(super) fn on_note_proved(&mut self, now: Instant, conn: ConnKey, proved: Option<Proved>, out: &mut Outbox) {
        self.proofs.asked.remove(conn);
        match proved {
            Some(Proved { newest, proof }) => {
                self.tell_note(conn, newest.as_deref(), proof);
                self.take_proof(now, conn, proof, out);
            }
            None => self.stats.proofs_failed += 1,
        }
        self.begin_proofs(out);
    }

    fn tell_note(&mut self, conn: ConnKey, newest: Option<&str>, proof: Option<Proof>) {
        let is_told = newest.is_some() || proof.is_some();
        if is_told && self.clients.registration(conn).is_some() {
            self.send(conn, &ServerMessage::JournalNote { note: newest, proof: proof.map(told) });
        }
    }

    /// Writes down that the journal does not contain what was signed for it. What another key signed, or none, is
    /// written down nowhere: anybody can make that.
    fn take_proof(&mut self, now: Instant, conn: ConnKey, proof: Option<Proof>, out: &mut Outbox) {
        let Some(Registration { claims, .. }) = self.clients.registration(conn) else { return };
        match proof {
            Some(Proof::Doubted(why)) => {
                self.stats.notes_doubted += 1;
                if self.quotas.doubt(now, &claims.sub, &mut self.stats) {
                    let event = Event::HistoryDoubted { by: claims.sub.clone(), role: claims.role.name(), why };
                    warn!(target: "audit", "a page kept a note that the journal does not contain: {}", why.words());
                    self.note(now, event, out);
                }
            }
            Some(Proof::OtherKey) => {
                self.stats.notes_of_other_key += 1;
                if self.quotas.doubt(now, &claims.sub, &mut self.stats) {
                    warn!(target: "audit", "a page kept a note that was signed with another key than the journal's");
                }
            }
            Some(Proof::Unreadable) => self.stats.notes_unreadable += 1,
            Some(Proof::Contained { .. }) | None => {}
        }
    }

    /// Asserts that who waits for a turn is registered and in the queue once, and that the others wait for a job.
    pub(super) fn check_proofs(&self) {
        for (turn, (conn, _)) in &self.proofs.queue {
            let is_its = self.proofs.asked.get(*conn) == Some(&Asked::Waiting { turn: *turn });
            assert!(is_its && self.clients.registration(*conn).is_some(), "who waits for a turn ↔ registrations");
        }
        let waiting = self.proofs.asked.values().filter(|asked| matches!(asked, Asked::Waiting { .. })).count();
        assert_eq!(waiting, self.proofs.queue.len(), "turns ↔ who waits for one");
        let reading = self.proofs.asked.len() - waiting;
        assert!(reading <= self.jobs.proofs(), "who waits for what is read ↔ jobs");
        let is_idle = self.jobs.proofs() < self.settings.limits.jobs.proofs_max;
        assert!(!is_idle || waiting == 0, "nobody waits for a turn while there is credit");
    }
}

/// Returns what a page is told of its note.
fn told(proof: Proof) -> NoteProof {
    match proof {
        Proof::Contained { chain } => NoteProof::Contained { chain: BASE64.encode(chain) },
        Proof::Doubted(HistoryDoubt::Missing) => NoteProof::Missing,
        Proof::Doubted(HistoryDoubt::Different) => NoteProof::Different,
        Proof::OtherKey => NoteProof::OtherKey,
        Proof::Unreadable => NoteProof::Unreadable,
    }
}
