//! What is done elsewhere: entries that are written, files and history that are read; and what waits for each.
//!
//! Does nothing itself that may block: a job leaves through the outbox, its answer comes back under its name. Invariant:
//! so many jobs of a kind are out as have their credit, and each has one row until it is answered.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use log::error;
use rand_core::Rng;
use slotmap::SlotMap;

use super::problem::come_back_later;
use super::{Server, Timer};
use crate::audit::{Class, Entry, EntryId, Event, Listening, ListeningId, Subject};
use crate::config::JobLimits;
use crate::history::Question;
use crate::keys::{BroadcastKey, Client, ConnKey, JobKey, ResourceKey};
use crate::outbox::{Job, NotWritten, Outbox, Reply};
use crate::wire::http::Request;

/// How many entries that were answered may stand among those that wait, besides a quarter.
const SINCE_SPARE: usize = 64;

/// The jobs whose answers are to come.
pub(super) struct Jobs {
    waiting: SlotMap<JobKey, Waiting>,
    /// How many of them write, and for how many of those somebody waits.
    entries: usize,
    gates_open: usize,
    /// How many of them read files.
    reads: usize,
    /// How many of them answer questions about the past.
    questions: usize,
    /// How many of those count for a report.
    reports: usize,
    /// Whether one of them asks who was here.
    asks_seen: bool,
    /// Whose answer goes on once one of those is answered.
    starved: VecDeque<ConnKey>,
    /// How many of them prove notes to pages.
    proofs: usize,
    next_entry: u64,
    /// Since when entries wait, in order; those that were answered are taken out when they are first, or too many.
    since: VecDeque<(Instant, JobKey)>,
    /// When gates are refused that nobody answers, in order; those that were answered are taken out when they are first.
    gates: VecDeque<(Instant, JobKey)>,
}

/// What an answer lets on.
#[derive(Debug)]
enum Waiting {
    /// Nothing: the effect came at once.
    Note,
    /// A wish to listen, which waits for this entry.
    Gate(Gate),
    /// Somebody who asks for others' history on this conn, which waits for this entry.
    Permission { conn: ConnKey, question: Box<Question> },
    /// Somebody who asked on this conn about the past.
    History { conn: ConnKey, is_report: bool },
    /// Supervisors, who are shown who was here.
    Seen,
    /// A certificate authority, which asked on this conn for a file.
    Challenge { conn: ConnKey },
    /// Nothing: the page that registered on this conn is told once it is known.
    Proof { conn: ConnKey },
}

/// A wish to listen that is about to be announced.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) broadcast: BroadcastKey,
    pub(super) listener: Client,
    pub(super) entry: EntryId,
    /// Whose request is answered once it is.
    pub(super) asker: Option<Box<Asker>>,
}

/// A player that began a session, and is told so once its announcement is durable.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) conn: ConnKey,
    pub(super) resource: ResourceKey,
    /// What its offer is answered.
    pub(super) answer: String,
}

impl Jobs {
    pub(super) fn new() -> Jobs {
        Jobs {
            waiting: SlotMap::with_key(),
            entries: 0,
            gates_open: 0,
            reads: 0,
            questions: 0,
            reports: 0,
            asks_seen: false,
            starved: VecDeque::new(),
            proofs: 0,
            next_entry: 1,
            since: VecDeque::new(),
            gates: VecDeque::new(),
        }
    }

    /// Returns how many jobs are out.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Tells whether somebody else may wait for an entry.
    fn has_room_for_gate(&self, limits: &JobLimits) -> bool {
        self.gates_open < limits.gates_max && self.entries < limits.busy_max
    }

    /// Returns how many of them write.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// Returns since when the entry waits that waits for longest.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.since.front().map(|(since, _)| *since)
    }

    /// Returns how many of them prove notes to pages.
    pub(super) fn proofs(&self) -> usize {
        self.proofs
    }

    /// Begins to prove a note to the page on this conn; returns the job.
    pub(super) fn begin_proof(&mut self, conn: ConnKey) -> JobKey {
        self.proofs += 1;
        self.waiting.insert(Waiting::Proof { conn })
    }

    /// Tells whether the answer about an entry goes to this listener.
    pub(super) fn awaits(&self, (key, listener): (BroadcastKey, Client), entry: EntryId) -> bool {
        let is_it = |waiting: &Waiting| match waiting {
            Waiting::Gate(gate) => (gate.broadcast, gate.listener, gate.entry) == (key, listener, entry),
            Waiting::Note
            | Waiting::Permission { .. }
            | Waiting::History { .. }
            | Waiting::Seen
            | Waiting::Challenge { .. }
            | Waiting::Proof { .. } => false,
        };
        self.waiting.values().any(is_it)
    }

    /// Tells whether the answer to a job goes to this conn.
    pub(super) fn answers(&self, job: JobKey, conn: ConnKey) -> bool {
        match self.waiting.get(job) {
            Some(
                Waiting::Challenge { conn: of }
                | Waiting::History { conn: of, .. }
                | Waiting::Permission { conn: of, .. },
            ) => *of == conn,
            Some(Waiting::Gate(gate)) => gate.asker.as_ref().is_some_and(|asker| asker.conn == conn),
            Some(Waiting::Note | Waiting::Seen | Waiting::Proof { .. }) | None => false,
        }
    }

    /// Has a player's request wait for the entry of its announcement; returns the job, and the player where nobody waits for
    /// that entry.
    pub(super) fn hold(&mut self, entry: EntryId, asker: Asker) -> Result<JobKey, Asker> {
        for &(_, job) in self.gates.iter().rev() {
            if let Some(Waiting::Gate(gate)) = self.waiting.get_mut(job)
                && gate.entry == entry
            {
                gate.asker = Some(Box::new(asker));
                return Ok(job);
            }
        }
        Err(asker)
    }

    /// Asserts that each kind's count is right.
    pub(super) fn check(&self) {
        let count = |is_it: fn(&Waiting) -> bool| self.waiting.values().filter(|waiting| is_it(waiting)).count();
        let reads = count(|waiting| matches!(waiting, Waiting::Challenge { .. }));
        let questions = count(|waiting| matches!(waiting, Waiting::History { .. }));
        let reports = count(|waiting| matches!(waiting, Waiting::History { is_report: true, .. }));
        assert_eq!(self.reports, reports, "reports ↔ credit");
        let seen = count(|waiting| matches!(waiting, Waiting::Seen));
        let proofs = count(|waiting| matches!(waiting, Waiting::Proof { .. }));
        let gates = count(|waiting| matches!(waiting, Waiting::Gate(_) | Waiting::Permission { .. }));
        assert_eq!((usize::from(self.asks_seen), self.gates_open), (seen, gates), "jobs ↔ credit");
        let entries = self.waiting.len() - reads - questions - seen - proofs;
        assert_eq!((self.entries, self.reads), (entries, reads), "jobs ↔ credit");
        assert_eq!((self.questions, self.proofs), (questions, proofs), "jobs ↔ credit");
        assert!(self.starved.is_empty() || questions > 0, "an answer waits for nothing");
        let is_timed = |job: JobKey| self.gates.iter().any(|(_, timed)| *timed == job);
        let gates = self.waiting.iter().filter(|(_, waiting)| matches!(waiting, Waiting::Gate(_)));
        assert!(gates.map(|(job, _)| job).all(is_timed), "gates ↔ their time");
        let is_out = |first: &&(Instant, JobKey)| self.waiting.contains_key(first.1);
        assert_eq!(self.since.iter().filter(is_out).count(), self.entries, "entries ↔ their time");
        assert!(self.since.front().is_none_or(|first| is_out(&first)), "the first is out");
        assert!(
            self.since.len() <= since_max(self.entries),
            "{} times of {} entries",
            self.since.len(),
            self.entries
        );
    }

    /// Returns what waits for an answer, which is no longer out.
    fn take(&mut self, job: JobKey) -> Option<Waiting> {
        let waiting = self.waiting.remove(job)?;
        match waiting {
            Waiting::Note => self.entries -= 1,
            Waiting::Gate(_) | Waiting::Permission { .. } => {
                self.entries -= 1;
                self.gates_open -= 1;
            }
            Waiting::History { is_report, .. } => {
                self.questions -= 1;
                self.reports -= usize::from(is_report);
            }
            Waiting::Seen => self.asks_seen = false,
            Waiting::Challenge { .. } => self.reads -= 1,
            Waiting::Proof { .. } => self.proofs -= 1,
        }
        self.forget_answered();
        self.forget_times();
        Some(waiting)
    }

    /// Forgets since when answered entries have waited. Gates may be answered while what was before them waits on.
    fn forget_times(&mut self) {
        while self.since.front().is_some_and(|(_, job)| !self.waiting.contains_key(*job)) {
            self.since.pop_front();
        }
        if self.since.len() > since_max(self.entries) {
            self.since.retain(|(_, job)| self.waiting.contains_key(*job));
        }
    }

    fn forget_answered(&mut self) {
        let is_open = |waiting: &Waiting| matches!(waiting, Waiting::Gate(_));
        while let Some((_, job)) = self.gates.front()
            && !self.waiting.get(*job).is_some_and(is_open)
        {
            self.gates.pop_front();
        }
    }

    /// Returns a gate that was not answered in time, after which its entry lets nothing on.
    fn take_late(&mut self, now: Instant) -> Option<(JobKey, Gate)> {
        let &(_, job) = self.gates.front().filter(|(until, _)| *until <= now)?;
        let late = self.waiting.get_mut(job).map(|waiting| mem::replace(waiting, Waiting::Note));
        self.forget_answered();
        match late {
            Some(Waiting::Gate(gate)) => {
                self.gates_open -= 1;
                Some((job, gate))
            }
            Some(
                Waiting::Note
                | Waiting::Permission { .. }
                | Waiting::History { .. }
                | Waiting::Seen
                | Waiting::Challenge { .. }
                | Waiting::Proof { .. },
            )
            | None => None,
        }
    }
}

/// Returns how many times of entries are kept, where so many wait.
fn since_max(entries: usize) -> usize {
    entries + entries / 4 + SINCE_SPARE
}

impl Server {
    pub(super) fn on_reply(&mut self, now: Instant, job: JobKey, reply: Reply, out: &mut Outbox) {
        let oldest = self.jobs.oldest();
        let Some(waiting) = self.jobs.take(job) else { return };
        if let Reply::Written(written) = &reply {
            self.on_entry_answered(now, oldest, written.is_ok());
        }
        match (waiting, reply) {
            (Waiting::Note, Reply::Written(written)) => self.stats.entries_lost += u64::from(written.is_err()),
            (Waiting::Gate(gate), Reply::Written(written)) => self.on_gate_answered(now, job, gate, written, out),
            (Waiting::Challenge { conn }, Reply::Challenge(contents)) => {
                self.on_challenge_read(now, (conn, job), contents.as_deref(), out);
            }
            (Waiting::Permission { conn, question }, Reply::Written(written)) => {
                self.on_permission_answered(now, (conn, job), question, written, out);
            }
            (Waiting::History { conn, .. }, Reply::History(piece)) => {
                self.on_history_read(now, (conn, job), piece, out);
            }
            (Waiting::Seen, Reply::Seen(people)) => self.on_seen(&people),
            (Waiting::Proof { conn }, Reply::NoteProved(proved)) => self.on_note_proved(now, conn, proved, out),
            (waiting, reply) => {
                debug_assert!(false, "{waiting:?} was answered with {reply:?}");
            }
        }
    }

    /// Has an event written down whose effect comes at once. Where more wait than may, it is lost, and counted.
    pub(super) fn note(&mut self, now: Instant, event: Event, out: &mut Outbox) {
        debug_assert_eq!(event.class(), Class::Note);
        if self.jobs.entries >= self.settings.limits.jobs.entries_max {
            self.stats.entries_lost += 1;
            error!(target: "audit", "lost, as too many entries wait to be written: {event}");
            return;
        }
        self.write(now, event, Waiting::Note, out);
    }

    /// Refuses gates whose entries are not known to be durable in time, as where a disk hangs.
    pub(super) fn on_gates_deadline(&mut self, now: Instant, out: &mut Outbox) {
        while let Some((job, gate)) = self.jobs.take_late(now) {
            self.on_gate_answered(now, job, gate, Err(NotWritten), out);
        }
        self.arm_gates();
    }

    fn arm_gates(&mut self) {
        if let Some(&(until, _)) = self.jobs.gates.front()
            && !self.deadlines.is_armed(Timer::Gates)
        {
            self.deadlines.arm(Timer::Gates, until);
        }
    }

    /// Has an event written down that a wish to listen waits for; refused at once where too many entries wait.
    pub(super) fn open_gate(
        &mut self,
        now: Instant,
        (broadcast, listener): (BroadcastKey, Client),
        event: Event,
        out: &mut Outbox,
    ) -> Result<EntryId, NotWritten> {
        debug_assert_eq!(event.class(), Class::Gate);
        if !self.jobs.has_room_for_gate(&self.settings.limits.jobs) {
            self.stats.gates_refused += 1;
            return Err(NotWritten);
        }
        let entry = EntryId(self.jobs.next_entry);
        let gate = Gate { broadcast, listener, entry, asker: None };
        let job = self.write(now, event, Waiting::Gate(gate), out);
        self.jobs.gates.push_back((now + self.settings.limits.jobs.gate_timeout, job));
        self.arm_gates();
        Ok(entry)
    }

    /// Has an event written down that a question about others waits for; refused at once where too many entries wait.
    pub(super) fn await_permission(
        &mut self,
        now: Instant,
        (conn, request): (ConnKey, &Request),
        question: Box<Question>,
        event: Event,
        out: &mut Outbox,
    ) -> Result<(), NotWritten> {
        debug_assert_eq!(event.class(), Class::Gate);
        if !self.jobs.has_room_for_gate(&self.settings.limits.jobs) {
            self.stats.gates_refused += 1;
            return Err(NotWritten);
        }
        let job = self.write(now, event, Waiting::Permission { conn, question }, out);
        if let Some(client) = self.clients.get_mut(conn) {
            client.await_answer(now, job, request.clone(), &self.settings.limits.conn);
        }
        Ok(())
    }

    /// Returns the name of a question about the past that is to be asked for a client; `None` where too many are, or too
    /// many reports.
    pub(super) fn question(&mut self, conn: ConnKey, is_report: bool) -> Option<JobKey> {
        let limits = &self.settings.limits.jobs;
        if self.jobs.questions >= limits.questions_max || (is_report && self.jobs.reports >= limits.reports_max) {
            return None;
        }
        self.jobs.questions += 1;
        self.jobs.reports += usize::from(is_report);
        Some(self.jobs.waiting.insert(Waiting::History { conn, is_report }))
    }

    /// An answer goes on once another question is answered.
    pub(super) fn starve(&mut self, conn: ConnKey) {
        if !self.jobs.starved.contains(&conn) {
            self.jobs.starved.push_back(conn);
        }
    }

    /// Returns whose answer may go on now.
    pub(super) fn next_starved(&mut self) -> Option<ConnKey> {
        let has_credit = self.jobs.questions < self.settings.limits.jobs.questions_max;
        if has_credit { self.jobs.starved.pop_front() } else { None }
    }

    /// Asks which salespeople were here, unless that is being asked.
    pub(super) fn ask_seen(&mut self, now: Instant, out: &mut Outbox) {
        if mem::replace(&mut self.jobs.asks_seen, true) {
            return;
        }
        let job = self.jobs.waiting.insert(Waiting::Seen);
        let limits = &self.settings.limits.registration;
        let since_ms = self.unix_ms(now).saturating_sub(limits.seen_within.as_millis() as u64);
        out.job(job, Job::ReadSeen { since_ms, people_max: limits.absent_read_max });
    }

    /// Has a file read that a certificate authority asks for, whose request waits meanwhile.
    pub(super) fn read_challenge(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: &Request,
        name: &str,
        out: &mut Outbox,
    ) {
        if self.jobs.reads >= self.settings.limits.jobs.reads_max {
            self.stats.reads_refused += 1;
            return self.refuse(now, conn, Some(request), &come_back_later("too many ask for files"));
        }
        let Some(client) = self.clients.get_mut(conn) else { return };
        self.jobs.reads += 1;
        let job = self.jobs.waiting.insert(Waiting::Challenge { conn });
        client.await_answer(now, job, request.clone(), &self.settings.limits.conn);
        out.job(job, Job::ReadChallenge(name.to_owned()));
    }

    /// It is known what a file holds; the client may be gone, or have waited for too long.
    fn on_challenge_read(
        &mut self,
        now: Instant,
        (conn, job): (ConnKey, JobKey),
        contents: Option<&[u8]>,
        out: &mut Outbox,
    ) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        let Some(request) = client.take_answering(now, job, &self.settings.limits.conn) else { return };
        self.respond_challenge(now, conn, &request, contents);
        self.poll_conn(now, conn, out);
    }

    fn write(&mut self, now: Instant, event: Event, waiting: Waiting, out: &mut Outbox) -> JobKey {
        // Whatever is written from here on is written by the other time.
        self.note_clock_jump(now, out);
        let id = EntryId(self.jobs.next_entry);
        self.jobs.next_entry += 1;
        self.jobs.entries += 1;
        self.jobs.gates_open += usize::from(matches!(waiting, Waiting::Gate(_) | Waiting::Permission { .. }));
        let job = self.jobs.waiting.insert(waiting);
        self.jobs.since.push_back((now, job));
        self.measure_journal(now);
        out.job(job, Job::Write(Entry { id, at: self.clock.system_time(now), event }));
        job
    }

    /// It is known whether the entry that a wish waits for is durable.
    fn on_gate_answered(
        &mut self,
        now: Instant,
        job: JobKey,
        gate: Gate,
        written: Result<(), NotWritten>,
        out: &mut Outbox,
    ) {
        let Gate { broadcast: key, listener, entry, asker } = gate;
        self.stats.gates_refused += u64::from(written.is_err());
        if let Some(asker) = &asker {
            self.end_unasked(now, job, asker, out);
        }
        let changes = match (self.broadcasts.get_mut(key), written) {
            (Some(broadcast), Ok(())) => {
                let notice_id = self.next_notice_id;
                self.next_notice_id += 1;
                broadcast.entry_written(now, listener, entry, notice_id)
            }
            (Some(broadcast), Err(NotWritten)) => broadcast.entry_refused(listener, entry),
            (None, _) => Vec::new(),
        };
        if !changes.is_empty() {
            self.carry_out(now, key, changes, out);
        }
        if let Some(asker) = asker {
            self.answer_player(now, job, *asker, written, out);
        }
    }

    /// Returns a listening that nobody has asked for before.
    pub(super) fn new_listening(
        &mut self,
        (admin_id, admin_name): (&str, &str),
        commercial_id: &str,
        reason: &str,
    ) -> Arc<Listening> {
        let looks_like = self.people.taken_for(admin_id, admin_name);
        Arc::new(Listening {
            looks_like,
            id: ListeningId(self.chance.next_u64()),
            admin_id: admin_id.to_owned(),
            admin_name: admin_name.to_owned(),
            commercial_id: commercial_id.to_owned(),
            reason: reason.to_owned(),
        })
    }

    /// Returns a salesperson as entries name them.
    pub(super) fn subject(&self, commercial_id: &str) -> Subject {
        Subject { commercial_id: commercial_id.to_owned(), is_device: self.is_device(commercial_id) }
    }

    /// Tells whether what streams under an id is nobody's microphone.
    pub(super) fn is_device(&self, commercial_id: &str) -> bool {
        self.broadcasts.named(commercial_id).is_some_and(|key| self.broadcasts[key].is_device())
    }
}
