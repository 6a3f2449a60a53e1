//! What is known of the journal: how far it is behind, why it can't be written, and of what copy it was made.
//!
//! Its writer says why it fails; one that says nothing is missed here, by the entries that wait. Invariant: as long as users
//! were told that nobody begins to listen, a deadline is armed at which that is looked at again.

use std::mem;
use std::time::{Duration, Instant};

use super::problem::Problem;
use super::registration::Registration;
use super::{Server, Timer};
use crate::audit::Event;
use crate::keys::ConnKey;
use crate::outbox::{JournalState, Outbox};
use crate::token::Right;
use crate::wire::http::Status;
use crate::wire::signaling::{Complaint, ErrorCode, ServerMessage};
use crate::words::{JournalFault, Restoration};

/// What readers of JSON go by.
pub(super) const JOURNAL_UNAVAILABLE: &str = "journal_unavailable";

/// What is known of the journal.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct JournalWatch {
    /// What its writer said last.
    said: JournalState,
    told: Option<Told>,
    /// What users were told that it was made of.
    restored: Option<Restoration>,
}

/// What users were told.
#[derive(Clone, Copy, Debug)]
struct Told {
    fault: JournalFault,
    at: Instant,
    /// When the journal failed last.
    seen: Instant,
}

/// What of the journal is shown to whoever watches.
pub(super) struct JournalStatus {
    pub(super) fault: Option<JournalFault>,
    pub(super) entries: u64,
    pub(super) lag: Duration,
    pub(super) free_bytes: Option<u64>,
}

impl Server {
    /// The writer says how the journal is.
    pub(super) fn on_journal_state(&mut self, now: Instant, state: JournalState) {
        self.journal.said = state;
        self.stats.journal_bytes = state.bytes;
        self.stats.journal_free_bytes = state.free_bytes.unwrap_or_default();
        self.tell_of_journal(now);
    }

    /// It is time to look whether entries wait for too long, or not any more.
    pub(super) fn on_journal_deadline(&mut self, now: Instant) {
        self.tell_of_journal(now);
    }

    /// It is known of an entry whether it is durable; `oldest` is since when one had waited for longest.
    pub(super) fn on_entry_answered(&mut self, now: Instant, oldest: Option<Instant>, is_written: bool) {
        self.stats.entries_written += u64::from(is_written);
        let lag_ms = lag(now, oldest).as_millis() as u64;
        self.stats.journal_lag_worst_ms = self.stats.journal_lag_worst_ms.max(lag_ms);
        self.measure_journal(now);
    }

    /// Counts what waits to be written, and arms the moment at which that is too long.
    pub(super) fn measure_journal(&mut self, now: Instant) {
        let oldest = self.jobs.oldest();
        let lag_ms = lag(now, oldest).as_millis() as u64;
        self.stats.entries_waiting = self.jobs.entries() as u64;
        self.stats.journal_lag_ms = lag_ms;
        self.stats.journal_lag_worst_ms = self.stats.journal_lag_worst_ms.max(lag_ms);
        let patience = self.settings.limits.jobs.gate_timeout;
        match (self.journal.told, oldest) {
            (Some(_), _) if self.deadlines.is_armed(Timer::Journal) => {}
            (Some(_), _) => self.deadlines.arm(Timer::Journal, now + patience),
            (None, Some(oldest)) => self.deadlines.arm(Timer::Journal, oldest + patience),
            (None, None) => self.deadlines.cancel(Timer::Journal),
        }
    }

    /// Returns why the journal can't be written; what its writer knows comes before what is missed.
    pub(super) fn journal_fault(&self, now: Instant) -> Option<JournalFault> {
        let hangs = lag(now, self.jobs.oldest()) >= self.settings.limits.jobs.gate_timeout;
        self.journal.said.fault.or(hangs.then_some(JournalFault::Hangs))
    }

    /// Returns what whoever watches the server is shown.
    pub(super) fn journal_status(&self, now: Instant) -> JournalStatus {
        let JournalState { entries, free_bytes, .. } = self.journal.said;
        JournalStatus { fault: self.journal_fault(now), entries, lag: lag(now, self.jobs.oldest()), free_bytes }
    }

    /// Returns why nobody can begin to listen, for programs.
    pub(super) fn unwritten_words(&self, now: Instant) -> String {
        let why = self.journal_fault(now).unwrap_or(JournalFault::Other).words();
        format!("the journal can't be written, and nobody begins to listen before that is over: {why}")
    }

    /// Refuses a program that would listen, while it is known that this can't be written down.
    pub(super) fn check_journal(&mut self, now: Instant) -> Result<(), Problem> {
        if self.journal_fault(now).is_none() {
            return Ok(());
        }
        self.stats.gates_refused += 1;
        Err(self.unwritten(now))
    }

    /// Returns what a program is answered whose listening can't be written down.
    pub(super) fn unwritten(&self, now: Instant) -> Problem {
        Problem::new(Status::Unavailable, self.unwritten_words(now)).code(JOURNAL_UNAVAILABLE)
    }

    /// Tells a user who comes what the others were told.
    pub(super) fn greet_with_journal(&mut self, conn: ConnKey) {
        let JournalWatch { told, restored, .. } = self.journal;
        if told.is_some() || restored.is_some() {
            let cause = told.map(|told| told.fault);
            self.send(conn, &ServerMessage::JournalState { ok: cause.is_none(), cause, restored });
        }
    }

    /// Somebody knows that the journal was restored: nobody is told any more once that is written down, which its writer
    /// says.
    pub(super) fn on_confirm_restoration(&mut self, now: Instant, conn: ConnKey, at: u64, out: &mut Outbox) {
        let Some(Registration { claims, .. }) = self.clients.registration(conn) else { return };
        if !claims.rights.has(Right::Manage) {
            let text = "that is for those with the right manage";
            return self.complain(conn, Complaint::new(ErrorCode::NotAllowed, text));
        }
        let by = claims.sub.clone();
        // Somebody else may have been first.
        let is_asked = self.journal.restored.is_some_and(|restored| restored.at == at);
        if is_asked && self.may_act(now, conn) {
            self.note(now, Event::RestorationConfirmed { by, at_ms: at }, out);
        }
    }

    /// Tells all users where it has changed whether anybody can begin to listen, or what the journal was made of. That it is
    /// over is told late, and not at all of a journal that fails again meanwhile: on a disk that is nearly full each entry
    /// would be news.
    fn tell_of_journal(&mut self, now: Instant) {
        let settled = self.settings.limits.jobs.fault_settled;
        let before = self.journal.told;
        let told = match (self.journal_fault(now), before) {
            (None, None) => None,
            (Some(fault), None) => {
                self.stats.journal_faults += 1;
                Some(Told { fault, at: now, seen: now })
            }
            (Some(fault), Some(told)) if fault != told.fault && told.at + settled <= now => {
                Some(Told { fault, at: now, seen: now })
            }
            (Some(_), Some(told)) => Some(Told { seen: now, ..told }),
            (None, Some(told)) => Some(told).filter(|told| now < told.seen + settled),
        };
        self.journal.told = told;
        let (cause, restored) = (told.map(|told| told.fault), self.journal.said.restored);
        log_hanging(before.map(|told| told.fault), cause);
        let restored_before = mem::replace(&mut self.journal.restored, restored);
        if (cause, restored) != (before.map(|told| told.fault), restored_before) {
            let text = ServerMessage::JournalState { ok: cause.is_none(), cause, restored }.to_json();
            let conns: Vec<ConnKey> = self.clients.registrations().map(|(conn, _)| conn).collect();
            for conn in conns {
                self.send_text(conn, &text);
            }
        }
        self.measure_journal(now);
    }
}

/// Says that a disk does not answer: the writer itself, which waits for it, can't.
fn log_hanging(before: Option<JournalFault>, now: Option<JournalFault>) {
    const HANGS: Option<JournalFault> = Some(JournalFault::Hangs);
    match (before == HANGS, now == HANGS) {
        (false, true) => log::error!(
            target: "audit",
            "the journal can't be written: {}; nobody begins to hear anybody until that is over",
            JournalFault::Hangs.words()
        ),
        (true, false) => log::info!(target: "audit", "the disk of the journal answers again"),
        (true, true) | (false, false) => {}
    }
}

fn lag(now: Instant, oldest: Option<Instant>) -> Duration {
    oldest.map_or(Duration::ZERO, |oldest| now.saturating_duration_since(oldest))
}
