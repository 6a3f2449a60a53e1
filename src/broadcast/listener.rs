//! Wishes to listen: how far each is, and what takes it a step further or back.
//!
//! Invariant: a listener is heard while it is `Phase::Acknowledged` and the salesperson's presence is on air: what was
//! acknowledged is told here, and whether anything flows is asked of the presence, so that no pause can be forgotten.

use std::sync::Arc;
use std::time::Instant;

use super::{Broadcast, Change, Page, Wish};
use crate::audit::{EntryId, ListenBreak, Listening};
use crate::keys::{Client, ConnKey, PeerKey, Sink};
use crate::wire::signaling::Person;
use crate::words::{PendingCause, Presence, StopCause};

/// A supervisor who listens, or wishes to, with one listening connection.
#[derive(Clone, Debug)]
pub struct Listener {
    pub key: Client,
    /// Where what is heard goes.
    pub sink: Sink,
    /// Who wishes to hear, and why.
    pub listening: Arc<Listening>,
    /// Whether what is heard is nobody's microphone.
    pub hears_device: bool,
    pub(super) phase: Phase,
}

/// How far a wish to listen is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// For the salesperson to be on air with an awake page.
    Waiting,
    /// For this entry, and no other, to be durable.
    AwaitingEntry { entry: EntryId },
    /// For the page to acknowledge the notice.
    AwaitingAck { notice_id: u64, since: Instant, late: bool },
    /// For nothing: heard whenever the salesperson is on air, neither paused nor interrupted.
    Acknowledged { notice_id: u64 },
}

impl Phase {
    pub(super) fn notice_id(self) -> Option<u64> {
        match self {
            Phase::Waiting | Phase::AwaitingEntry { .. } => None,
            Phase::AwaitingAck { notice_id, .. } | Phase::Acknowledged { notice_id } => Some(notice_id),
        }
    }

    pub(super) fn awaits(self, notice_id: u64) -> bool {
        matches!(self, Phase::AwaitingAck { notice_id: awaited, .. } if awaited == notice_id)
    }
}

impl Listener {
    /// Returns who it is, as others see it.
    pub fn person(&self) -> Person<'_> {
        Person { id: &self.listening.admin_id, name: &self.listening.admin_name }
    }

    /// Returns the entry that the wish waits for.
    pub fn awaited_entry(&self) -> Option<EntryId> {
        match self.phase {
            Phase::AwaitingEntry { entry } => Some(entry),
            Phase::Waiting | Phase::AwaitingAck { .. } | Phase::Acknowledged { .. } => None,
        }
    }

    /// Tells whether nothing is waited for but the salesperson's presence.
    pub(super) fn is_acknowledged(&self) -> bool {
        matches!(self.phase, Phase::Acknowledged { .. })
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
            return match self.is_heard(listener) {
                true => vec![Change::Start { listener: listener.clone(), is_new: false }],
                false => vec![self.pend(listener)],
            };
        }
        self.listeners.push(Listener {
            key: wish.key,
            sink: wish.sink,
            listening: wish.listening,
            hears_device: false,
            phase: Phase::Waiting,
        });
        self.settle(wish.key)
    }

    /// The entry that [`Change::WriteEntry`] asked for is on its way to the journal, under this name.
    pub fn await_entry(&mut self, key: Client, entry: EntryId) {
        let hears_device = self.is_device();
        if let Some(listener) = self.listener_mut(key).filter(|listener| listener.phase == Phase::Waiting) {
            listener.hears_device = hears_device;
            listener.phase = Phase::AwaitingEntry { entry };
        }
    }

    /// An entry is durable. It lets on whom it was written for, unless they were taken back meanwhile and wait for
    /// another one.
    pub fn entry_written(&mut self, now: Instant, key: Client, entry: EntryId, notice_id: u64) -> Vec<Change> {
        // Nothing waits for a device's page, which reads the notice when it wakes.
        let page = if self.is_device() { self.page() } else { self.awake_page() };
        let Some(listener) = self.awaiting_entry(key, entry) else { return Vec::new() };
        let next = match listener.hears_device {
            true => Phase::Acknowledged { notice_id },
            false => Phase::AwaitingAck { notice_id, since: now, late: false },
        };
        listener.phase = next;
        let listener = listener.clone();
        let start = self.is_heard(&listener).then(|| Change::Start { listener: listener.clone(), is_new: true });
        let announce = page.map(|page| Change::Announce { page, notice_id, listener });
        announce.into_iter().chain(start).collect()
    }

    /// An entry can't be written: what it would have let on is over.
    pub fn entry_refused(&mut self, key: Client, entry: EntryId) -> Vec<Change> {
        match self.awaiting_entry(key, entry) {
            Some(_) => self.leave(key, Some(StopCause::NotWritten)),
            None => Vec::new(),
        }
    }

    /// Tells whether this page was asked to acknowledge this notice.
    pub fn awaits_ack(&self, page: ConnKey, notice_id: u64) -> bool {
        self.page() == Some(page) && self.listeners.iter().any(|listener| listener.phase.awaits(notice_id))
    }

    /// The page says that a notice is on its screen: that listener hears from now on, while there is something to hear.
    pub fn acknowledge(&mut self, page: ConnKey, notice_id: u64) -> Option<Change> {
        if self.page != Page::Open(page) || self.on_air.is_none() {
            return None;
        }
        let listener = self.listeners.iter_mut().find(|listener| listener.phase.awaits(notice_id))?;
        listener.phase = Phase::Acknowledged { notice_id };
        let listener = listener.clone();
        self.is_heard(&listener).then_some(Change::Start { listener, is_new: true })
    }

    /// A supervisor does not wish to listen any more, or can't.
    pub fn leave(&mut self, key: Client, cause: Option<StopCause>) -> Vec<Change> {
        let Some(index) = self.listeners.iter().position(|listener| listener.key == key) else {
            return Vec::new();
        };
        let listener = self.listeners.remove(index);
        let was_heard = self.is_heard(&listener);
        let withdraw = self.page().and_then(|page| listener.withdrawn_from(page));
        [Change::Stop { listener, was_heard, cause }].into_iter().chain(withdraw).collect()
    }

    /// Tells whether a supervisor's page hears.
    pub fn is_heard_by(&self, conn: ConnKey) -> bool {
        self.heard_by().any(|listener| listener.key == Client::Page(conn))
    }

    /// A supervisor's audio comes through another session from now on.
    pub fn replace_listener_peer(&mut self, conn: ConnKey, peer: PeerKey) {
        if let Some(listener) = self.listener_mut(Client::Page(conn)) {
            listener.sink = Sink::Peer(peer);
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

    /// Tells whether packets flow to a listener.
    pub(super) fn is_heard(&self, listener: &Listener) -> bool {
        listener.is_acknowledged() && self.presence() == Presence::OnAir
    }

    pub(super) fn heard_by(&self) -> impl Iterator<Item = &Listener> {
        let is_flowing = self.presence() == Presence::OnAir;
        self.listeners.iter().filter(move |listener| is_flowing && listener.is_acknowledged())
    }

    /// The salesperson can't be heard any more: whoever heard does not, and everybody is told why.
    pub(super) fn hold_all(&self, was_flowing: bool) -> Vec<Change> {
        let is_paused = self.presence() == Presence::Paused;
        let why = if is_paused { ListenBreak::Paused } else { ListenBreak::Interrupted };
        let heard = self.listeners.iter().filter(|listener| was_flowing && listener.is_acknowledged());
        let holds = heard.map(|listener| Change::Interrupt { listener: listener.clone(), why });
        holds.chain(self.listeners.iter().map(|listener| self.pend(listener))).collect()
    }

    /// The salesperson can be heard again: whoever was acknowledged hears, and whoever waits goes on waiting for the page.
    pub(super) fn release_all(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for listener in &self.listeners {
            match listener.phase {
                Phase::Acknowledged { .. } => {
                    changes.push(Change::Start { listener: listener.clone(), is_new: true });
                }
                Phase::AwaitingEntry { .. } | Phase::AwaitingAck { .. } => changes.push(self.pend(listener)),
                Phase::Waiting => {}
            }
        }
        changes.into_iter().chain(self.settle_all()).collect()
    }

    pub(super) fn settle_all(&self) -> Vec<Change> {
        self.listeners.iter().flat_map(|listener| self.settle(listener.key)).collect()
    }

    /// Takes a waiting wish one step further, or tells why it waits.
    fn settle(&self, key: Client) -> Vec<Change> {
        let ready = self.presence() == Presence::OnAir && (self.awake_page().is_some() || self.is_device());
        match self.listener(key).filter(|listener| listener.phase == Phase::Waiting) {
            // Nobody has to be asked for a device: there is no more to wait for than the entry.
            Some(_) if ready && self.is_device() => vec![Change::WriteEntry { listener: key }],
            Some(listener) if ready => vec![Change::WriteEntry { listener: key }, self.pend(listener)],
            Some(listener) => vec![self.pend(listener)],
            None => Vec::new(),
        }
    }

    /// Takes every listener back to waiting; `page` is told, unless it is gone. What was heard until then was heard in a
    /// flow that is over, where `was_flowing`.
    pub(super) fn unsettle_all(&mut self, was_flowing: bool, page: Option<ConnKey>) -> Vec<Change> {
        let why = if self.on_air.is_none() { ListenBreak::OffAir } else { ListenBreak::Unseen };
        let mut changes = Vec::new();
        for listener in &mut self.listeners {
            let before = listener.clone();
            listener.phase = Phase::Waiting;
            listener.hears_device = false;
            let withdraw = page.and_then(|page| before.withdrawn_from(page));
            if was_flowing && before.is_acknowledged() {
                changes.push(Change::Interrupt { listener: before, why });
            }
            changes.extend(withdraw);
        }
        changes
    }

    fn listener_mut(&mut self, key: Client) -> Option<&mut Listener> {
        self.listeners.iter_mut().find(|listener| listener.key == key)
    }

    fn awaiting_entry(&mut self, key: Client, entry: EntryId) -> Option<&mut Listener> {
        self.listener_mut(key).filter(|listener| listener.phase == Phase::AwaitingEntry { entry })
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
