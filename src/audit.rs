//! What is written down: each event with its own data, and which of them are gates.
//!
//! Words alone: who makes them durable, and when, is not known here. Invariant: all entries of one listening carry its id,
//! from asked to ended, and the entry of a refusal one of its own.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::words::Told;

/// Names one entry for as long as the server runs: what waits for an entry waits for this one and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub u64);

/// Names one listening, from asked to ended; drawn by chance, so that those of two runs differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListeningId(pub u64);

impl fmt::Display for ListeningId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Names one thing that a command handed in, however often it is handed in again; drawn by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandInId(pub u64);

impl fmt::Display for HandInId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: EntryId,
    pub at: SystemTime,
    pub event: Event,
}

/// One wish of one client to hear one salesperson, shared by all that speaks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    pub id: ListeningId,
    pub admin_id: String,
    pub admin_name: String,
    /// Empty where what was asked for is no id.
    pub commercial_id: String,
    /// Empty where it was none that people are shown.
    pub reason: String,
    /// Whose name the supervisor's is easily taken for.
    pub looks_like: Option<Arc<KnownPerson>>,
}

/// Somebody who has been here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPerson {
    pub id: String,
    pub name: String,
}

/// Whose broadcast an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub commercial_id: String,
    /// Whether what streams is nobody's microphone.
    pub is_device: bool,
}

/// Somebody who is here from now on, and where from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newcomer {
    pub id: String,
    pub name: String,
    pub role: &'static str,
    /// The address that the client has, as far as proxies are believed.
    pub address: String,
    /// What the browser calls itself; empty where it does not.
    pub browser: String,
}

/// What is read of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Rows, to be shown.
    Rows,
    /// Rows, to be saved as a table.
    Table,
    /// How listening is used, and nobody by name.
    Report,
}

impl Read {
    fn name(self) -> &'static str {
        match self {
            Read::Rows => "history_read",
            Read::Table => "history_exported",
            Read::Report => "report_read",
        }
    }
}

/// Somebody asked for the history of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRead {
    pub user_id: String,
    /// Whose: empty for everybody's.
    pub commercial_id: String,
    /// What was asked for.
    pub query: String,
}

/// What somebody did at the server's command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    pub kind: DeedKind,
    /// Who they are to the system.
    pub by: String,
    /// Whom it is about; empty where it is nobody, or everybody.
    pub person: String,
    pub detail: String,
}

/// Entries that were taken out of the journal at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    pub why: PurgeCause,
    pub times: u64,
    /// Their numbers, as ranges: `1-20 25`.
    pub rows: String,
    /// The server's signature of what was handed in, in base64: it says so to whoever has no more of the journal.
    pub signature: String,
}

/// Why entries are taken out of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeCause {
    /// They were older than may be.
    Due,
    /// They were about one person, whose purge is an entry of its own.
    Person,
    /// They were gone when a purge began to say which ones it takes.
    Earlier,
}

impl PurgeCause {
    /// All of them.
    pub const ALL: [PurgeCause; 3] = [PurgeCause::Due, PurgeCause::Person, PurgeCause::Earlier];

    /// Returns how it is written.
    pub fn words(self) -> &'static str {
        match self {
            PurgeCause::Due => "due",
            PurgeCause::Person => "of one person",
            PurgeCause::Earlier => "before this was written down",
        }
    }

    /// Returns the one that is written so.
    pub fn said(words: &str) -> Option<PurgeCause> {
        PurgeCause::ALL.into_iter().find(|why| why.words() == words)
    }
}

/// The name of the event that says which entries were purged, which itself never is.
pub const JOURNAL_PURGED: &str = "journal_purged";

/// What can be done there that is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeedKind {
    /// Entries were shown.
    Shown,
    /// Entries were taken out.
    Exported,
    /// What is written about one person was taken out.
    PersonExported,
    /// What is written about one person was purged before its time.
    PersonPurged,
    /// A user's access was revoked.
    Revoked,
    /// A report was made of how listening is used.
    Reported,
    /// A copy of all was made.
    BackedUp,
    /// All is what it was when a copy was made.
    Restored,
}

impl DeedKind {
    /// All of them.
    pub const ALL: [DeedKind; 8] = [
        DeedKind::Shown,
        DeedKind::Exported,
        DeedKind::PersonExported,
        DeedKind::PersonPurged,
        DeedKind::Revoked,
        DeedKind::Reported,
        DeedKind::BackedUp,
        DeedKind::Restored,
    ];

    /// Returns the name of the event.
    pub fn name(self) -> &'static str {
        match self {
            DeedKind::Shown => "journal_shown",
            DeedKind::Exported => "journal_exported",
            DeedKind::PersonExported => "person_exported",
            DeedKind::PersonPurged => "person_purged",
            DeedKind::Revoked => "user_revoked",
            DeedKind::Reported => "report_made",
            DeedKind::BackedUp => "journal_backed_up",
            DeedKind::Restored => "journal_restored",
        }
    }

    /// Returns the one of this name.
    pub fn named(name: &str) -> Option<DeedKind> {
        DeedKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A page registered.
    Registered {
        who: Arc<Newcomer>,
    },
    BroadcastStarted {
        of: Subject,
        by: StartedBy,
        /// What people see of who has no page that registered: the name that the encoder's token gives, if it does.
        name: Option<Box<str>>,
    },
    BroadcastStopped {
        of: Subject,
        why: OffAir,
        /// How many came, and how many are missing; unknown where the server did not see the end.
        packets: Option<(u64, u64)>,
    },
    BroadcastPaused {
        of: Subject,
    },
    BroadcastResumed {
        of: Subject,
    },
    /// Another page of the salesperson than the one that was open shows from now on who listens.
    PageTakenOver {
        of: Subject,
    },
    /// A wish began.
    ListenAsked {
        listening: Arc<Listening>,
        is_device: bool,
    },
    /// A wish was refused, and never was one; or so many were, all for this reason.
    ListenRefused {
        listening: Arc<Listening>,
        why: ListenRefusal,
        times: u64,
    },
    /// Tokens were refused for a reason, whoever sent them; the last came from this network.
    TokensRefused {
        from: String,
        why: String,
        times: u64,
    },
    /// The salesperson is about to be told. A gate: nobody is told, and nobody hears, before this is durable.
    ListenAnnounced {
        listening: Arc<Listening>,
        is_device: bool,
    },
    /// Packets flow from the next one on that is sent.
    ListenStarted {
        listening: Arc<Listening>,
        is_device: bool,
        /// How the salesperson was told; of a device nobody has to be.
        told: Option<Told>,
    },
    /// Packets do not flow any more, but the wish stays.
    ListenInterrupted {
        listening: Arc<Listening>,
        is_device: bool,
        why: ListenBreak,
    },
    /// The wish is over.
    ListenEnded {
        listening: Arc<Listening>,
        is_device: bool,
        was_heard: bool,
        why: ListenEnd,
    },
    /// A user's token was revoked while they were connected or on air, which ends that.
    AccessRevoked {
        user_id: String,
        role: &'static str,
        /// Of a salesperson.
        of: Option<Subject>,
    },
    /// Somebody is about to be shown history of others, or to save it. A gate: nothing is shown before this is durable.
    HistoryRead {
        read: Arc<HistoryRead>,
        what: Read,
    },
    /// Somebody asked for history that is not for them.
    HistoryRefused {
        read: Arc<HistoryRead>,
        why: &'static str,
    },
    /// Somebody did this at the command line.
    Done {
        deed: Arc<Deed>,
        handed_in: HandInId,
    },
    /// So many things were handed in that no command of this server handed in.
    HandInRefused {
        times: u64,
    },
    /// The wall clock moved by more than it runs.
    ClockJumped {
        by_ms: i64,
    },
    /// The journal is written by a server of this version from here on.
    ServerStarted {
        version: &'static str,
        /// As they were given, without secrets.
        options: Arc<str>,
    },
    /// A server found a journal that may not be all that was written.
    JournalDoubted {
        why: &'static str,
    },
    /// A user's page kept a note of the journal, signed here, that the journal does not contain.
    HistoryDoubted {
        by: String,
        role: &'static str,
        why: HistoryDoubt,
    },
    /// That server wrote all that it had.
    ServerEnded,
    /// Somebody confirmed that they know that the journal was restored at that moment, in Unix milliseconds.
    RestorationConfirmed {
        by: String,
        at_ms: u64,
    },
    /// Entries were taken out of the journal.
    JournalPurged {
        purge: Arc<Purge>,
        handed_in: HandInId,
    },
}

/// What began to stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartedBy {
    Page,
    Encoder,
    /// An encoder that takes the place of another one.
    NextEncoder,
}

/// Why a broadcast stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffAir {
    Stopped,
    PageClosed,
    AnotherPage,
    ReplacedByPage,
    ReplacedByEncoder,
    ClosedByEncoder,
    NeverConnected,
    ConnectionLost,
    TokenExpired,
    TokenRevoked,
    NotAllowed,
    Restarting,
    /// The server ended without a word; this is when it was last seen alive.
    ServerDied,
}

/// Why a listening was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListenRefusal {
    NotThisRole,
    NotThisToken,
    BadReason,
    NoAudio,
    TooMany,
    TooOften,
}

/// Why somebody who was heard by a supervisor is not, for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenBreak {
    /// The salesperson paused; the acknowledgement stays.
    Paused,
    /// Nothing comes from the microphone; the acknowledgement stays.
    Interrupted,
    /// Nobody knows whether the salesperson sees who listens: they are announced anew.
    Unseen,
    /// The salesperson went off air: who listens is announced anew the next time.
    OffAir,
}

impl ListenRefusal {
    /// The one that stands before all others.
    pub const FIRST: ListenRefusal = ListenRefusal::NotThisRole;
}

impl ListenBreak {
    /// Tells whether what the salesperson acknowledged goes on to count.
    pub fn keeps_acknowledgement(self) -> bool {
        match self {
            ListenBreak::Paused | ListenBreak::Interrupted => true,
            ListenBreak::Unseen | ListenBreak::OffAir => false,
        }
    }
}

/// Why a listening ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenEnd {
    Left,
    Switched,
    ConnClosed,
    ConnectionLost,
    TokenExpired,
    TokenRevoked,
    NotAllowed,
    Restarting,
    /// Its announcement could not be written down.
    NotWritten,
    /// The server ended without a word; this is when it was last seen alive.
    ServerDied,
}

/// Why the journal does not contain what a note says that was signed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryDoubt {
    /// It has fewer entries.
    Missing,
    /// It has so many, and they are others.
    Different,
}

/// How an event stands to its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The effect waits until the entry is durable, and does not come where it can't be.
    Gate,
    /// The effect comes at once: protecting somebody never waits for a disk.
    Note,
}

impl Event {
    /// Returns how the event stands to its effect.
    pub fn class(&self) -> Class {
        match self {
            Event::ListenAnnounced { .. } | Event::HistoryRead { .. } => Class::Gate,
            Event::Registered { .. }
            | Event::HistoryRefused { .. }
            | Event::Done { .. }
            | Event::HandInRefused { .. }
            | Event::RestorationConfirmed { .. }
            | Event::ClockJumped { .. }
            | Event::BroadcastStarted { .. }
            | Event::BroadcastStopped { .. }
            | Event::BroadcastPaused { .. }
            | Event::BroadcastResumed { .. }
            | Event::PageTakenOver { .. }
            | Event::ListenAsked { .. }
            | Event::ListenRefused { .. }
            | Event::ListenStarted { .. }
            | Event::ListenInterrupted { .. }
            | Event::ListenEnded { .. }
            | Event::TokensRefused { .. }
            | Event::AccessRevoked { .. }
            | Event::ServerStarted { .. }
            | Event::JournalDoubted { .. }
            | Event::HistoryDoubted { .. }
            | Event::ServerEnded
            | Event::JournalPurged { .. } => Class::Note,
        }
    }

    /// Returns the event's name in logs and in the journal.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Registered { .. } => "registered",
            Event::HistoryRead { what, .. } => what.name(),
            Event::HistoryRefused { .. } => "history_refused",
            Event::Done { deed, .. } => deed.kind.name(),
            Event::HandInRefused { .. } => "hand_in_refused",
            Event::RestorationConfirmed { .. } => "restoration_confirmed",
            Event::ClockJumped { .. } => "clock_jumped",
            Event::BroadcastStarted { .. } => "broadcast_started",
            Event::BroadcastStopped { .. } => "broadcast_stopped",
            Event::BroadcastPaused { .. } => "broadcast_paused",
            Event::BroadcastResumed { .. } => "broadcast_resumed",
            Event::PageTakenOver { .. } => "page_taken_over",
            Event::ListenAsked { .. } => "listen_asked",
            Event::ListenRefused { .. } => "listen_refused",
            Event::ListenAnnounced { .. } => "listen_announced",
            Event::ListenStarted { .. } => "listen_started",
            Event::ListenInterrupted { .. } => "listen_interrupted",
            Event::ListenEnded { .. } => "listen_ended",
            Event::TokensRefused { .. } => "tokens_refused",
            Event::AccessRevoked { .. } => "access_revoked",
            Event::ServerStarted { .. } => "server_started",
            Event::JournalDoubted { .. } => "journal_doubted",
            Event::HistoryDoubted { .. } => "history_doubted",
            Event::ServerEnded => "server_ended",
            Event::JournalPurged { .. } => JOURNAL_PURGED,
        }
    }

    /// Returns the listening that the event is of.
    pub fn listening(&self) -> Option<&Listening> {
        match self {
            Event::ListenAsked { listening, .. }
            | Event::ListenRefused { listening, .. }
            | Event::ListenAnnounced { listening, .. }
            | Event::ListenStarted { listening, .. }
            | Event::ListenInterrupted { listening, .. }
            | Event::ListenEnded { listening, .. } => Some(listening),
            Event::Registered { .. }
            | Event::HistoryRead { .. }
            | Event::HistoryRefused { .. }
            | Event::Done { .. }
            | Event::HandInRefused { .. }
            | Event::RestorationConfirmed { .. }
            | Event::ClockJumped { .. }
            | Event::BroadcastStarted { .. }
            | Event::BroadcastStopped { .. }
            | Event::BroadcastPaused { .. }
            | Event::BroadcastResumed { .. }
            | Event::PageTakenOver { .. }
            | Event::TokensRefused { .. }
            | Event::AccessRevoked { .. }
            | Event::ServerStarted { .. }
            | Event::JournalDoubted { .. }
            | Event::HistoryDoubted { .. }
            | Event::ServerEnded
            | Event::JournalPurged { .. } => None,
        }
    }

    /// Returns the id of the user who acts.
    pub fn actor(&self) -> &str {
        match self {
            Event::BroadcastStarted { of, .. }
            | Event::BroadcastStopped { of, .. }
            | Event::BroadcastPaused { of }
            | Event::BroadcastResumed { of }
            | Event::PageTakenOver { of } => &of.commercial_id,
            Event::AccessRevoked { user_id, .. } => user_id,
            Event::Registered { who } => &who.id,
            Event::HistoryRead { read, .. } | Event::HistoryRefused { read, .. } => &read.user_id,
            Event::Done { deed, .. } => &deed.by,
            Event::HistoryDoubted { by, .. } | Event::RestorationConfirmed { by, .. } => by,
            // Nobody knows, or nobody did it.
            Event::TokensRefused { .. }
            | Event::HandInRefused { .. }
            | Event::ClockJumped { .. }
            | Event::ServerStarted { .. }
            | Event::JournalDoubted { .. }
            | Event::ServerEnded
            | Event::JournalPurged { .. } => "",
            Event::ListenAsked { .. }
            | Event::ListenRefused { .. }
            | Event::ListenAnnounced { .. }
            | Event::ListenStarted { .. }
            | Event::ListenInterrupted { .. }
            | Event::ListenEnded { .. } => self.listening().map_or("", |listening| &listening.admin_id),
        }
    }

    /// Returns the `commercial_id` that is concerned; empty where there is none.
    pub fn commercial_id(&self) -> &str {
        match self {
            Event::BroadcastStarted { of, .. }
            | Event::BroadcastStopped { of, .. }
            | Event::BroadcastPaused { of }
            | Event::BroadcastResumed { of }
            | Event::PageTakenOver { of } => &of.commercial_id,
            Event::AccessRevoked { of, .. } => of.as_ref().map_or("", |of| &of.commercial_id),
            Event::HistoryRead { read, .. } | Event::HistoryRefused { read, .. } => &read.commercial_id,
            Event::Done { deed, .. } => &deed.person,
            Event::Registered { .. }
            | Event::HandInRefused { .. }
            | Event::RestorationConfirmed { .. }
            | Event::ClockJumped { .. }
            | Event::TokensRefused { .. }
            | Event::ServerStarted { .. }
            | Event::JournalDoubted { .. }
            | Event::HistoryDoubted { .. }
            | Event::ServerEnded
            | Event::JournalPurged { .. } => "",
            Event::ListenAsked { .. }
            | Event::ListenRefused { .. }
            | Event::ListenAnnounced { .. }
            | Event::ListenStarted { .. }
            | Event::ListenInterrupted { .. }
            | Event::ListenEnded { .. } => self.listening().map_or("", |listening| &listening.commercial_id),
        }
    }

    /// Tells whether what streams is nobody's microphone.
    pub fn is_device(&self) -> bool {
        match self {
            Event::BroadcastStarted { of, .. }
            | Event::BroadcastStopped { of, .. }
            | Event::BroadcastPaused { of }
            | Event::BroadcastResumed { of }
            | Event::PageTakenOver { of } => of.is_device,
            Event::AccessRevoked { of, .. } => of.as_ref().is_some_and(|of| of.is_device),
            Event::Registered { .. }
            | Event::HistoryRead { .. }
            | Event::HistoryRefused { .. }
            | Event::Done { .. }
            | Event::HandInRefused { .. }
            | Event::RestorationConfirmed { .. }
            | Event::ClockJumped { .. }
            | Event::ListenRefused { .. }
            | Event::TokensRefused { .. }
            | Event::ServerStarted { .. }
            | Event::JournalDoubted { .. }
            | Event::HistoryDoubted { .. }
            | Event::ServerEnded
            | Event::JournalPurged { .. } => false,
            Event::ListenAsked { is_device, .. }
            | Event::ListenAnnounced { is_device, .. }
            | Event::ListenStarted { is_device, .. }
            | Event::ListenInterrupted { is_device, .. }
            | Event::ListenEnded { is_device, .. } => *is_device,
        }
    }

    /// Returns what else there is to say: why, or by what.
    pub fn detail(&self) -> &str {
        match self {
            Event::BroadcastStarted { by, .. } => by.words(),
            Event::BroadcastStopped { why, .. } => why.words(),
            Event::BroadcastPaused { .. }
            | Event::BroadcastResumed { .. }
            | Event::PageTakenOver { .. }
            | Event::RestorationConfirmed { .. }
            | Event::ClockJumped { .. }
            | Event::ServerEnded
            | Event::HandInRefused { .. } => "",
            Event::JournalPurged { purge, .. } => purge.why.words(),
            Event::Registered { who } => who.role,
            Event::HistoryRead { read, .. } | Event::HistoryRefused { read, .. } => &read.query,
            Event::Done { deed, .. } => &deed.detail,
            Event::ServerStarted { version, .. } => version,
            Event::JournalDoubted { why } => why,
            Event::ListenAsked { listening, .. }
            | Event::ListenAnnounced { listening, .. }
            | Event::ListenStarted { listening, .. } => &listening.reason,
            Event::ListenRefused { why, .. } => why.words(),
            Event::ListenInterrupted { why, .. } => why.words(),
            Event::ListenEnded { why, .. } => why.words(),
            Event::TokensRefused { from, .. } => from,
            Event::AccessRevoked { role, .. } | Event::HistoryDoubted { role, .. } => role,
        }
    }

    /// Returns how often it happened that is written down once.
    pub fn times(&self) -> u64 {
        match self {
            Event::ListenRefused { times, .. }
            | Event::TokensRefused { times, .. }
            | Event::HandInRefused { times } => *times,
            Event::JournalPurged { purge, .. } => purge.times,
            Event::Registered { .. }
            | Event::HistoryRead { .. }
            | Event::HistoryRefused { .. }
            | Event::Done { .. }
            | Event::RestorationConfirmed { .. }
            | Event::ClockJumped { .. }
            | Event::BroadcastStarted { .. }
            | Event::BroadcastStopped { .. }
            | Event::BroadcastPaused { .. }
            | Event::BroadcastResumed { .. }
            | Event::PageTakenOver { .. }
            | Event::ListenAsked { .. }
            | Event::ListenAnnounced { .. }
            | Event::ListenStarted { .. }
            | Event::ListenInterrupted { .. }
            | Event::ListenEnded { .. }
            | Event::AccessRevoked { .. }
            | Event::ServerStarted { .. }
            | Event::JournalDoubted { .. }
            | Event::HistoryDoubted { .. }
            | Event::ServerEnded => 1,
        }
    }
}

/// Writes one line: the name, who did it to whom, and why.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} actor={} commercial_id={}", self.name(), self.actor(), self.commercial_id())?;
        if let Some(listening) = self.listening() {
            write!(f, " listening={}", listening.id)?;
            if let Some(other) = &listening.looks_like {
                write!(f, " looks_like={}", other.id)?;
            }
        }
        if let Event::ListenEnded { was_heard, .. } = self {
            write!(f, " heard={was_heard}")?;
        }
        if let Event::ListenStarted { told: Some(told), .. } = self {
            write!(f, " told={}", told.name())?;
        }
        if let Event::TokensRefused { why, .. } = self {
            write!(f, " why={why:?}")?;
        }
        if let Event::HistoryRefused { why, .. } = self {
            write!(f, " why={why:?}")?;
        }
        if let Event::Registered { who } = self {
            write!(f, " name={:?} address={} browser={:?}", who.name, who.address, who.browser)?;
        }
        if let Event::ServerStarted { options, .. } = self {
            write!(f, " options={options:?}")?;
        }
        if let Event::RestorationConfirmed { at_ms, .. } = self {
            write!(f, " restored_at_ms={at_ms}")?;
        }
        if let Event::ClockJumped { by_ms } = self {
            write!(f, " by_ms={by_ms}")?;
        }
        if let Event::BroadcastStopped { packets: Some((packets, lost)), .. } = self {
            write!(f, " packets={packets} lost={lost}")?;
        }
        if let Event::HistoryDoubted { why, .. } = self {
            write!(f, " why={:?}", why.words())?;
        }
        if self.times() > 1 {
            write!(f, " times={}", self.times())?;
        }
        write!(f, " detail={:?}", self.detail())?;
        if self.is_device() { write!(f, " device=true") } else { Ok(()) }
    }
}

impl StartedBy {
    fn words(self) -> &'static str {
        match self {
            StartedBy::Page => "",
            StartedBy::Encoder => "whip",
            StartedBy::NextEncoder => "whip, in place of another",
        }
    }
}

impl OffAir {
    fn words(self) -> &'static str {
        match self {
            OffAir::Stopped => "stopped",
            OffAir::PageClosed => "page closed",
            OffAir::AnotherPage => "another page",
            OffAir::ReplacedByPage => "replaced by the page",
            OffAir::ReplacedByEncoder => "replaced",
            OffAir::ClosedByEncoder => "closed by the encoder",
            OffAir::NeverConnected => "never connected",
            OffAir::ConnectionLost => "connection lost",
            OffAir::TokenExpired => "token expired",
            OffAir::TokenRevoked => "token revoked",
            OffAir::NotAllowed => "not allowed",
            OffAir::Restarting => "restarting",
            OffAir::ServerDied => "server died",
        }
    }
}

impl ListenRefusal {
    fn words(self) -> &'static str {
        match self {
            ListenRefusal::NotThisRole => "not with this role",
            ListenRefusal::NotThisToken => "not with this token",
            ListenRefusal::BadReason => "no reason that people are shown",
            ListenRefusal::NoAudio => "no audio connection",
            ListenRefusal::TooMany => "too many at once",
            ListenRefusal::TooOften => "too often",
        }
    }
}

impl ListenBreak {
    fn words(self) -> &'static str {
        match self {
            ListenBreak::Paused => "paused",
            ListenBreak::Interrupted => "interrupted",
            ListenBreak::Unseen => "page gone or silent",
            ListenBreak::OffAir => "off air",
        }
    }
}

impl ListenEnd {
    fn words(self) -> &'static str {
        match self {
            ListenEnd::Left => "left",
            ListenEnd::Switched => "switched",
            ListenEnd::ConnClosed => "conn closed",
            ListenEnd::ConnectionLost => "connection lost",
            ListenEnd::TokenExpired => "token expired",
            ListenEnd::TokenRevoked => "token revoked",
            ListenEnd::NotAllowed => "not allowed any more",
            ListenEnd::Restarting => "restarting",
            ListenEnd::NotWritten => "could not be written down",
            ListenEnd::ServerDied => "server died",
        }
    }
}

impl HistoryDoubt {
    /// Returns what is wrong, for the log and the journal.
    pub fn words(self) -> &'static str {
        match self {
            HistoryDoubt::Missing => "the journal ends before it",
            HistoryDoubt::Different => "the journal says something else",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_heard_whom_and_why() {
        let listening = Arc::new(Listening {
            id: ListeningId(0xab),
            admin_id: "paul".into(),
            admin_name: "Paul D.".into(),
            commercial_id: "lea".into(),
            reason: "autre: \"x\"".into(),
            looks_like: None,
        });
        let of = || Subject { commercial_id: "door".into(), is_device: true };
        let cases = [
            (
                Event::ListenAnnounced { listening: Arc::clone(&listening), is_device: false },
                r#"listen_announced actor=paul commercial_id=lea listening=00000000000000ab detail="autre: \"x\"""#,
            ),
            (
                Event::ListenRefused { listening: Arc::clone(&listening), why: ListenRefusal::NoAudio, times: 3 },
                r#"listen_refused actor=paul commercial_id=lea listening=00000000000000ab times=3 detail="no audio connection""#,
            ),
            (
                Event::TokensRefused { from: "192.0.2.1".into(), why: "expired".into(), times: 1 },
                r#"tokens_refused actor= commercial_id= why="expired" detail="192.0.2.1""#,
            ),
            (
                Event::ListenEnded { listening, is_device: false, was_heard: true, why: ListenEnd::Switched },
                r#"listen_ended actor=paul commercial_id=lea listening=00000000000000ab heard=true detail="switched""#,
            ),
            (
                Event::BroadcastStarted { of: of(), by: StartedBy::Encoder, name: None },
                r#"broadcast_started actor=door commercial_id=door detail="whip" device=true"#,
            ),
            (
                Event::AccessRevoked { user_id: "ana".into(), role: "admin", of: None },
                r#"access_revoked actor=ana commercial_id= detail="admin""#,
            ),
            (
                Event::HistoryDoubted { by: "ana".into(), role: "admin", why: HistoryDoubt::Missing },
                r#"history_doubted actor=ana commercial_id= why="the journal ends before it" detail="admin""#,
            ),
        ];
        for (event, want) in cases {
            assert_eq!(event.to_string(), want);
        }
    }
}
