//! Collects what one turn of the server produces, in the order in which it must take effect.
//!
//! Not a queue between turns: the shell empties it at the end of each. Invariant: the audit entry of an effect
//! stands before the effect.

use std::mem;
use std::time::SystemTime;

use str0m::net::Protocol;

use crate::keys::ConnKey;
use crate::path::Path;

/// One datagram to send from `path.local` to `path.remote`.
#[derive(Debug)]
pub struct Datagram {
    pub path: Path,
    pub contents: Vec<u8>,
}

/// What happened, for the journal: who did what to whom, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub at: SystemTime,
    pub event: AuditEvent,
    /// The id of the user who acts.
    pub actor: String,
    /// The `commercial_id` that is concerned.
    pub commercial_id: String,
    /// The reason a supervisor gave, or why something was refused or ended; may be empty.
    pub detail: String,
    /// Whether what streams is nobody's microphone.
    pub is_device: bool,
}

/// What kind of thing is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditEvent {
    BroadcastStarted,
    BroadcastStopped,
    BroadcastPaused,
    BroadcastResumed,
    ListenRequested,
    ListenRefused,
    ListenAnnounced,
    ListenStarted,
    ListenStopped,
    /// The wish ended while nothing was heard.
    ListenWithdrawn,
    /// A user's token was revoked while they were connected or on air, which ends that.
    AccessRevoked,
}

impl AuditEvent {
    /// Returns the event's name in logs and in the journal.
    pub fn name(self) -> &'static str {
        match self {
            AuditEvent::BroadcastStarted => "broadcast_started",
            AuditEvent::BroadcastStopped => "broadcast_stopped",
            AuditEvent::BroadcastPaused => "broadcast_paused",
            AuditEvent::BroadcastResumed => "broadcast_resumed",
            AuditEvent::ListenRequested => "listen_requested",
            AuditEvent::ListenRefused => "listen_refused",
            AuditEvent::ListenAnnounced => "listen_announced",
            AuditEvent::ListenStarted => "listen_started",
            AuditEvent::ListenStopped => "listen_stopped",
            AuditEvent::ListenWithdrawn => "listen_withdrawn",
            AuditEvent::AccessRevoked => "access_revoked",
        }
    }
}

/// One thing for the shell to do.
#[derive(Debug)]
pub enum Item {
    /// Write this down before anything that follows.
    Audit(AuditEntry),
    /// Send this datagram.
    Datagram(Datagram),
    /// This conn has bytes to write, or must be closed: ask `pending_write` and `should_close`.
    Conn(ConnKey),
}

/// What one turn produces. Reused from turn to turn, so that its buffer is allocated once.
#[derive(Debug, Default)]
pub struct Outbox {
    items: Vec<Item>,
    /// Datagrams that leave over TCP: the core queues them at their conns before its caller sees the outbox.
    framed: Vec<Datagram>,
}

impl Outbox {
    /// Returns an empty outbox.
    pub fn new() -> Outbox {
        Outbox::default()
    }

    /// Appends a datagram.
    pub fn send(&mut self, path: Path, contents: Vec<u8>) {
        let datagram = Datagram { path, contents };
        match path.proto {
            Protocol::Tcp => self.framed.push(datagram),
            Protocol::Udp | Protocol::SslTcp | Protocol::Tls => self.items.push(Item::Datagram(datagram)),
        }
    }

    /// Moves the datagrams that leave over TCP to an empty list, in order.
    pub fn take_framed(&mut self, taken: &mut Vec<Datagram>) {
        mem::swap(&mut self.framed, taken);
    }

    /// Appends an entry for the journal.
    pub fn audit(&mut self, entry: AuditEntry) {
        self.items.push(Item::Audit(entry));
    }

    /// Names a conn that wants the shell's attention.
    pub fn touch(&mut self, conn: ConnKey) {
        if !matches!(self.items.last(), Some(Item::Conn(last)) if *last == conn) {
            self.items.push(Item::Conn(conn));
        }
    }

    /// Tells whether something is to be written down.
    pub fn has_audit(&self) -> bool {
        self.audit_entries().next().is_some()
    }

    /// Yields what is to be written down, in order.
    pub fn audit_entries(&self) -> impl Iterator<Item = &AuditEntry> {
        self.items.iter().filter_map(|item| match item {
            Item::Audit(entry) => Some(entry),
            Item::Datagram(_) | Item::Conn(_) => None,
        })
    }

    /// Removes and yields everything, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = Item> + '_ {
        self.items.drain(..)
    }

    /// Returns how many things there are to do.
    pub fn len(&self) -> usize {
        self.items.len() + self.framed.len()
    }

    /// Tells whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
