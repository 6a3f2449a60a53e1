//! Wishes to listen: how far each is, and what takes it a step further or back.
//!
//! Invariant: a listener is heard while it is `Phase::Acknowledged` and the salesperson's presence is on air: what was
//! acknowledged is told here, and whether anything flows is asked of the presence, so that no pause can be forgotten. What
//! the page sent before it told its person of a listener never reaches that one.

use std::sync::Arc;
use std::time::Instant;

use super::timeline::{SENT_MARGIN, Since};
use super::{Broadcast, Change, Page, Source, Wish};
use crate::audit::{EntryId, ListenBreak, Listening};
use crate::keys::{Client, ConnKey, PeerKey, Sink};
use crate::wire::signaling::{Acknowledgement, Named, Person};
use crate::words::{PendingCause, Presence, Sent, StopCause, Told};

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
    /// Whether the supervisor asked for it while it was on air: what they hear meanwhile is left for it.
    pub takes_over: bool,
    pub(super) phase: Phase,
}

/// How far a wish to listen is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// For the salesperson to be on air with an awake page.
    Waiting,
    /// For what the supervisor hears instead to end.
    Held,
    /// For this entry, and no other, to be durable.
    AwaitingEntry { entry: EntryId },
    /// For the page to acknowledge the notice.
    AwaitingAck { notice_id: u64, since: Instant, delay: Delay, before: Passed },
    /// For nothing: heard whenever the salesperson is on air, neither paused nor interrupted. A device's person need not be
    /// told.
    Acknowledged { notice_id: u64, told: Option<Told>, from: Since },
}

/// What is known of an acknowledgement that has not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delay {
    /// Nothing yet.
    None,
    /// It is late, and the supervisor was told so.
    Late,
    /// The page is hidden: it comes when somebody looks.
    Hidden,
}

/// How many packets of which stream of a session had been passed when the page was asked for something: as many it has
/// sent, at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    source: Option<(PeerKey, u32)>,
    packets: u64,
}

impl Passed {
    /// Returns what nothing was passed before.
    pub(super) fn nothing() -> Passed {
        Passed { source: None, packets: 0 }
    }
}

/// Why what a page says of its stream can't be true of the session on air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongCount {
    /// It is about another session's stream, or about none, as when the page builds a new one just then: it says it again
    /// of that one.
    OtherStream,
    /// Fewer packets than had come already: the page's counter began anew, and says nothing of what it has sent.
    Impossible,
}

impl Phase {
    pub(super) fn notice_id(self) -> Option<u64> {
        match self {
            Phase::Waiting | Phase::Held | Phase::AwaitingEntry { .. } => None,
            Phase::AwaitingAck { notice_id, .. } | Phase::Acknowledged { notice_id, .. } => Some(notice_id),
        }
    }

    /// Tells whether only the salesperson, or what the supervisor hears instead, is waited for.
    fn is_wish(self) -> bool {
        matches!(self, Phase::Waiting | Phase::Held)
    }

    pub(super) fn awaits(self, notice_id: u64) -> bool {
        matches!(self, Phase::AwaitingAck { notice_id: awaited, .. } if awaited == notice_id)
    }
}

impl Listener {
    /// Returns who it is, as others see it.
    pub fn person(&self) -> Person<'_> {
        let Listening { admin_id: id, admin_name: name, looks_like, .. } = &*self.listening;
        let looks_like = looks_like.as_deref().map(|other| Named { id: &other.id, name: &other.name });
        Person { id, name, looks_like }
    }

    /// Returns the entry that the wish waits for.
    pub fn awaited_entry(&self) -> Option<EntryId> {
        match self.phase {
            Phase::AwaitingEntry { entry } => Some(entry),
            Phase::Waiting | Phase::Held | Phase::AwaitingAck { .. } | Phase::Acknowledged { .. } => None,
        }
    }

    /// Returns how the salesperson was told of them.
    pub fn told(&self) -> Option<Told> {
        match self.phase {
            Phase::Acknowledged { told, .. } => told,
            Phase::Waiting | Phase::Held | Phase::AwaitingEntry { .. } | Phase::AwaitingAck { .. } => None,
        }
    }

    /// Returns from where on the stream may be heard; `None` before it may.
    pub(super) fn hears_from(&self) -> Option<Since> {
        match self.phase {
            Phase::Acknowledged { from, .. } => Some(from),
            Phase::Waiting | Phase::Held | Phase::AwaitingEntry { .. } | Phase::AwaitingAck { .. } => None,
        }
    }

    /// Tells whether nothing is waited for but the salesperson's presence.
    pub(super) fn is_acknowledged(&self) -> bool {
        matches!(self.phase, Phase::Acknowledged { .. })
    }

    /// Returns what takes back the notice, where there is one.
    pub(super) fn withdrawn(&self) -> Option<Change> {
        let notice_id = self.phase.notice_id()?;
        Some(Change::Withdraw { notice_id, listener: self.clone() })
    }
}

impl Broadcast {
    /// A supervisor wishes to listen. Asking again lets go on what was held back, changes nothing else and tells again how
    /// far the wish is.
    pub fn join(&mut self, wish: Wish) -> Vec<Change> {
        let takes_over = !wish.waits && self.presence() == Presence::OnAir;
        if let Some(listener) = self.listener_mut(wish.key) {
            listener.takes_over |= takes_over;
            let listener = listener.clone();
            return match listener.phase {
                Phase::Held => self.let_go_on(wish.key),
                _ if self.is_heard(&listener) => vec![Change::Start { listener, is_new: false }],
                _ => vec![self.pend(&listener)],
            };
        }
        self.listeners.push(Listener {
            key: wish.key,
            sink: wish.sink,
            listening: wish.listening,
            hears_device: false,
            takes_over,
            phase: Phase::Waiting,
        });
        self.settle(wish.key)
    }

    /// The entry that [`Change::WriteEntry`] asked for is on its way to the journal, under this name.
    pub fn await_entry(&mut self, key: Client, entry: EntryId) -> Option<Change> {
        let hears_device = self.is_device();
        let listener = self.listener_mut(key).filter(|listener| listener.phase.is_wish())?;
        listener.hears_device = hears_device;
        listener.phase = Phase::AwaitingEntry { entry };
        let listener = listener.clone();
        // Nobody has to be asked for a device: there is no more to wait for than the entry.
        (!hears_device).then(|| self.pend(&listener))
    }

    /// A supervisor hears somebody else, and did not ask for this one meanwhile: the wish goes on waiting, and a notice of it
    /// is taken back.
    pub fn hold_back(&mut self, key: Client) -> Vec<Change> {
        let Some(listener) = self.listener_mut(key) else { return Vec::new() };
        let withdraw = listener.withdrawn();
        listener.phase = Phase::Held;
        listener.hears_device = false;
        let listener = listener.clone();
        withdraw.into_iter().chain([self.pend(&listener)]).collect()
    }

    /// A supervisor asked for somebody else: this one takes nobody's place any more.
    pub fn give_way(&mut self, key: Client) {
        if let Some(listener) = self.listener_mut(key) {
            listener.takes_over = false;
        }
    }

    /// Tells whether a supervisor asked for this one while it was on air, and for nobody else since.
    pub fn takes_over(&self, key: Client) -> bool {
        self.listener(key).is_some_and(|listener| listener.takes_over)
    }

    /// What a supervisor heard instead is over: whatever else is waited for, it is this no more.
    pub fn let_go_on(&mut self, key: Client) -> Vec<Change> {
        let Some(listener) = self.listener_mut(key).filter(|listener| listener.phase == Phase::Held) else {
            return Vec::new();
        };
        listener.phase = Phase::Waiting;
        self.settle(key)
    }

    /// Tells whether a wish waits for what its supervisor hears instead.
    pub fn is_held_back(&self, key: Client) -> bool {
        self.listener(key).is_some_and(|listener| listener.phase == Phase::Held)
    }

    /// Tells whether a supervisor hears, would once a pause is over, or is about to: of a page that does not answer nobody
    /// knows when.
    pub fn is_under_way(&self, key: Client) -> bool {
        self.listener(key).is_some_and(|listener| match listener.phase {
            Phase::AwaitingEntry { .. } | Phase::Acknowledged { .. } => true,
            Phase::AwaitingAck { delay, .. } => delay == Delay::None,
            Phase::Waiting | Phase::Held => false,
        })
    }

    /// Tells whether whom a supervisor heard may be back at any moment: nobody knows when a page opens, but without one only
    /// what an encoder sends is on air for long.
    pub fn is_about_to_return(&self) -> bool {
        self.on_air.is_some() && (self.is_on_air_by_page() || self.awake_page().is_some() || self.is_device())
    }

    /// An entry is durable. It lets on whom it was written for, unless they were taken back meanwhile and wait for
    /// another one.
    pub fn entry_written(&mut self, now: Instant, key: Client, entry: EntryId, notice_id: u64) -> Vec<Change> {
        // Nothing waits for a device's page, which reads the notice when it wakes.
        let page = if self.is_device() { self.page() } else { self.awake_page() };
        let before = self.passed();
        let Some(listener) = self.awaiting_entry(key, entry) else { return Vec::new() };
        let next = match listener.hears_device {
            true => Phase::Acknowledged { notice_id, told: None, from: Since::Any },
            false => Phase::AwaitingAck { notice_id, since: now, delay: Delay::None, before },
        };
        listener.phase = next;
        let listener = listener.clone();
        let start = self.is_heard(&listener).then(|| Change::Start { listener: listener.clone(), is_new: true });
        let announce = page.map(|_| Change::Announce { notice_id, listener });
        announce.into_iter().chain(start).collect()
    }

    /// An entry can't be written: what it would have let on is over.
    pub fn entry_refused(&mut self, key: Client, entry: EntryId) -> Vec<Change> {
        match self.awaiting_entry(key, entry) {
            Some(_) => self.refuse(key),
            None => Vec::new(),
        }
    }

    /// What would announce a listener can't be written down.
    pub fn refuse(&mut self, key: Client) -> Vec<Change> {
        let Some(index) = self.listeners.iter().position(|listener| listener.key == key) else {
            return Vec::new();
        };
        vec![Change::Refuse { listener: self.listeners.remove(index) }]
    }

    /// The page has told its person of a listener, who hears what is sent from now on, while there is something to hear.
    /// `ssrc` is the stream that its session brings, as far as it is known.
    ///
    /// # Errors
    /// [`WrongCount`], and the notice is not acknowledged.
    pub fn acknowledge(
        &mut self,
        now: Instant,
        page: ConnKey,
        ack: Acknowledgement,
        ssrc: Option<u32>,
    ) -> Result<Option<Change>, WrongCount> {
        let Acknowledgement { notice_id, told, sent } = ack;
        let awaiting = self.listeners.iter().position(|listener| listener.phase.awaits(notice_id));
        let Some(index) = awaiting.filter(|_| self.page == Page::Open(page) && self.on_air.is_some()) else {
            return Ok(None);
        };
        let Phase::AwaitingAck { before, .. } = self.listeners[index].phase else { return Ok(None) };
        let from = self.after(now, sent, ssrc, before)?;
        self.listeners[index].phase = Phase::Acknowledged { notice_id, told: Some(told), from };
        let listener = self.listeners[index].clone();
        Ok(self.is_heard(&listener).then_some(Change::Start { listener, is_new: true }))
    }

    /// The page can't tell its person of a listener now: it is hidden.
    pub fn hide(&mut self, page: ConnKey, notice_id: u64) -> Option<Change> {
        if self.page != Page::Open(page) {
            return None;
        }
        let listener = self.listeners.iter_mut().find(|listener| listener.phase.awaits(notice_id))?;
        let Phase::AwaitingAck { delay, .. } = &mut listener.phase else { return None };
        *delay = Delay::Hidden;
        let listener = listener.clone();
        Some(self.pend(&listener))
    }

    /// Returns from where on the stream was sent after the page had sent so much; what was asked of it then had `before`
    /// it.
    pub(super) fn after(
        &self,
        now: Instant,
        sent: Sent,
        ssrc: Option<u32>,
        before: Passed,
    ) -> Result<Since, WrongCount> {
        match self.source() {
            // Nobody counts for an encoder.
            Some(Source::Encoder | Source::Device) | None => return Ok(Since::Moment(now)),
            Some(Source::Page(_)) => {}
        }
        // Whatever session comes next is made after this.
        let Some(publisher) = self.publisher() else { return Ok(Since::Any) };
        // Who names none speaks of a session that is not here yet, while much of this one's may be on its way.
        if ssrc.is_some() && sent.ssrc != ssrc {
            return Err(WrongCount::OtherStream);
        }
        let is_of_same = before.source.is_some() && before.source == self.passed().source;
        if is_of_same && sent.packets_sent.saturating_add(SENT_MARGIN) < before.packets {
            return Err(WrongCount::Impossible);
        }
        Ok(Since::Count { publisher, ssrc: sent.ssrc, packets: sent.packets_sent })
    }

    /// Returns how many packets of the present session have been passed.
    pub(super) fn passed(&self) -> Passed {
        let Some((on_air, publisher)) = self.on_air.as_ref().zip(self.publisher()) else {
            return Passed::nothing();
        };
        let passed = on_air.timeline.passed(publisher);
        passed.map_or(Passed::nothing(), |(ssrc, packets)| Passed { source: Some((publisher, ssrc)), packets })
    }

    /// The session that brings the audio goes on with the stream of this SSRC, after that of `before`, which was heard or
    /// expected. What the page counted was not of this one: it is asked anew, and whoever heard waits until it has
    /// answered. Nobody counts for an encoder.
    pub fn follow(&mut self, publisher: PeerKey, before: Option<u32>, ssrc: u32) -> Vec<Change> {
        if self.publisher() != Some(publisher) || !self.is_on_air_by_page() {
            return Vec::new();
        }
        let counts_other = |from: Since| matches!(from, Since::Count { publisher: of, ssrc: Some(other), .. } if of == publisher && other != ssrc);
        let is_counted = |listener: &Listener| listener.hears_from().is_some_and(counts_other);
        let is_resumed = self.on_air.as_ref().is_some_and(|on_air| counts_other(on_air.from));
        if before.is_none() && !is_resumed && !self.listeners.iter().any(is_counted) {
            return Vec::new();
        }
        if let Some(on_air) = self.on_air.as_mut().filter(|on_air| counts_other(on_air.from)) {
            // What is heard from now on is counted from later.
            on_air.from = Since::Any;
        }
        let changes = self.unsettle_all(self.presence() == Presence::OnAir);
        changes.into_iter().chain(self.settle_all()).collect()
    }

    /// A supervisor does not wish to listen any more, or can't.
    pub fn leave(&mut self, key: Client, cause: Option<StopCause>) -> Vec<Change> {
        let Some(index) = self.listeners.iter().position(|listener| listener.key == key) else {
            return Vec::new();
        };
        let listener = self.listeners.remove(index);
        let was_heard = self.is_heard(&listener);
        let withdraw = listener.withdrawn();
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
    pub(super) fn announce_heard(&self) -> Vec<Change> {
        let notices = self.notices();
        notices.map(|(notice_id, listener)| Change::Announce { notice_id, listener: listener.clone() }).collect()
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
                Phase::Waiting | Phase::Held => {}
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
        match self.listener(key).filter(|listener| listener.phase.is_wish()) {
            Some(_) if ready => vec![Change::WriteEntry { listener: key }],
            Some(listener) => vec![self.pend(listener)],
            None => Vec::new(),
        }
    }

    /// Takes every listener back to waiting. What was heard until then was heard in a flow that is over, where
    /// `was_flowing`.
    pub(super) fn unsettle_all(&mut self, was_flowing: bool) -> Vec<Change> {
        let is_on_air = self.on_air.is_some();
        let why = if is_on_air { ListenBreak::Unseen } else { ListenBreak::OffAir };
        let mut changes = Vec::new();
        for listener in &mut self.listeners {
            let before = listener.clone();
            listener.phase = Phase::Waiting;
            listener.hears_device = false;
            listener.takes_over &= is_on_air;
            let withdraw = before.withdrawn();
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
            (Presence::OnAir, _, Phase::Held) => PendingCause::HearingAnother,
            (Presence::OnAir, _, Phase::AwaitingAck { delay: Delay::Hidden, .. }) => PendingCause::Hidden,
            (Presence::OnAir, _, Phase::AwaitingAck { delay: Delay::Late, .. })
            | (Presence::OnAir, Page::Silent(_) | Page::Closed, _) => PendingCause::AckLate,
            (Presence::OnAir, _, _) => PendingCause::Ack,
        }
    }
}
