//! Wishes to listen: how far each is, and what takes it a step further or back.
//!
//! Invariant: a listener becomes `Phase::Forwarding` in [`Broadcast::acknowledge`], `release_all` or, of a device,
//! [`Broadcast::entry_written`] and nowhere else, always on air; `hold_all`, `unsettle` and [`Broadcast::leave`] take it
//! back.

use std::time::Instant;

use super::{Broadcast, Change, Page, Wish};
use crate::keys::{ConnKey, ListenerKey, PeerKey};
use crate::wire::signaling::Person;
use crate::words::{PendingCause, Presence, StopCause};

/// A supervisor who listens, or wishes to, with one listening connection.
#[derive(Clone, Debug)]
pub struct Listener {
    pub key: ListenerKey,
    /// The session that plays it.
    pub peer: PeerKey,
    pub admin_id: String,
    pub admin_name: String,
    pub reason: String,
    /// Whether what is heard is nobody's microphone.
    pub hears_device: bool,
    pub(super) phase: Phase,
}

/// How far a wish to listen is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// For the salesperson to be on air with an awake page.
    Waiting,
    /// For the journal to have the entry.
    AwaitingEntry,
    /// For the page to acknowledge the notice.
    AwaitingAck { notice_id: u64, since: Instant, late: bool },
    /// Acknowledged; for the pause or interruption to end.
    Held { notice_id: u64 },
    /// Heard.
    Forwarding { notice_id: u64 },
}

impl Phase {
    pub(super) fn notice_id(self) -> Option<u64> {
        match self {
            Phase::Waiting | Phase::AwaitingEntry => None,
            Phase::AwaitingAck { notice_id, .. } | Phase::Held { notice_id } | Phase::Forwarding { notice_id } => {
                Some(notice_id)
            }
        }
    }

    pub(super) fn awaits(self, notice_id: u64) -> bool {
        matches!(self, Phase::AwaitingAck { notice_id: awaited, .. } if awaited == notice_id)
    }
}

impl Listener {
    /// Returns who it is, as others see it.
    pub fn person(&self) -> Person<'_> {
        Person { id: &self.admin_id, name: &self.admin_name }
    }

    pub(super) fn is_heard(&self) -> bool {
        matches!(self.phase, Phase::Forwarding { .. })
    }

    /// Returns what takes back the notice, where the page has one.
    pub(super) fn withdrawn_from(&self, page: ConnKey) -> Option<Change> {
        let notice_id = self.phase.notice_id()?;
        Some(Change::Withdraw { page, notice_id, listener: self.clone() })
    }
}

impl Broadcast {
    /// A supervisor wishes to listen. Asking again changes nothing and tells again how far the wish is.
    pub fn join(&mut self, wish: Wish) -> Vec<Change> {
        if let Some(listener) = self.listener(wish.key) {
            return match listener.phase {
                Phase::Forwarding { .. } => vec![Change::Start { listener: listener.clone(), is_new: false }],
                _ => vec![self.pend(listener)],
            };
        }
        self.listeners.push(Listener {
            key: wish.key,
            peer: wish.peer,
            admin_id: wish.admin_id,
            admin_name: wish.admin_name,
            reason: wish.reason,
            hears_device: false,
            phase: Phase::Waiting,
        });
        self.settle(wish.key)
    }

    /// The entry that [`Change::WriteEntry`] asked for stands in the journal.
    pub fn entry_written(&mut self, now: Instant, key: ListenerKey, notice_id: u64) -> Vec<Change> {
        let is_device = self.is_device();
        // Nothing waits for a device's page, which reads the notice when it wakes.
        let page = if is_device { self.page() } else { self.awake_page() };
        let listener = self.listeners.iter_mut().find(|listener| listener.key == key);
        let Some(listener) = listener.filter(|listener| listener.phase == Phase::AwaitingEntry) else {
            return Vec::new();
        };
        listener.hears_device = is_device;
        if is_device {
            listener.phase = Phase::Forwarding { notice_id };
            let start = Change::Start { listener: listener.clone(), is_new: true };
            let listener = listener.clone();
            let announce = page.map(|page| Change::Announce { page, notice_id, listener });
            return announce.into_iter().chain([start]).collect();
        }
        let Some(page) = page else { return Vec::new() };
        listener.phase = Phase::AwaitingAck { notice_id, since: now, late: false };
        let announce = Change::Announce { page, notice_id, listener: listener.clone() };
        vec![Change::Pend { listener: key, cause: PendingCause::Ack }, announce]
    }

    /// Tells whether this page was asked to acknowledge this notice.
    pub fn awaits_ack(&self, page: ConnKey, notice_id: u64) -> bool {
        self.page() == Some(page) && self.listeners.iter().any(|listener| listener.phase.awaits(notice_id))
    }

    /// The page says that a notice is on its screen: that listener hears from now on.
    pub fn acknowledge(&mut self, page: ConnKey, notice_id: u64) -> Option<Change> {
        if self.page != Page::Open(page) || self.on_air.is_none() {
            return None;
        }
        let is_flowing = self.presence() == Presence::OnAir;
        let listener = self.listeners.iter_mut().find(|listener| listener.phase.awaits(notice_id))?;
        if !is_flowing {
            listener.phase = Phase::Held { notice_id };
            return None;
        }
        listener.phase = Phase::Forwarding { notice_id };
        Some(Change::Start { listener: listener.clone(), is_new: true })
    }

    /// A supervisor does not wish to listen any more, or can't.
    pub fn leave(&mut self, key: ListenerKey, cause: Option<StopCause>) -> Vec<Change> {
        let Some(index) = self.listeners.iter().position(|listener| listener.key == key) else {
            return Vec::new();
        };
        let listener = self.listeners.remove(index);
        let was_heard = listener.is_heard();
        let withdraw = self.page().and_then(|page| listener.withdrawn_from(page));
        [Change::Stop { listener, was_heard, cause }].into_iter().chain(withdraw).collect()
    }

    /// Tells whether a supervisor's page hears.
    pub fn is_heard_by(&self, conn: ConnKey) -> bool {
        self.heard_by().any(|listener| listener.key == ListenerKey::Conn(conn))
    }

    /// A supervisor's audio comes through another session from now on.
    pub fn replace_listener_peer(&mut self, conn: ConnKey, peer: PeerKey) {
        for listener in self.listeners.iter_mut().filter(|listener| listener.key == ListenerKey::Conn(conn)) {
            listener.peer = peer;
        }
    }

    /// Tells a page that opens who hears a device, which nobody had to be asked for.
    pub(super) fn announce_heard(&self, page: ConnKey) -> Vec<Change> {
        let notice = |listener: &Listener| {
            let notice_id = listener.phase.notice_id()?;
            Some(Change::Announce { page, notice_id, listener: listener.clone() })
        };
        self.listeners.iter().filter_map(notice).collect()
    }

    pub(super) fn heard_by(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().filter(|listener| listener.is_heard())
    }

    /// Whoever hears is held, and everybody is told why.
    pub(super) fn hold_all(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for listener in &mut self.listeners {
            if let Phase::Forwarding { notice_id } = listener.phase {
                changes.push(Change::Unsettle { listener: listener.clone() });
                listener.phase = Phase::Held { notice_id };
            }
        }
        let pends = self.listeners.iter().map(|listener| self.pend(listener));
        changes.into_iter().chain(pends).collect()
    }

    /// Whoever was held hears, and whoever waits goes on waiting for the page.
    pub(super) fn release_all(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for index in 0..self.listeners.len() {
            let listener = &mut self.listeners[index];
            match listener.phase {
                Phase::Held { notice_id } => {
                    listener.phase = Phase::Forwarding { notice_id };
                    changes.push(Change::Start { listener: listener.clone(), is_new: true });
                }
                Phase::AwaitingAck { .. } => changes.push(self.pend(&self.listeners[index])),
                Phase::Waiting | Phase::AwaitingEntry | Phase::Forwarding { .. } => {}
            }
        }
        changes.into_iter().chain(self.settle_all()).collect()
    }

    pub(super) fn settle_all(&mut self) -> Vec<Change> {
        let keys: Vec<ListenerKey> = self.listeners.iter().map(|listener| listener.key).collect();
        keys.into_iter().flat_map(|key| self.settle(key)).collect()
    }

    /// Takes a waiting wish one step further, or tells why it waits.
    fn settle(&mut self, key: ListenerKey) -> Vec<Change> {
        let ready = self.presence() == Presence::OnAir && (self.awake_page().is_some() || self.is_device());
        let Some(index) = self.listeners.iter().position(|listener| listener.key == key) else {
            return Vec::new();
        };
        if self.listeners[index].phase != Phase::Waiting {
            return Vec::new();
        }
        if !ready {
            return vec![self.pend(&self.listeners[index])];
        }
        self.listeners[index].phase = Phase::AwaitingEntry;
        vec![Change::WriteEntry { listener: key }]
    }

    /// Takes every listener back to waiting; `page` is told, unless it is gone.
    pub(super) fn unsettle_all(&mut self, page: Option<ConnKey>) -> Vec<Change> {
        let mut changes = Vec::new();
        for index in 0..self.listeners.len() {
            changes.extend(self.unsettle(index, page));
        }
        changes
    }

    fn unsettle(&mut self, index: usize, page: Option<ConnKey>) -> impl Iterator<Item = Change> + use<> {
        let before = self.listeners[index].clone();
        self.listeners[index].phase = Phase::Waiting;
        self.listeners[index].hears_device = false;
        let was_heard = before.is_heard();
        let withdraw = page.and_then(|page| before.withdrawn_from(page));
        was_heard.then_some(Change::Unsettle { listener: before }).into_iter().chain(withdraw)
    }

    fn pend(&self, listener: &Listener) -> Change {
        Change::Pend { listener: listener.key, cause: self.pending_cause(listener) }
    }

    fn pending_cause(&self, listener: &Listener) -> PendingCause {
        match (self.presence(), self.page, listener.phase) {
            (Presence::Offline, _, _) => PendingCause::Offline,
            (Presence::Online, _, _) => PendingCause::OffAir,
            (Presence::Paused, _, _) => PendingCause::Paused,
            (Presence::Interrupted, _, _) => PendingCause::Interrupted,
            (Presence::OnAir, _, Phase::AwaitingAck { late: true, .. })
            | (Presence::OnAir, Page::Silent(_) | Page::Closed, _) => PendingCause::AckLate,
            (Presence::OnAir, _, _) => PendingCause::Ack,
        }
    }
}
